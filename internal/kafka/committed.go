package kafka

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// How long Committed asks again, and how often. The first question about any
// group makes a new cluster create the topic of committed offsets; until it is
// there, groups have no coordinator.
const (
	committedWait  = 30 * time.Second
	committedPause = 200 * time.Millisecond
)

// Committed returns the offsets that a group has committed; a group that is not
// there has committed none. Errors of single partitions are in the result.
func Committed(ctx context.Context, admin *kadm.Client, group string) (kadm.OffsetResponses, error) {
	wait, cancel := context.WithTimeout(ctx, committedWait)
	defer cancel()
	for {
		offsets, err := admin.FetchOffsets(wait, group)
		switch {
		case err == nil:
			return offsets, nil
		case errors.Is(err, kerr.GroupIDNotFound):
			return nil, nil
		case !kerr.IsRetriable(err):
			return nil, err
		}
		select {
		case <-wait.Done():
			return nil, err
		case <-time.After(committedPause):
		}
	}
}
