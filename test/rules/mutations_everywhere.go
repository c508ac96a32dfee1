package main

var everywhereMutations = []mutation{
	{Rule: "A1", Breaks: "a field that is misspelt is ignored: the job runs with a default",
		File: "jobspecs/decode.go", Old: "d.unknown(fs, n, path)\n", New: "_ = fs\n",
		Test: "TestErrorGoldens"},
	{Rule: "A1", Breaks: "a batch that was restated is taken for loaded: the comparison is made against old values",
		File: "load/plan.go", Old: "case r.Source == b.source:", New: "case r.Source != \"\":",
		Test: "TestPlanRefuses"},

	{Rule: "A2", Breaks: "schedulers see a plain failure for every outcome",
		File: "internal/exit/exit.go", Old: "return e.Code\n", New: "return Failed\n",
		Test: "TestOf"},
	{Rule: "A2", Breaks: "an exit code is in no documentation",
		File: "internal/exit/exit.go", Old: "\t{NoData, \"compare: no settled data to judge (verdict NO DATA); bridge verify: nothing to judge, or not all was read (INCONCLUSIVE)\"},\n", New: "",
		Test: "TestTableHasEveryCodeOnceInOrder"},

	{Rule: "A3", Breaks: "with --output json an error is printed as text: a program cannot read it",
		File: "internal/cli/run.go", Old: "a.JSON() || wantsJSON(args))", New: "false)",
		Test: "TestErrorsAsJSON"},

	{Rule: "A3", Breaks: "the shares of a comparison's JSON cannot be read back as they are",
		File: "compare/ratio.go", Old: "v := ratioJSON{Num: r.Num, Den: r.Den}", New: `v := ratioJSON{Num: r.Num, Den: "100"}`,
		Test: "TestJSONReadsBack", In: "compare/report"},

	{Rule: "A4", Breaks: "a forgotten variable sends production data to an emulator",
		File: "internal/gcp/gcp.go", Old: `if os.Getenv(v) != "" {`, New: `if os.Getenv(v) != "" && v == EnvPubSub {`,
		Test: "TestEmulatorIsRefusedInProduction"},
	{Rule: "A4", Breaks: "a sandbox without its addresses goes to the real services",
		File: "internal/gcp/gcp.go", Old: `if addr == "" {`, New: `if addr == "none" {`,
		Test: "TestSandboxNeedsItsAddresses"},
	{Rule: "A4", Breaks: "a bridge that was told no address is reached from everywhere",
		File: "jobspecs/types.go", Old: `default:"127.0.0.1:0"`, New: `default:"0.0.0.0:0"`,
		Test: "TestLoopbackByDefault"},
	{Rule: "A4", Breaks: "the sandbox's Pub/Sub is reached from everywhere",
		File: "sandbox/pubsub/server.go", Old: `c.Addr = "127.0.0.1:0"`, New: `c.Addr = ":0"`,
		Test: "TestLoopbackByDefault"},
	{Rule: "A4", Breaks: "what a record holds, which may be sensitive, stands in errors",
		File: "bridge/transform/scan.go", Old: `fmt.Errorf("not JSON at or after byte %d", i)`, New: `fmt.Errorf("not JSON at or after byte %d: %s", i, data)`,
		Test: "TestErrorsShowNoData"},
}
