package pipeline

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
)

// published is a message and its event.
type published struct {
	id    string
	topic int
	f     flight
	m     *pubsubpb.PubsubMessage
}

// tick is an event of each origin, after some minutes.
func tick(advance int) []draft {
	out := make([]draft, worldOrigins)
	for i := range out {
		out[i] = draft{Behind: behindPrompt, Origin: i}
	}
	out[0].Advance = advance
	return out
}

// leap publishes events after which those of before are too late.
func (w *world) leap() error {
	return w.send(tick(int(w.horizon/time.Minute)+60), worldOrigins)
}

// publish publishes a step's events.
func (w *world) publish(s step) error {
	drafts := slices.Clone(s.Send)
	if s.Tick {
		drafts = append(drafts, tick(1)...)
	}
	if half := len(drafts) / 2; s.Settle && s.Do == doPublish {
		if err := w.send(drafts[:half], s.Chunk); err != nil {
			return err
		}
		if err := w.settle(); err != nil {
			return err
		}
		drafts = drafts[half:]
	}
	if err := w.send(drafts, s.Chunk); err != nil || !s.Leap {
		return err
	}
	return w.leap()
}

// send publishes events, chunk of a topic in a call.
func (w *world) send(drafts []draft, chunk int) error {
	if len(drafts) == 0 {
		return nil
	}
	var text []string
	by := make([][]published, worldTopics)
	for _, d := range drafts {
		w.clock = w.clock.Add(time.Duration(d.Advance) * time.Minute)
		f := flight{id: len(w.flights), arrival: w.clock, origin: fmt.Sprintf("A%02d", d.Origin), partition: d.Origin / worldTopics % w.partitions}
		f.delay, f.distance = int64(f.id*7%97-20), int64(100+f.id*31%1000)
		at := f.arrival
		switch {
		case d.Again > 0 && len(w.flights) > 0:
			f = w.flights[d.Again%len(w.flights)]
			if at = f.arrival; d.Anew {
				at = w.clock
			}
			text = append(text, fmt.Sprintf("%d again", f.id))
		case d.Behind == behindLate:
			f.scheduled = w.clock.Add(-min(w.horizon, 12*time.Hour) * time.Duration(d.By) / 91)
		case d.Behind == behindTooLate:
			f.scheduled = w.clock.Add(-min(w.horizon+time.Duration(d.By)*time.Minute, w.clock.Sub(worldEpoch.Add(-24*time.Hour))))
		default:
			f.scheduled = w.clock.Add(-time.Duration(d.By) * time.Minute)
		}
		if f.id == len(w.flights) {
			f.scheduled = f.scheduled.Truncate(time.Minute)
			w.flights = append(w.flights, f)
			text = append(text, fmt.Sprintf("%d %s %s at %s", f.id, f.origin, f.scheduled.Format("02T15:04"), at.Format("02T15:04")))
		}
		topic := int(f.origin[len(f.origin)-1]) % worldTopics
		offset := f.id
		if !at.Equal(f.arrival) { // a record of its own
			offset = len(w.flights) + 1000 + len(text)
		}
		f.arrival = at
		by[topic] = append(by[topic], published{topic: topic, f: f, m: f.message(offset)})
	}
	w.tracef("  publish %s", strings.Join(text, ", "))
	for topic, ps := range by {
		for part := range slices.Chunk(ps, max(1, chunk)) {
			req := &pubsubpb.PublishRequest{Topic: topicName(topic)}
			for _, p := range part {
				req.Messages = append(req.Messages, p.m)
			}
			resp, err := w.client.TopicAdminClient.Publish(context.Background(), req)
			if err != nil {
				return err
			}
			for i, id := range resp.GetMessageIds() {
				part[i].id = id
				w.messages = append(w.messages, part[i])
			}
		}
	}
	w.moved()
	return nil
}
