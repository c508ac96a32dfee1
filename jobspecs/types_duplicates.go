package jobspecs

// DuplicateMonitor watches how many events are delivered more than once, and
// whether any is counted more than once.
type DuplicateMonitor struct {
	Header   `yaml:",inline"`
	Metadata Metadata             `yaml:"metadata" doc:"Name, purpose and labels." required:"true"`
	Spec     DuplicateMonitorSpec `yaml:"spec" doc:"What it is." required:"true"`
}

// DuplicateMonitorSpec is the spec of a DuplicateMonitor.
type DuplicateMonitorSpec struct {
	Platform  `yaml:",inline"`
	Dataset   string          `yaml:"dataset" doc:"Dataset of the tables, the control tables generations and watermarks included." default:"kappa" pattern:"[A-Za-z0-9_]{1,1000}"`
	Raw       string          `yaml:"raw" doc:"Table of every delivery of every event." required:"true" pattern:"[A-Za-z_][A-Za-z0-9_]{0,299}"`
	Late      string          `yaml:"late" doc:"Table of events that the stream side dropped as too late: they are in no count. Without it they hide as many that are counted twice." pattern:"[A-Za-z_][A-Za-z0-9_]{0,299}"`
	Counts    DuplicateCounts `yaml:"counts" doc:"The counts of deduplicated events." required:"true"`
	Keys      []string        `yaml:"keys" doc:"Fields of the raw events by whose values, taken together, duplicates are broken down."`
	Range     DuplicateRange  `yaml:"range" doc:"Which windows are looked at."`
	Alert     DuplicateAlert  `yaml:"alert" doc:"What is too much."`
	Top       int             `yaml:"top" doc:"Most windows, keys and positions that are listed." default:"10" min:"1"`
	Limits    DuplicateLimits `yaml:"limits" doc:"Bounds on cost."`
	Sensitive []string        `yaml:"sensitive" doc:"Names in keys whose values are shown as hashes only."`
}

// DuplicateCounts is where the deduplicated counts are.
type DuplicateCounts struct {
	Job         string   `yaml:"job" doc:"Name of the StreamJob that writes the tables: its watermarks say which windows are settled." required:"true" pattern:"[a-z]([-a-z0-9]{0,60}[a-z0-9])?"`
	Table       string   `yaml:"table" doc:"Table of an aggregation of all events, without a filter." required:"true" pattern:"[A-Za-z_][A-Za-z0-9_]{0,299}"`
	Measure     string   `yaml:"measure" doc:"Measure of type count." required:"true" pattern:"[A-Za-z_][A-Za-z0-9_]{0,299}"`
	Window      Duration `yaml:"window" doc:"Size of the aggregation's windows." required:"true"`
	SettleAfter Duration `yaml:"settleAfter" doc:"How far past a window's end the watermark of every job must be before the window is looked at." default:"0s"`
}

// DuplicateRange says which windows are looked at.
type DuplicateRange struct {
	Last Duration `yaml:"last" doc:"Without --from: the newest settled windows, this long, in whole windows." default:"24h"`
	Past Duration `yaml:"past" doc:"The windows before these, this long, that the change is measured against. 0: none." default:"7d"`
}

// DuplicateAlert says what is too much, in percent of the events.
type DuplicateAlert struct {
	MaxPercentBefore Decimal `yaml:"maxPercentBefore" doc:"Most deliveries beyond the first of an event, before deduplication." default:"5"`
	MaxPercentAfter  Decimal `yaml:"maxPercentAfter" doc:"Most events counted more than once, after deduplication." default:"0"`
	MaxIncrease      Decimal `yaml:"maxIncrease" doc:"Most percentage points that the percentage before deduplication may rise above the past." default:"1"`
}

// DuplicateLimits bounds what a run reads.
type DuplicateLimits struct {
	MaxBytesBilled Bytes    `yaml:"maxBytesBilled" doc:"Byte cap of the first query, which counts rows and reads no ids." default:"10GiB"`
	MaxBytesExact  Bytes    `yaml:"maxBytesExact" doc:"Byte cap of the second query, which counts distinct events: on a breach, or with --exact." default:"100GiB"`
	JobTimeout     Duration `yaml:"jobTimeout" doc:"How long a query job may run." default:"30m"`
}
