package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
)

// accept accepts gaps as an operator does, by the command, while the bridge runs.
func (r *run) accept(ctx context.Context, found map[tp]missed) {
	for p, m := range found {
		err := again(ctx, "accept the gap of "+p.String(), func(ctx context.Context) error {
			cmd := exec.CommandContext(ctx, r.kappa, "bridge", "accept", "-f", specPath(r.dir, groupCut),
				"--partition", p.String(), "--by", "soak", "--reason", "truncated on purpose", "--yes", "--output", "json")
			var out, errs bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &errs
			if err := cmd.Run(); err != nil {
				return fmt.Errorf("%w: %s", err, &errs)
			}
			var got struct {
				To int64 `json:"to"`
			}
			if err := json.Unmarshal(out.Bytes(), &got); err != nil {
				return fmt.Errorf("%w in %s", err, &out)
			}
			if got.To != m.to {
				r.gapFault("%s: the bridge says that it can go on at %d, accept that it does at %d", p, m.to, got.To)
			}
			return nil
		})
		if err != nil && ctx.Err() == nil {
			r.gapFault("%v", err)
		}
	}
}
