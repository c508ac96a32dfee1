package sandbox

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strings"

	"github.com/twmb/franz-go/pkg/kfake"
)

// ClusterID is the id of the sandbox's Kafka cluster: the first part of every
// position.
const ClusterID = "kappa-sandbox"

// startKafka starts a cluster of one broker. Topics are made by whoever needs
// them: creating them on first use would hide a misspelt name.
func startKafka(log *slog.Logger, addr string, partitions int) (*kfake.Cluster, error) {
	return kfake.NewCluster(
		kfake.NumBrokers(1),
		kfake.ClusterID(ClusterID),
		kfake.DefaultNumPartitions(partitions),
		kfake.ListenFn(func(network, _ string) (net.Listener, error) { return net.Listen(network, addr) }),
		kfake.WithLogger(kafkaLogger{log}),
	)
}

// kafkaLogger passes the cluster's log on, one level down: it calls routine
// requests Info.
type kafkaLogger struct{ log *slog.Logger }

func (l kafkaLogger) Logf(level kfake.LogLevel, format string, args ...any) {
	to := slog.LevelDebug
	switch level {
	case kfake.LogLevelError:
		to = slog.LevelError
	case kfake.LogLevelWarn:
		to = slog.LevelInfo
	}
	if l.log.Enabled(context.Background(), to) {
		l.log.Log(context.Background(), to, "kafka", "message", strings.TrimSpace(fmt.Sprintf(format, args...)))
	}
}
