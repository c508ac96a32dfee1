// Package apachekafka starts real Apache Kafka brokers for tests, benchmarks
// and soaks; nothing of the product imports it. Apache Kafka is resolved once
// from test/kafka/pom.xml by Maven and kept in out/kafka. The brokers run in
// KRaft mode on free ports of the loopback interface, and end with the process
// that started them, however it ends.
//
//	c, err := apachekafka.Start(ctx, apachekafka.Config{Brokers: 3})
//	defer c.Close()
//	client, err := kgo.NewClient(kgo.SeedBrokers(c.Addrs(apachekafka.Plaintext)...))
//
// It needs java and javac (17 or later) and mvn; errors say what is missing.
package apachekafka
