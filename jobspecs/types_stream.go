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
	Platform     `yaml:",inline"`
	Region       string        `yaml:"region" doc:"Region that the jobs run in." required:"true" pattern:"[a-z]+(-[a-z]+)+[0-9]+"`
	Template     string        `yaml:"template" doc:"Flex template, gs://BUCKET/OBJECT." required:"true" pattern:"gs://[^/]+/.+"`
	Staging      string        `yaml:"staging" doc:"Folder, gs://BUCKET/PREFIX, that the resolved job files are written to." required:"true" pattern:"gs://[^/]+/.+"`
	Jobs         int           `yaml:"jobs" doc:"Number of jobs; subscription i is read by job i modulo this. Job names are NAME-0 … NAME-(n-1)." default:"1" min:"1"`
	Sources      Subscriptions `yaml:"sources" doc:"The subscriptions that are read." required:"true"`
	Event        Event         `yaml:"event" doc:"What a message carries." required:"true"`
	Watermark    Watermark     `yaml:"watermark" doc:"How the reader that is used off Dataflow derives its watermark."`
	Horizon      Duration      `yaml:"horizon" doc:"How late an event may be, behind the watermark, and still be counted; also how long an event id is remembered. Later events go to the late table." required:"true"`
	Aggregations []Aggregation `yaml:"aggregations" doc:"What is computed; one BigQuery table each." required:"true"`
	Sinks        Sinks         `yaml:"sinks" doc:"Where it is written." required:"true"`
	Tuning       Tuning        `yaml:"tuning" doc:"Workers of each job, and how they run."`
	Update       Update        `yaml:"update" doc:"How a job that runs is replaced."`
}

// Subscriptions are PREFIX0 … PREFIX(count-1).
type Subscriptions struct {
	SubscriptionPrefix string `yaml:"subscriptionPrefix" doc:"Prefix of the subscriptions' names; the number of the split is appended." required:"true" pattern:"[A-Za-z][-_.~+%A-Za-z0-9]{1,249}"`
	Count              int    `yaml:"count" doc:"Number of subscriptions." required:"true" min:"1"`
	Replay             string `yaml:"replay" doc:"What the successor of a generation that died reads again: with snapshot all that it had read, from a snapshot of each subscription that is taken when a generation starts (Pub/Sub keeps, and bills, what is published since, for 7 days at most); with archive only what was not acknowledged, and the rest is recomputed by a backfill from the archive." default:"snapshot" enum:"snapshot,archive"`
}

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
	Name       string    `yaml:"name" doc:"Name of the aggregation, and prefix of its Bigtable row keys." required:"true" pattern:"[a-z][a-z0-9_]{0,99}"`
	Dimensions []string  `yaml:"dimensions" doc:"Fields to group by." required:"true"`
	Window     Duration  `yaml:"window" doc:"Size of the fixed windows, aligned to the Unix epoch in UTC." required:"true"`
	Measures   []Measure `yaml:"measures" doc:"What is computed per group and window." required:"true"`
	Table      string    `yaml:"table" doc:"BigQuery table in the sink's dataset." required:"true" pattern:"[A-Za-z_][A-Za-z0-9_]{0,299}"`
}

// Measure is one additive value per group and window.
type Measure struct {
	Name  string `yaml:"name" doc:"Name of the measure and of its column." required:"true" pattern:"[A-Za-z_][A-Za-z0-9_]{0,99}"`
	Type  string `yaml:"type" doc:"How it is computed and how partial values merge: count and sum add up, min and max keep the extreme." required:"true" enum:"count,sum,min,max"`
	Field string `yaml:"field" doc:"INT64 field that is aggregated; none for count."`
}

// Sinks says where a job writes.
type Sinks struct {
	BigQuery BigQuerySink `yaml:"bigquery" required:"true" doc:"Tables for analysis."`
	Bigtable BigtableSink `yaml:"bigtable" required:"true" doc:"Table for serving."`
}

// BigQuerySink names the tables that all aggregations share.
type BigQuerySink struct {
	Dataset string `yaml:"dataset" doc:"Dataset of all tables." required:"true" pattern:"[A-Za-z0-9_]{1,1000}"`
	Raw     string `yaml:"raw" doc:"Table of every delivery of every event." required:"true" pattern:"[A-Za-z_][A-Za-z0-9_]{0,299}"`
	Late    string `yaml:"late" doc:"Table of events that were later than the horizon." required:"true" pattern:"[A-Za-z_][A-Za-z0-9_]{0,299}"`
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
	DrainTimeout Duration `yaml:"drainTimeout" doc:"Longest wait for a job to drain." default:"30m"`
	OnTimeout    string   `yaml:"onTimeout" doc:"What is done about a job that has not drained by then: fail stops and leaves it draining, wait goes on waiting, cancel cancels it, which makes its generation void: its rows do not count, and its successor reads its messages again." default:"fail" enum:"fail,wait,cancel"`
	StartTimeout Duration `yaml:"startTimeout" doc:"Longest wait until a launched job runs." default:"15m"`
}
