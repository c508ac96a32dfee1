// Package kafka is how every part of kappa reaches a Kafka cluster: from the
// cluster of a spec it makes the options of a client (Options), with TLS, SASL
// and secrets, and from the source of a spec the topics (Topics) and the offsets
// (Starts) that are read. Explain turns what the client says when something is
// wrong into what the operator has to do.
//
// Files with secrets, certificates and keys are read again for every
// connection, so that all of them can be renewed while a bridge runs. No error
// of this package holds the value of a secret (rule A4).
//
// The caller owns the clients, and adds what only it knows: groups, sizes,
// isolation, hooks.
package kafka
