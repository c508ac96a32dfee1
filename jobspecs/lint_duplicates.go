package jobspecs

// duplicateRules are about a DuplicateMonitor.
func duplicateRules() []Rule {
	of := []string{KindDuplicateMonitor}
	return []Rule{{
		Name: "monitor-without-late", Kinds: of,
		Finds: "a DuplicateMonitor that does not know the events that were dropped as too late",
		Why:   "They are delivered and in no count. In the same window they make up for as many events that are counted twice, which then nobody sees.",
		Mend:  "name the StreamJob's late table in spec.late",
		check: on(func(l *linter, m *DuplicateMonitor) {
			if m.Spec.Late == "" {
				l.warn("spec.raw", "events that were too late hide events that are counted twice")
			}
		}),
	}, {
		Name: "duplicates-allowed", Kinds: of,
		Finds: "a DuplicateMonitor that lets events be counted more than once: maxPercentAfter above 0",
		Why:   "Within its horizon deduplication lets nothing through. What is counted twice there is a fault, however small the share.",
		Mend:  "set spec.alert.maxPercentAfter: 0",
		check: on(func(l *linter, m *DuplicateMonitor) {
			if p := m.Spec.Alert.MaxPercentAfter; p.Rat().Sign() > 0 {
				l.warn("spec.alert.maxPercentAfter", "up to %s %% of the events may be counted more than once", p)
			}
		}),
	}}
}
