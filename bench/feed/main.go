// Command feed is the Kafka that a benchmark reads: a topic of any length that
// takes no memory (package vlog). It ends when its stdin does.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/kappa-migrate/kappa/bench/internal/event"
	"github.com/kappa-migrate/kappa/bench/internal/profile"
	"github.com/kappa-migrate/kappa/bench/internal/report"
	"github.com/kappa-migrate/kappa/bench/internal/vlog"
	"github.com/kappa-migrate/kappa/internal/child"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "feed:", err)
		os.Exit(1)
	}
}

func run() (err error) {
	var cfg vlog.Config
	flag.StringVar(&cfg.Topic, "topic", "bench", "`name` of the topic")
	flag.IntVar(&cfg.Partitions, "partitions", 16, "`number` of partitions")
	flag.IntVar(&cfg.Brokers, "brokers", 2, "`number` of brokers")
	flag.StringVar(&cfg.Compression, "compression", "none", "none, gzip, snappy, lz4 or zstd")
	ends := flag.String("ends", "", "`offsets` at which the partitions end, separated by commas; none: they have no end")
	flag.IntVar(&cfg.Rate, "rate", 0, "`records` per second; 0: all at once")
	format := flag.String("format", event.JSON, "json or avro")
	size := flag.Int("size", 1000, "`bytes` of a record's value")
	vary := flag.Bool("vary", false, "values of between half of -size and one and a half of it")
	cpuProfile := flag.String("cpuprofile", "", "`file` for a CPU profile")
	flag.Parse()
	stop, err := profile.Start(*cpuProfile)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	for s := range strings.SplitSeq(*ends, ",") {
		if s == "" {
			continue
		}
		end, err := strconv.ParseInt(s, 10, 64)
		if err != nil || end < 0 {
			return fmt.Errorf("-ends: %q is not an offset", s)
		}
		cfg.Ends = append(cfg.Ends, end)
	}
	generate := event.Make
	if *vary {
		generate = event.Vary
	}
	if cfg.Events, err = generate(*format, *size, event.PerBatch(*size)); err != nil {
		return err
	}
	log, err := vlog.Serve(cfg)
	if err != nil {
		return err
	}
	defer log.Close()
	if err := report.Print(report.Feed{Brokers: log.Addrs(), Period: log.Period(), BatchBytes: log.BatchBytes()}); err != nil {
		return err
	}
	<-child.WithParent(context.Background()).Done()
	return nil
}
