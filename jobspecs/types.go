package jobspecs

// The types below, and those of types_stream.go, are the single source of the
// spec language: the loader, the defaults, the JSON Schema and the documentation
// are all driven by their struct tags:
//
//	yaml      name of the field; ",omitempty" has no meaning when loading
//	doc       one or two sentences for people: shown in the schema and in errors
//	required  "true": must be given
//	for       value of spec.pipeline that the field is for: with another one it
//	          must not be given, is not required, and has no default
//	one       a word: of the fields of the mapping that have it, exactly one
//	          must be given, and not be empty
//	default   value where the field is absent, written as in YAML
//	enum      allowed values, separated by commas
//	min       smallest number allowed
//	pattern   regular expression that a string must match in full
//
// Durations, byte sizes and timestamps are types of their own (scalars.go), so
// that they are checked where they are read.

// APIVersion is the only version of the spec language so far.
const APIVersion = "kappa/v1"

// Kinds of documents.
const (
	KindBridge           = "Bridge"
	KindStreamJob        = "StreamJob"
	KindBatchLoad        = "BatchLoad"
	KindComparison       = "Comparison"
	KindDuplicateMonitor = "DuplicateMonitor"
)

// Metadata names a document.
type Metadata struct {
	Name        string            `yaml:"name" doc:"Name of the document, unique among documents of its kind." required:"true" pattern:"[a-z]([-a-z0-9]{0,60}[a-z0-9])?"`
	Description string            `yaml:"description" doc:"What it is for."`
	Labels      map[string]string `yaml:"labels" doc:"Labels for people and for billing; passed on to the jobs that it starts." pattern:"[-_a-z0-9]{0,63}"`
}

// Header is what every document has beside metadata and spec.
type Header struct {
	APIVersion string              `yaml:"apiVersion" doc:"Version of the spec language." required:"true" enum:"kappa/v1"`
	Kind       string              `yaml:"kind" doc:"Kind of the document." required:"true"`
	Extends    string              `yaml:"extends" doc:"File, relative to this one, or name of a document of the same kind in the same file, whose fields this document inherits: mappings are merged, everything else is replaced."`
	Abstract   bool                `yaml:"abstract" doc:"The document is there to be extended: it may lack required fields, and is not loaded itself. Not inherited." default:"false"`
	Variables  map[string]Variable `yaml:"variables" doc:"Variables that may be used as ${NAME} in strings of this document. The value is taken from --set, else from the environment, else from the default."`
	Ignore     []string            `yaml:"ignore" doc:"Names of rules of kappa validate that this document breaks on purpose. Not inherited."`
	Overlays   map[string]Overlay  `yaml:"overlays" doc:"What differs in an environment, by its name ([a-z][-a-z0-9]{0,30}): fields of metadata and spec, which --env NAME merges over this document as extends would, before anything that extends this document is merged over it in turn. Variables are expanded afterwards. A field that is required may be left to the overlays; the document can then be used with --env alone."`
}

// Variable declares a variable.
type Variable struct {
	Description string  `yaml:"description" doc:"What it is for."`
	Default     *string `yaml:"default" doc:"Value where none is given; without it the variable must be given."`
}

// Platform is what every kind says about where it runs.
type Platform struct {
	Environment string `yaml:"environment" doc:"Where this runs. An emulator address in the environment is refused unless this is sandbox, and required if it is." default:"production" enum:"production,sandbox"`
	Project     string `yaml:"project" doc:"Google Cloud project id." required:"true" pattern:"[a-z][-a-z0-9:.]{4,61}[a-z0-9]"`
}

// Bridge republishes Kafka topics to Pub/Sub topics.
type Bridge struct {
	Header   `yaml:",inline"`
	Metadata Metadata   `yaml:"metadata" doc:"Name, purpose and labels." required:"true"`
	Spec     BridgeSpec `yaml:"spec" doc:"What it is." required:"true"`
}

// BridgeSpec is the spec of a Bridge.
type BridgeSpec struct {
	Platform    `yaml:",inline"`
	Sources     map[string]KafkaSource `yaml:"sources" doc:"The Kafka clusters that are read, by a name that logs and metrics use." required:"true"`
	Transform   Transform              `yaml:"transform" doc:"What is done to a record's value."`
	EventTime   EventTime              `yaml:"eventTime" doc:"Where the event time comes from."`
	IDs         IDs                    `yaml:"ids" doc:"How an event gets its id."`
	Destination Destination            `yaml:"destination" doc:"What is published to: Pub/Sub, or another Kafka cluster."`
	Split       Split                  `yaml:"split" doc:"The topics of the destination and how events are spread over them. Either split or route is required."`
	Route       Route                  `yaml:"route" doc:"The topics of the destination, picked by a header or a field."`
	Ordering    Ordering               `yaml:"ordering" doc:"Ordering keys; off by default."`
	Bundle      Bundle                 `yaml:"bundle" doc:"Several events in one message; off by default."`
	Attributes  []Attribute            `yaml:"attributes" doc:"Further attributes that are set from headers, fields or the key."`
	DeadLetter  DeadLetter             `yaml:"deadLetter" doc:"Where records go that can never be published." required:"true"`
	Sensitive   []string               `yaml:"sensitive" doc:"Fields of a record that are hashed wherever one is shown: in samples, reports and logs. What is published is not changed."`
	Limits      BridgeLimit            `yaml:"limits" doc:"Bounds on memory, requests and rates."`
	Listen      string                 `yaml:"listen" doc:"Address of /metrics, /livez and /readyz; port 0 takes a free one." default:"127.0.0.1:0"`
}

// KafkaCluster says how a cluster is reached.
type KafkaCluster struct {
	Brokers []string `yaml:"brokers" doc:"Bootstrap addresses, host:port; an item may hold several, separated by commas, as the value of a variable does." required:"true"`
	TLS     TLS      `yaml:"tls" doc:"Encryption; off by default."`
	SASL    SASL     `yaml:"sasl" doc:"Authentication; off by default."`
}

// TLS is how connections are encrypted.
type TLS struct {
	Enabled    bool   `yaml:"enabled" doc:"Whether connections are encrypted." default:"false"`
	CAFile     string `yaml:"caFile" doc:"PEM file of the authorities that are trusted instead of the system's."`
	CertFile   string `yaml:"certFile" doc:"PEM file of the client's certificate."`
	KeyFile    string `yaml:"keyFile" doc:"PEM file of the certificate's key."`
	ServerName string `yaml:"serverName" doc:"Name that the brokers' certificates must have, instead of their host names."`
}

// SASL is how the client proves who it is.
type SASL struct {
	Mechanism string   `yaml:"mechanism" doc:"How; empty: not at all." enum:"PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER,GSSAPI"`
	Username  string   `yaml:"username" doc:"User (PLAIN, SCRAM), or client id (OAUTHBEARER with tokenURL)."`
	Password  Secret   `yaml:"password" doc:"Password (PLAIN, SCRAM), or client secret (OAUTHBEARER with tokenURL)."`
	Token     Secret   `yaml:"token" doc:"Bearer token (OAUTHBEARER); the file is read again for each connection, so that it can be renewed."`
	TokenURL  string   `yaml:"tokenURL" doc:"Endpoint that gives tokens for client credentials (OAUTHBEARER)." pattern:"https?://.+"`
	Scopes    []string `yaml:"scopes" doc:"Scopes to ask of tokenURL."`
	Kerberos  Kerberos `yaml:"kerberos" doc:"For GSSAPI."`
}

// Kerberos is what GSSAPI needs.
type Kerberos struct {
	Service   string `yaml:"service" doc:"Service name of the brokers' principals." default:"kafka"`
	Realm     string `yaml:"realm" doc:"Realm of the client's principal."`
	Principal string `yaml:"principal" doc:"The client's principal, without the realm."`
	Keytab    string `yaml:"keytab" doc:"File with the principal's keys."`
	Config    string `yaml:"config" doc:"Kerberos configuration." default:"/etc/krb5.conf"`
}

// Secret is where a secret is found: a file or a variable of the environment,
// never the spec itself.
type Secret struct {
	File string `yaml:"file" doc:"File that holds it; a line break at the end is cut."`
	Env  string `yaml:"env" doc:"Environment variable that holds it." pattern:"[A-Za-z_][A-Za-z0-9_]*"`
}

// KafkaSource says what is read of a cluster.
type KafkaSource struct {
	KafkaCluster `yaml:",inline"`
	Topics       []string          `yaml:"topics" doc:"Topics to read." pattern:"[-._A-Za-z0-9]{1,249}"`
	TopicPattern string            `yaml:"topicPattern" doc:"Regular expression (RE2) that the whole name of a topic matches, in the place of topics; topics that appear later are read from their beginning."`
	Group        string            `yaml:"group" doc:"Consumer group that holds the committed offsets." required:"true"`
	Start        string            `yaml:"start" doc:"Where a partition starts that has no committed offset: earliest, latest, or a time (RFC 3339): the first record at or after it." default:"earliest"`
	StartOffsets map[string]string `yaml:"startOffsets" doc:"Offset at which a partition starts that has no committed one, by TOPIC/PARTITION; the others start as start says." pattern:"[0-9]{1,18}"`
	Isolation    string            `yaml:"isolation" doc:"readCommitted leaves out records of transactions that are open or aborted." default:"readCommitted" enum:"readCommitted,readUncommitted"`
}

// Transform remaps a record's value. With decode none the bytes pass unread.
// A path names a field, or a field within one: a.b.c; a dot that belongs to a
// name is written \.
type Transform struct {
	Decode string            `yaml:"decode" doc:"Format of the record's value: none passes the bytes on as they are." default:"none" enum:"none,json,avro,protobuf"`
	Schema Schemas           `yaml:"schema" doc:"Schema of the records, for avro and protobuf."`
	Events string            `yaml:"events" doc:"Path of a list whose items are the events; empty: the record is one event."`
	Filter string            `yaml:"filter" doc:"CEL expression over the decoded fields (record); events for which it is false are dropped and counted."`
	Rename map[string]string `yaml:"rename" doc:"New name of a field by its path; a missing field is left out."`
	Drop   []string          `yaml:"drop" doc:"Paths of fields to leave out, named as they are before renaming."`
	Set    map[string]string `yaml:"set" doc:"CEL expression by path: computed after renaming, over the record as it then is (record)."`
	Encode string            `yaml:"encode" doc:"Format of the message: original is the record's own bytes (of an item of events, its own); same is the format of decode, with the changes; json; avro, in the schema of outputSchema." default:"same" enum:"same,original,json,avro"`
	Output string            `yaml:"outputSchema" doc:"File with the Avro schema of the message, for encode avro; with decode avro, a schema file and encode same it may be left out: the schema then is that of the record, with the changes."`
}

// Schemas is where the schema of records is found.
type Schemas struct {
	File     string   `yaml:"file" doc:"Avro schema (JSON), or Protobuf descriptor set (protoc --descriptor_set_out --include_imports)."`
	Message  string   `yaml:"message" doc:"Full name of the Protobuf message, for file."`
	Registry Registry `yaml:"registry" doc:"Confluent-compatible schema registry; records then begin with the id of their schema."`
}

// Registry is a schema registry.
type Registry struct {
	URL      string `yaml:"url" doc:"Address of the registry." pattern:"https?://.+"`
	Username string `yaml:"username" doc:"User, for basic authentication."`
	Password Secret `yaml:"password" doc:"Password, for basic authentication."`
	Token    Secret `yaml:"token" doc:"Bearer token."`
	CAFile   string `yaml:"caFile" doc:"PEM file of the authorities that are trusted instead of the system's."`
}

// EventTime says where an event's event time comes from.
type EventTime struct {
	Field string `yaml:"field" doc:"Path (after the transform) of the field that holds the event time. Empty: the record's own timestamp."`
	Unit  string `yaml:"unit" doc:"How the field is written." default:"rfc3339" enum:"rfc3339,seconds,milliseconds,microseconds"`
}

// IDs says how an event gets its id (rule B2).
type IDs struct {
	From      string   `yaml:"from" doc:"position: UUIDv8 from cluster, topic, partition, offset. fields: UUIDv5 from business-key fields, so that an event that its producer sent twice has one id." default:"position" enum:"position,fields"`
	Fields    []string `yaml:"fields" doc:"Paths (after the transform) of the business key, in order."`
	Namespace string   `yaml:"namespace" doc:"Name that separates the ids of this kind of event from all others."`
}

// Destination is what the bridge publishes to.
type Destination struct {
	Kind        string       `yaml:"kind" doc:"pubsub, or kafka: another cluster, or other topics of the same." default:"pubsub" enum:"pubsub,kafka"`
	Kafka       KafkaCluster `yaml:"kafka" doc:"The cluster, for kafka."`
	Compression string       `yaml:"compression" doc:"Compression of what is produced, for kafka." default:"lz4" enum:"none,gzip,snappy,lz4,zstd"`
}

// Split names the topics PREFIX0 … PREFIX(count-1) and the key by which events
// are spread over them: xxhash64 of the key fields modulo count.
type Split struct {
	TopicPrefix string   `yaml:"topicPrefix" doc:"Prefix of the topics' names; the number of the split is appended." required:"true" pattern:"[A-Za-z][-_.~+%A-Za-z0-9]{1,249}"`
	Count       int      `yaml:"count" doc:"Number of topics. Fixed for the life of a split." required:"true" min:"1"`
	Key         []string `yaml:"key" doc:"Paths (after the transform) whose hash picks the topic. Empty: the record's key."`
}

// Route picks a topic by the value of a header or a field.
type Route struct {
	Header  string            `yaml:"header" doc:"Record header whose value picks the topic."`
	Field   string            `yaml:"field" doc:"Path (after the transform) whose value picks the topic."`
	Topics  map[string]string `yaml:"topics" doc:"Topic by value." required:"true" pattern:"[A-Za-z][-_.~+%A-Za-z0-9]{2,254}"`
	Default string            `yaml:"default" doc:"Topic for every other value; empty: such a record goes to the dead letters." pattern:"[A-Za-z][-_.~+%A-Za-z0-9]{2,254}"`
}

// Ordering sets ordering keys. Keys are put into buckets by hash: Pub/Sub and
// its clients are slow with very many keys.
type Ordering struct {
	Buckets int      `yaml:"buckets" doc:"Number of ordering keys of a topic; 0: no ordering. Messages of one bucket are published one request after the other." default:"0" min:"0"`
	Key     []string `yaml:"key" doc:"Paths (after the transform) whose events stay in order. Empty: the record's key."`
}

// Bundle puts several events into one message.
type Bundle struct {
	MaxEvents int   `yaml:"maxEvents" doc:"Most events in a message; 0: no bundles." default:"0" min:"0"`
	MaxBytes  Bytes `yaml:"maxBytes" doc:"Most bytes of a bundle's data; one larger event is a bundle of its own." default:"256KiB"`
}

// Attribute sets one attribute from one field, one header or the key.
type Attribute struct {
	Name   string `yaml:"name" doc:"Name of the attribute." required:"true"`
	Field  string `yaml:"field" doc:"Path (after the transform) of the field that it is set from."`
	Header string `yaml:"header" doc:"Record header that it is set from."`
	Key    bool   `yaml:"key" doc:"Whether it is set from the record's key." default:"false"`
	Unfit  string `yaml:"unfit" doc:"What becomes of a value that an attribute cannot hold: encode writes what is not UTF-8 as base64, marked by a further attribute NAME.encoding, and refuses what is too long; refuse sends the record to the dead letters; omit leaves the attribute out." default:"encode" enum:"encode,refuse,omit"`
}

// DeadLetter is where records go that can never be published (rule B6):
// exactly one of a Pub/Sub topic, a Kafka topic and a file.
type DeadLetter struct {
	Topic string          `yaml:"topic" doc:"Pub/Sub topic; the original bytes, the position and the reason are published to it." pattern:"[A-Za-z][-_.~+%A-Za-z0-9]{2,254}"`
	Kafka DeadLetterKafka `yaml:"kafka" doc:"Kafka topic."`
	File  string          `yaml:"file" doc:"File to which a line of JSON is appended for each, on disk before the offset moves."`
}

// DeadLetterKafka is a Kafka topic for dead letters.
type DeadLetterKafka struct {
	KafkaCluster `yaml:",inline"`
	Topic        string `yaml:"topic" doc:"The topic." required:"true" pattern:"[-._A-Za-z0-9]{1,249}"`
}

// BridgeLimit bounds the bridge.
type BridgeLimit struct {
	Memory           Bytes    `yaml:"memory" doc:"Byte budget over fetched, in-flight and retrying records." default:"256MiB"`
	BatchBytes       Bytes    `yaml:"batchBytes" doc:"Largest publish request." default:"1MiB"`
	BatchRecords     int      `yaml:"batchRecords" doc:"Most messages in a publish request; Pub/Sub takes 1,000." default:"1000" min:"1"`
	FetchBytes       Bytes    `yaml:"fetchBytes" doc:"Most memory that one fetch from a broker takes. Each broker is asked for one at a time, so more is needed where it is far away: rate times round trip." default:"2MiB"`
	Linger           Duration `yaml:"linger" doc:"Longest wait for a batch to fill." default:"5ms"`
	Drain            Duration `yaml:"drain" doc:"Longest wait for outstanding acknowledgements when stopping or when partitions move." default:"20s"`
	RecordsPerSecond int      `yaml:"recordsPerSecond" doc:"Most records read per second; 0: no limit." default:"0" min:"0"`
	BytesPerSecond   Bytes    `yaml:"bytesPerSecond" doc:"Most bytes of records read per second; 0: no limit." default:"0"`
	Stall            Duration `yaml:"stall" doc:"How long a partition may have records to read or to acknowledge and make no progress before /livez says so." default:"5m"`
}

// BatchLoad brings the old batch layer's outputs into BigQuery.
type BatchLoad struct {
	Header   `yaml:",inline"`
	Metadata Metadata      `yaml:"metadata" doc:"Name, purpose and labels." required:"true"`
	Spec     BatchLoadSpec `yaml:"spec" doc:"What it is." required:"true"`
}

// BatchLoadSpec is the spec of a BatchLoad.
type BatchLoadSpec struct {
	Platform `yaml:",inline"`
	Source   BatchSource `yaml:"source" doc:"The batch layer's files." required:"true"`
	Dataset  string      `yaml:"dataset" doc:"Dataset of the table." required:"true" pattern:"[A-Za-z0-9_]{1,1000}"`
	Table    string      `yaml:"table" doc:"Table that the files are loaded into." required:"true" pattern:"[A-Za-z_][A-Za-z0-9_]{0,299}"`
	Keys     []Field     `yaml:"keys" doc:"Columns of the key." required:"true"`
	Metrics  []Field     `yaml:"metrics" doc:"Columns of the values." required:"true"`
}

// BatchSource names Avro files in folders of one batch each.
type BatchSource struct {
	URI    string   `yaml:"uri" doc:"Folder, gs://BUCKET/PREFIX/, that holds one folder for each batch, named by the batch's start as 2006-01-02T15." required:"true" pattern:"gs://[^/]+/(.+/)?"`
	Batch  Duration `yaml:"batch" doc:"Span of event time in a batch." default:"4h"`
	Format string   `yaml:"format" doc:"Format of the files." default:"avro" enum:"avro"`
}
