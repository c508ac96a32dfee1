package main

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"

	"github.com/kappa-migrate/kappa/internal/exit"
	"github.com/kappa-migrate/kappa/test/program"
)

const quickKeys = 2500

func main() { program.Main("accuracy", command) }

func command(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("accuracy", flag.ContinueOnError)
	cfg := config{out: out}
	flags.StringVar(&cfg.bin, "bin", "bin", "`folder` of the programs under test")
	flags.StringVar(&cfg.input, "input", "", "`file` of flights, CSV (gzipped or not) or Parquet (default: the week that is built in)")
	flags.Uint64Var(&cfg.seed, "seed", 0, "`number` that all chance comes from (default: a random one, which is printed)")
	flags.IntVar(&cfg.keys, "keys", 0, "about how many `keys`, of airports by chance; 0: all")
	quick := flags.Bool("quick", false, "2,500 keys, and no page is written; the bounds are the same")
	path := flags.String("out", "out/accuracy.json", "`file` of the report")
	page := flags.String("page", "", "`file` of the page of the docs (default: none is written)")
	if err := program.Parse(flags, args, out); err != nil {
		return err
	}
	if flags.NArg() > 0 || cfg.keys < 0 {
		return exit.Usagef("no arguments are taken, and --keys is not negative")
	}
	if *quick {
		cfg.keys, *page = quickKeys, ""
	}
	for cfg.seed == 0 {
		var b [4]byte
		if _, err := rand.Read(b[:]); err != nil {
			return fmt.Errorf("draw a seed: %w", err)
		}
		cfg.seed = uint64(binary.BigEndian.Uint32(b[:]))
	}
	r, err := run(ctx, cfg)
	if err != nil {
		return fmt.Errorf("seed %d: %w", cfg.seed, err)
	}
	r.print(out)
	if err := r.write(*path, *page); err != nil {
		return exit.Environmentf("write the report: %w", err)
	}
	fmt.Fprintln(out, "report:", *path)
	if !r.OK {
		return exit.With(exit.Failed, errors.New("causes were proven that are not there, or too many were missed or made up"))
	}
	return nil
}
