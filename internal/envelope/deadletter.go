package envelope

// DeadLetter is a line of a file of dead letters: the record byte for byte, as
// JSON writes bytes (base64), where it stood, and why it could not be
// published. A nil Key or Value was null in Kafka.
type DeadLetter struct {
	Position string   `json:"position"`
	ID       string   `json:"id,omitempty"` // of the record's events, where it does not take their fields
	Reason   string   `json:"reason"`
	Error    string   `json:"error"`
	Bridge   string   `json:"bridge"`
	Time     string   `json:"source_time,omitempty"`
	Key      []byte   `json:"key"`
	Value    []byte   `json:"value"`
	Headers  []Header `json:"headers,omitempty"`
	Omitted  string   `json:"omitted,omitempty"` // what of the record the letter lacks: key, headers
}

// Header is a record's header.
type Header struct {
	Name  string `json:"name"`
	Value []byte `json:"value"`
}
