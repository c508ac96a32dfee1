package jobspecs

// StreamJob is a group of streaming jobs that share one topology; each takes
// some of the subscriptions.
type StreamJob struct {
	Header   `yaml:",inline"`
	Metadata Metadata      `yaml:"metadata" doc:"Name, purpose and labels." required:"true"`
	Spec     StreamJobSpec `yaml:"spec" doc:"What it is." required:"true"`
}

// StreamJobSpec is the spec of a StreamJob.
type StreamJobSpec struct {
	Platform      `yaml:",inline"`
	Region        string            `yaml:"region" doc:"Region that the jobs run in." required:"true" pattern:"[a-z]+(-[a-z]+)+[0-9]+"`
	Pipeline      string            `yaml:"pipeline" doc:"What the template runs. kappa: kappa-pipeline, which event, horizon, aggregations and sinks are for. other: any other flex template; its jobs are launched, drained, replaced and recorded alike, and what they write is not kappa's to read." default:"kappa" enum:"kappa,other"`
	Template      string            `yaml:"template" doc:"Flex template, gs://BUCKET/OBJECT." required:"true" pattern:"gs://[^/]+/.+"`
	Staging       string            `yaml:"staging" doc:"Folder, gs://BUCKET/PREFIX, that the resolved job files are written to." required:"true" pattern:"gs://[^/]+/.+"`
	Parameters    map[string]string `yaml:"parameters" doc:"Parameters of the template. In a value {job}, {generation}, {project} and {region} stand for those of the job that is launched, {subscription} for the subscription that it reads, and {subscriptions} for all of them, separated by commas, both as projects/PROJECT/subscriptions/NAME; {{ and }} stand for braces. No place for secrets: parameters are kept and shown." for:"other"`
	Journal       string            `yaml:"journal" doc:"Folder, gs://BUCKET/PREFIX or a path of this machine, that the history of deployments and the lease are kept in. Empty: STAGING/NAME."`
	Jobs          int               `yaml:"jobs" doc:"Number of jobs; subscription i is read by job i modulo this. Job names are NAME-0 … NAME-(n-1)." default:"1" min:"1"`
	Sources       Subscriptions     `yaml:"sources" doc:"The subscriptions that are read." required:"true"`
	Event         Event             `yaml:"event" doc:"What a message carries." required:"true" for:"kappa"`
	Watermark     Watermark         `yaml:"watermark" doc:"How the reader that is used off Dataflow derives its watermark." for:"kappa"`
	Horizon       Duration          `yaml:"horizon" doc:"How late an event may be, behind the watermark, and still be counted; also how long an event id is remembered, unless spec.deduplication says less. Later events go to the late table." required:"true" for:"kappa"`
	Deduplication Deduplication     `yaml:"deduplication" doc:"How events are recognised that were delivered twice." for:"kappa"`
	Aggregations  []Aggregation     `yaml:"aggregations" doc:"What is computed; one BigQuery table each." required:"true" for:"kappa"`
	Sinks         Sinks             `yaml:"sinks" doc:"Where it is written." required:"true"`
	Tuning        Tuning            `yaml:"tuning" doc:"Workers of each job, and how they run."`
	Update        Update            `yaml:"update" doc:"How a job that runs is replaced."`
}

// Subscriptions are PREFIX0 … PREFIX(count-1).
type Subscriptions struct {
	SubscriptionPrefix string `yaml:"subscriptionPrefix" doc:"Prefix of the subscriptions' names; the number of the split is appended." required:"true" pattern:"[A-Za-z][-_.~+%A-Za-z0-9]{1,249}"`
	Count              int    `yaml:"count" doc:"Number of subscriptions." required:"true" min:"1"`
	Replay             string `yaml:"replay" doc:"What the successor of a generation that died reads again: with snapshot all that it had read, from a snapshot of each subscription that is taken when a generation starts (Pub/Sub keeps, and bills, what is published since, for 7 days at most); with archive only what was not acknowledged, and the rest is recomputed by a backfill from the archive." default:"snapshot" enum:"snapshot,archive"`
}

// Values of StreamJobSpec.Pipeline.
const (
	PipelineKappa = "kappa"
	PipelineOther = "other"
)

// Values of Subscriptions.Replay.
const (
	ReplaySnapshot = "snapshot"
	ReplayArchive  = "archive"
)

// Event says what a message carries.
type Event struct {
	Format string  `yaml:"format" doc:"Format of the message's data." default:"json" enum:"json"`
	Fields []Field `yaml:"fields" doc:"Fields of the event that are used; they are columns of the raw table too." required:"true"`
}

// Field is a named, typed field of an event, a column of a table.
type Field struct {
	Name string `yaml:"name" doc:"Name of the field." required:"true" pattern:"[A-Za-z_][A-Za-z0-9_]{0,299}"`
	Type string `yaml:"type" doc:"BigQuery type." required:"true" enum:"STRING,INT64,TIMESTAMP"`
}

// Watermark says how the reader used off Dataflow derives a subscription's
// watermark: the smallest, over the Kafka partitions seen, of the greatest
// record time read, less Delay.
type Watermark struct {
	Delay Duration `yaml:"delay" doc:"How far the watermark stays behind the record times." default:"0s"`
	Idle  Duration `yaml:"idle" doc:"After how long without a message a Kafka partition no longer holds the watermark back." default:"30s"`
}

// Aggregation groups events by dimensions and fixed windows of event time.
type Aggregation struct {
	Name       string     `yaml:"name" doc:"Name of the aggregation, and prefix of its Bigtable row keys." required:"true" pattern:"[a-z][a-z0-9_]{0,99}"`
	Dimensions []string   `yaml:"dimensions" doc:"Fields to group by." required:"true"`
	Rollups    [][]string `yaml:"rollups" doc:"Further sets of the dimensions to group by, each a list of some of them or of none: every event is counted once in each set. The table then has a column rollup with the dimensions that a row is grouped by, separated by commas; the others are NULL."`
	Filter     string     `yaml:"filter" doc:"CEL expression over the event's fields, such as event.delay > 15; events for which it is not true are left out of this aggregation. A field that an event lacks is null: == and != compare with null, has(event.f) asks for it, and whatever else is done with a null gives null."`
	Window     Duration   `yaml:"window" doc:"Size of the fixed windows, aligned to the Unix epoch in UTC." required:"true"`
	Measures   []Measure  `yaml:"measures" doc:"What is computed per group and window." required:"true"`
	Table      string     `yaml:"table" doc:"BigQuery table in the sink's dataset." required:"true" pattern:"[A-Za-z_][A-Za-z0-9_]{0,299}"`
}

// Measure is one additive value per group and window.
type Measure struct {
	Name       string `yaml:"name" doc:"Name of the measure and of its column." required:"true" pattern:"[A-Za-z_][A-Za-z0-9_]{0,99}"`
	Type       string `yaml:"type" doc:"How it is computed and how the values of panes, jobs and generations merge to that of a window: count and sum add up, of min the least holds, of max the greatest. Averages and ratios do not merge: take their parts, and divide where they are read." required:"true" enum:"count,sum,min,max"`
	Field      string `yaml:"field" doc:"INT64 field that is aggregated; none for count."`
	Expression string `yaml:"expression" doc:"CEL expression over the event's fields (event) that is aggregated in the place of a field: an int, or null for an event that adds nothing; of a count, a bool that says whether the event is counted. Where it has no value, by an overflow or a division by zero, the job fails and names the event."`
}

// Deduplication is by event id.
type Deduplication struct {
	Horizon Duration `yaml:"horizon" doc:"How long, behind the watermark, an event id is remembered; 0: as long as spec.horizon. Less takes less state; an event that comes later than that is counted whether it came before or not, and how many did is counted too (undeduplicated)." default:"0s"`
}

// Sinks says where a job writes.
type Sinks struct {
	BigQuery BigQuerySink `yaml:"bigquery" required:"true" doc:"Tables for analysis."`
	Bigtable BigtableSink `yaml:"bigtable" required:"true" doc:"Table for serving." for:"kappa"`
}

// BigQuerySink names the tables that all aggregations share.
type BigQuerySink struct {
	Dataset string `yaml:"dataset" doc:"Dataset of all tables." required:"true" pattern:"[A-Za-z0-9_]{1,1000}"`
	Raw     string `yaml:"raw" doc:"Table of every delivery of every event." required:"true" pattern:"[A-Za-z_][A-Za-z0-9_]{0,299}" for:"kappa"`
	Late    string `yaml:"late" doc:"Table of events that were later than the horizon." required:"true" pattern:"[A-Za-z_][A-Za-z0-9_]{0,299}" for:"kappa"`
}

// BigtableSink names the serving table and that of event ids.
type BigtableSink struct {
	Instance string `yaml:"instance" doc:"Bigtable instance." required:"true" pattern:"[a-z][-a-z0-9]{0,31}[a-z0-9]"`
	Table    string `yaml:"table" doc:"Bigtable table." required:"true" pattern:"[-_.A-Za-z0-9]{1,50}"`
	IDs      string `yaml:"ids" doc:"Bigtable table of the event ids that a job hands over to its next generation; jobs may share it." default:"event-ids" pattern:"[-_.A-Za-z0-9]{1,50}"`
}

// Tuning sizes a job and says how it runs. The names in brackets are those of
// the Dataflow API.
type Tuning struct {
	Workers         int      `yaml:"workers" doc:"Workers at the start." default:"1" min:"1"`
	MinWorkers      int      `yaml:"minWorkers" doc:"Least workers that autoscaling may come down to; 0: what the service thinks right. Takes Streaming Engine." default:"0" min:"0"`
	MaxWorkers      int      `yaml:"maxWorkers" doc:"Most workers that autoscaling may take." default:"1" min:"1"`
	Autoscaling     string   `yaml:"autoscaling" doc:"Whether the service changes the number of workers by the throughput." default:"throughput" enum:"throughput,none"`
	MachineType     string   `yaml:"machineType" doc:"Compute Engine machine type of a worker." pattern:"[a-z0-9]+(-[a-z0-9]+)*"`
	DiskGB          int      `yaml:"diskGB" doc:"Size of a worker's disk, in GB; 0: what the service thinks right." default:"0" min:"0"`
	StreamingEngine bool     `yaml:"streamingEngine" doc:"Whether the service, and not the workers, keeps the state." default:"true"`
	ServiceOptions  []string `yaml:"serviceOptions" doc:"Service options of Dataflow, such as enable_prime." pattern:"[A-Za-z0-9_]+(=.*)?"`
	Network         string   `yaml:"network" doc:"Network of the workers." pattern:"[a-z]([-a-z0-9]{0,61}[a-z0-9])?"`
	Subnetwork      string   `yaml:"subnetwork" doc:"Subnetwork of the workers: regions/REGION/subnetworks/NAME, or the full URL." pattern:"(https://.+/)?(projects/[^/]+/)?regions/[^/]+/subnetworks/[^/]+"`
	PublicIPs       bool     `yaml:"publicIPs" doc:"Whether workers have public addresses." default:"true"`
	ServiceAccount  string   `yaml:"serviceAccount" doc:"Service account that the workers run as." pattern:"[^@ ]+@[^@ ]+"`
	KMSKey          string   `yaml:"kmsKey" doc:"Key that encrypts the job's state: projects/P/locations/L/keyRings/R/cryptoKeys/K." pattern:"projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+"`
}

// Update says how a job that runs is replaced.
type Update struct {
	DrainTimeout         Duration          `yaml:"drainTimeout" doc:"Longest wait for a job to drain." default:"30m"`
	Strategy             string            `yaml:"strategy" doc:"drain: it stops reading, lets its windows fire and ends; then its next generation is launched. update: the service replaces it in place and hands its state over; a generation goes on. cancel: it is cancelled, which makes its generation void; takes --accept-loss. managed: as update, and the service is told by its option update_strategy_in_place_update to do it in no other way." default:"drain" enum:"drain,update,cancel,managed"`
	TransformNameMapping map[string]string `yaml:"transformNameMapping" doc:"New name of a transform by its old one, for strategies update and managed: state of a transform that neither has its name still nor stands here is lost, and the service refuses the update."`
	Rollout              Rollout           `yaml:"rollout" doc:"In which order the jobs of the group are replaced, and when it goes on to the next."`
	OnTimeout            string            `yaml:"onTimeout" doc:"What is done about a job that has not drained by then: fail stops and leaves it draining, wait goes on waiting, cancel cancels it, which makes its generation void: its rows do not count, and its successor reads its messages again." default:"fail" enum:"fail,wait,cancel"`
	StartTimeout         Duration          `yaml:"startTimeout" doc:"Longest wait until a launched job runs." default:"15m"`
}

// Rollout is how a change goes through the jobs of a group.
type Rollout struct {
	Order      []int      `yaml:"order" doc:"Numbers of the jobs that are replaced first, in this order; the others follow in theirs." min:"0"`
	Canary     int        `yaml:"canary" doc:"How many jobs are replaced, and have to stay healthy for canaryFor, before the rest; 0: none." default:"0" min:"0"`
	CanaryFor  Duration   `yaml:"canaryFor" doc:"How long the canaries have to stay healthy." default:"10m"`
	Parallel   int        `yaml:"parallel" doc:"Most jobs that are away at a time." default:"1" min:"1"`
	Conditions Conditions `yaml:"conditions" doc:"What must hold of a replaced job before the next is taken."`
}

// Conditions are what makes a job healthy, beside that it runs. What cannot be
// observed does not hold.
type Conditions struct {
	HealthyFor         Duration `yaml:"healthyFor" doc:"How long a job has to run, with its watermark moving where the service shows one, and the conditions below have to hold." default:"30s"`
	Within             Duration `yaml:"within" doc:"How long that may take, from when it runs." default:"15m"`
	MaxWatermarkAge    Duration `yaml:"maxWatermarkAge" doc:"How far behind the clock the watermark may be; 0: any." default:"0s"`
	MaxErrorsPerMinute int      `yaml:"maxErrorsPerMinute" doc:"Most error messages of the job in a minute; -1: any." default:"-1" min:"-1"`
	Comparison         string   `yaml:"comparison" doc:"Name of a Comparison in the loaded documents whose gate must say GO; it is run after each job."`
}
