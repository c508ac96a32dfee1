package jobspecs

// Values of Update.Strategy.
const (
	StrategyDrain   = "drain"
	StrategyUpdate  = "update"
	StrategyCancel  = "cancel"
	StrategyManaged = "managed"
)

// InPlace reports whether the service replaces jobs in place, which keeps their
// state and their generations.
func (u *Update) InPlace() bool {
	return u.Strategy == StrategyUpdate || u.Strategy == StrategyManaged
}

// update checks how jobs are replaced: what is for one strategy is given with that
// alone. A drain's limits go with any: jobs that the spec has no more are drained,
// and so are all of them where subscriptions move.
func (k *checker) update(s *StreamJobSpec) {
	const mapping = "spec.update.transformNameMapping"
	u := &s.Update
	k.positive("spec.update.startTimeout", u.StartTimeout)
	if len(u.TransformNameMapping) > 0 && !u.InPlace() && k.ok(mapping, "spec.update.strategy") {
		k.fail(CodeConflict, mapping, "remove it, or write strategy: update", "%s is for updates in place alone", mapping)
	}
}
