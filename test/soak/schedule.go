package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// Kinds of events.
const (
	evKill       = "kill"        // SIGKILL one bridge
	evKillAll    = "kill_all"    // SIGKILL all of them
	evStorm      = "storm"       // members join the group and leave it again
	evRoll       = "roll"        // stop one bridge in order and start it again
	evPause      = "pause"       // stop a bridge's time, shortly
	evLongPause  = "long_pause"  // longer than the group waits for it
	evBroker     = "broker"      // restart a broker
	evLeaders    = "leaders"     // move the leaders of a topic
	evConfuse    = "coordinator" // move coordinators, fail commits and fetches
	evHide       = "ambiguous"   // store, and answer with an error
	evOutage     = "outage"      // Pub/Sub is away
	evLongOutage = "long_outage" // for longer than a minute
	evTopic      = "topic"       // one topic is away
	evThrottle   = "throttle"    // RESOURCE_EXHAUSTED
	evSlow       = "slow"        // slow answers
	evDeny       = "deny"        // PERMISSION_DENIED
	evDisconnect = "disconnect"  // break a bridge's connections
	evCompact    = "compact"     // compact underneath
	evCutDown    = "cut_down"    // truncate while the bridge is down
	evCutLive    = "cut_live"    // truncate while the bridge runs and is held up
	evExpire     = "expire"      // retention, while the bridge is down
)

// event is one thing that happens.
type event struct {
	At   time.Duration
	Kind string
	Slot int           // of the bridge, broker or topic: taken modulo how many there are
	For  time.Duration // how long
	Rest time.Duration // and then
	P    float64       // probability
	Seed uint64        // of what else it rolls
}

func (e event) String() string {
	return fmt.Sprintf("%7.1fs %s slot=%d for=%s rest=%s p=%.2f", e.At.Seconds(), e.Kind, e.Slot, e.For.Round(time.Millisecond), e.Rest.Round(time.Millisecond), e.P)
}

// kinds are what the bag of a round holds, and how often.
var kinds = []struct {
	kind     string
	times    int
	from, to time.Duration // bounds of For
}{
	{evKill, 10, 0, 0},
	{evKillAll, 1, 0, 0},
	{evStorm, 2, time.Second, 5 * time.Second},
	{evRoll, 1, 0, 0},
	{evPause, 1, 2 * time.Second, 5 * time.Second},
	{evBroker, 2, time.Second, 5 * time.Second},
	{evLeaders, 2, 0, 0},
	{evConfuse, 1, time.Second, 4 * time.Second},
	{evHide, 3, time.Second, 4 * time.Second},
	{evOutage, 1, 3 * time.Second, 10 * time.Second},
	{evTopic, 2, 3 * time.Second, 10 * time.Second},
	{evThrottle, 2, 2 * time.Second, 8 * time.Second},
	{evSlow, 1, 3 * time.Second, 8 * time.Second},
	{evDeny, 1, 2 * time.Second, 4 * time.Second},
	{evDisconnect, 2, 100 * time.Millisecond, 3 * time.Second},
	{evCompact, 2, 0, 0},
}

// What a run has to last for.
const (
	forLongOutage = 140 * time.Second
	forLongPause  = 5 * time.Minute
	forGaps       = 45 * time.Second
	warmUp        = 4 * time.Second
)

// schedule is what happens in a run: a function of its seed and length. Every
// kind comes once before any comes again as often as its weight has it.
func schedule(seed uint64, length time.Duration) (events []event, left []string) {
	dice := rand.New(rand.NewPCG(seed, 1))
	between := func(from, to time.Duration) time.Duration {
		if to <= from {
			return from
		}
		return from + time.Duration(dice.Int64N(int64(to-from)))
	}
	add := func(at time.Duration, kind string, from, to time.Duration) {
		events = append(events, event{
			At: at, Kind: kind, Slot: dice.IntN(1 << 16), For: between(from, to), Rest: between(0, 3*time.Second),
			P: 0.2 + 0.7*dice.Float64(), Seed: dice.Uint64(),
		})
	}
	at := warmUp
	for at < length {
		var bag []int
		for i, k := range kinds {
			for range k.times {
				bag = append(bag, i)
			}
		}
		dice.Shuffle(len(bag), func(i, j int) { bag[i], bag[j] = bag[j], bag[i] })
		for _, i := range bag {
			if at >= length {
				break
			}
			k := kinds[i]
			add(at, k.kind, k.from, min(k.to, max(length-at, k.from)))
			at += between(700*time.Millisecond, 2500*time.Millisecond)
		}
	}
	if length < forLongOutage {
		left = append(left, fmt.Sprintf("an outage longer than a minute: it takes a duration of at least %s", forLongOutage))
	}
	for at := length / 3; length >= forLongOutage && at < length-80*time.Second; at += 15 * time.Minute {
		add(at, evLongOutage, 62*time.Second, 75*time.Second)
	}
	if length < forLongPause {
		left = append(left, fmt.Sprintf("a pause longer than the group's session: it takes a duration of at least %s", forLongPause))
	}
	for at := length / 2; length >= forLongPause && at < length-90*time.Second; at += 20 * time.Minute {
		add(at, evLongPause, 55*time.Second, 65*time.Second)
	}
	if length < forGaps {
		left = append(left, fmt.Sprintf("truncation in front of a bridge: it takes a duration of at least %s", forGaps))
	}
	gaps := []string{evCutDown, evCutLive, evExpire}
	for i, at := 0, length/12; length >= forGaps && at < length-15*time.Second; i, at = i+1, at+max(length/8, 25*time.Second) {
		add(at, gaps[i%len(gaps)], 0, 0)
	}
	slices.SortStableFunc(events, func(a, b event) int { return int(a.At - b.At) })
	return events, left
}
