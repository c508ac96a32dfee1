// Command worker is the fake worker of package dataflowtest.
package main

import (
	"os"

	"github.com/kappa-migrate/kappa/sandbox/dataflow/dataflowtest/fake"
)

func main() { os.Exit(fake.Work(os.Args[1:])) }
