package bridge

import (
	"context"
	"sync"
	"sync/atomic"
)

// budget is the one byte budget (invariant B4) over fetched, in-flight and
// retrying records. It is taken by two kinds of holders: the records of a
// poll, which are there already and so are charged without waiting (the poll
// itself waits for room), and the messages that are made from them, which wait
// for room one by one.
type budget struct {
	limit    int64
	share    int64       // of messages: records that took all would leave them to go one at a time
	pressure atomic.Bool // somebody waits: batches must not linger
	pressed  func()      // called when pressure begins

	mu       sync.Mutex
	records  int64
	messages int64
	peak     int64
	waiters  int
	changed  chan struct{} // closed and replaced when waiters should look again
}

func newBudget(limit int64, pressed func()) *budget {
	return &budget{limit: limit, share: limit / 4, pressed: pressed, changed: make(chan struct{})}
}

// poll waits until there is room for as many bytes as coming says, beside the
// messages' share, or until nothing is used at all.
func (b *budget) poll(ctx context.Context, coming func() int64) error {
	return b.wait(ctx, func() bool {
		return b.records+b.messages == 0 || b.records+max(b.messages, b.share)+coming() <= b.limit
	}, 0)
}

// fits reports whether a message of n bytes can be charged. One always can
// where there is no other: nothing else could make room.
func (b *budget) fits(n int64) bool {
	return b.messages == 0 || b.messages+n <= b.share || b.records+b.messages+n <= b.limit
}

// addRecords charges n bytes of polled records.
func (b *budget) addRecords(n int64) {
	b.mu.Lock()
	b.records += n
	b.peak = max(b.peak, b.records+b.messages)
	b.mu.Unlock()
}

// tryMessage charges n bytes of a message if they fit now.
func (b *budget) tryMessage(n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.fits(n) {
		return false
	}
	b.messages += n
	b.peak = max(b.peak, b.records+b.messages)
	return true
}

// addMessage charges n bytes of a message without waiting: for the few bytes
// of a dead letter, whose record is charged already. Waiting there could wait
// for the very batch that the dead letter comes from.
func (b *budget) addMessage(n int64) {
	b.mu.Lock()
	b.messages += n
	b.peak = max(b.peak, b.records+b.messages)
	b.mu.Unlock()
}

// acquireMessage charges n bytes of a message once they fit.
func (b *budget) acquireMessage(ctx context.Context, n int64) error {
	return b.wait(ctx, func() bool { return b.fits(n) }, n)
}

// release gives bytes back.
func (b *budget) release(records, messages int64) {
	b.mu.Lock()
	b.records -= records
	b.messages -= messages
	if b.waiters > 0 {
		close(b.changed)
		b.changed = make(chan struct{})
	}
	b.mu.Unlock()
}

// used returns the bytes charged now and the most that ever were.
func (b *budget) used() (now, peak int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.records + b.messages, b.peak
}

func (b *budget) wait(ctx context.Context, fits func() bool, messages int64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for !fits() {
		b.waiters++
		changed := b.changed
		first := !b.pressure.Swap(true)
		b.mu.Unlock()
		if first && b.pressed != nil {
			b.pressed()
		}
		var err error
		select {
		case <-ctx.Done():
			err = ctx.Err()
		case <-changed:
		}
		b.mu.Lock()
		b.waiters--
		b.pressure.Store(b.waiters > 0)
		if err != nil {
			return err
		}
	}
	b.messages += messages
	b.peak = max(b.peak, b.records+b.messages)
	return nil
}
