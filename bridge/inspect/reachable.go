package inspect

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/kappa-migrate/kappa/internal/kafka"
	"github.com/kappa-migrate/kappa/jobspecs"
)

// kafkaTopics looks at Kafka topics that are produced to.
func (n *inspection) kafkaTopics(ctx context.Context, subject string, c jobspecs.KafkaCluster, topics []string) {
	ctx, cancel := context.WithTimeout(ctx, n.Wait)
	defer cancel()
	client, err := kafka.Connect(ctx, c, "kappa-bridge-check")
	if err != nil {
		n.failed(subject, err)
		return
	}
	defer client.Close()
	meta, err := kadm.NewClient(client).Metadata(ctx, topics...)
	if err != nil {
		n.failed(subject, kafka.Explain(err, c))
		return
	}
	var missing []string
	for _, name := range topics {
		if t, ok := meta.Topics[name]; !ok || t.Err != nil {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		n.add(Check{subject, Failed, "cannot be found: " + shortList(missing), "create the topics"})
		return
	}
	denied, known, err := deniedTopics(ctx, client, topics, kmsg.ACLOperationWrite)
	switch {
	case err != nil || !known:
		n.ok(subject, fmt.Sprintf("%s there; permission to write not known: the brokers do not say", shortList(topics)))
	case len(denied) > 0:
		n.add(Check{subject, Failed, "may not be written to: " + shortList(denied), "allow the operation Write on the topics"})
	default:
		n.ok(subject, shortList(topics))
	}
}

// deadLetters looks at where dead letters go.
func (n *inspection) deadLetters(ctx context.Context) {
	switch d := &n.spec.DeadLetter; {
	case d.Topic != "":
		n.pubSub(ctx, []string{d.Topic}, "dead letters")
	case d.File != "":
		n.file(d.File)
	default:
		n.kafkaTopics(ctx, "Kafka dead letters", d.Kafka.KafkaCluster, []string{d.Kafka.Topic})
	}
}

// file looks whether a file can be appended to; it makes none.
func (n *inspection) file(name string) {
	subject := "dead letters " + name
	if f, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND, 0); err == nil {
		f.Close()
		n.ok(subject, "can be appended to")
		return
	} else if !os.IsNotExist(err) {
		n.add(Check{subject, Failed, err.Error(), "let the bridge's user write to the file"})
		return
	}
	probe, err := os.CreateTemp(filepath.Dir(name), ".kappa-check-*")
	if err != nil {
		n.add(Check{subject, Failed, "cannot be made: " + err.Error(), "make its folder, and let the bridge's user write there"})
		return
	}
	probe.Close()
	if err := os.Remove(probe.Name()); err != nil {
		n.add(Check{subject, Warned, err.Error(), ""})
		return
	}
	n.ok(subject, "can be made")
}

// registry asks the schema registry something that any client may ask.
func (n *inspection) registry(ctx context.Context) {
	r := &n.spec.Transform.Schema.Registry
	if r.URL == "" {
		return
	}
	subject := "schema registry"
	ctx, cancel := context.WithTimeout(ctx, n.Wait)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(r.URL, "/")+"/schemas/types", nil)
	if err != nil {
		n.failed(subject, err)
		return
	}
	if err := authenticate(req, r); err != nil {
		n.failed(subject, err)
		return
	}
	client, err := registryClient(r)
	if err != nil {
		n.failed(subject, err)
		return
	}
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		n.add(Check{subject, Failed, err.Error(), "check transform.schema.registry.url, and that it can be reached from here"})
		return
	}
	defer resp.Body.Close()
	_, _ = io.CopyN(io.Discard, resp.Body, 1<<20) // so that the connection can end in order
	switch {
	case resp.StatusCode == http.StatusUnauthorized, resp.StatusCode == http.StatusForbidden:
		n.add(Check{subject, Failed, "it refuses the credentials: " + resp.Status, "check transform.schema.registry"})
	case resp.StatusCode >= 500:
		n.add(Check{subject, Failed, resp.Status, "see the registry's logs"})
	case resp.StatusCode >= 300:
		n.add(Check{subject, Skipped, "it answers, but not to what was asked: " + resp.Status, ""})
	default:
		n.ok(subject, r.URL)
	}
}

func authenticate(req *http.Request, r *jobspecs.Registry) error {
	if r.Token.Given() {
		token, err := kafka.Secret(r.Token)
		req.Header.Set("Authorization", "Bearer "+token)
		return err
	}
	if r.Username == "" {
		return nil
	}
	password, err := kafka.Secret(r.Password)
	req.SetBasicAuth(r.Username, password)
	return err
}

func registryClient(r *jobspecs.Registry) (*http.Client, error) {
	t := http.DefaultTransport.(*http.Transport).Clone()
	if r.CAFile != "" {
		pem, err := os.ReadFile(r.CAFile)
		if err != nil {
			return nil, err
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate in PEM", r.CAFile)
		}
		t.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	return &http.Client{Transport: t}, nil
}
