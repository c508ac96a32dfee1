package pubsub

import "sync"

// record is what was published to a topic since its oldest snapshot was
// created: a chain of requests, in which every snapshot keeps the link that it
// begins behind. No one keeps an earlier link, so nothing is held for longer
// than a snapshot needs it. A record without snapshots must not be appended to.
type record struct {
	mu    sync.Mutex // publishers append at the same time
	last  *link      // nil without snapshots
	begin int64      // where the oldest snapshot begins, in bytes appended
	end   int64      // bytes appended so far
}

// link is one request.
type link struct {
	messages []message
	next     *link
	at       int64 // record.end when it was the last one
}

// append adds the messages of a request, and returns their bytes.
func (r *record) append(messages []message) (bytes int64) {
	for _, m := range messages {
		bytes += int64(len(m.encoded))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.end += bytes
	next := &link{messages: messages, at: r.end}
	r.last.next = next
	r.last = next
	return bytes
}

// mark returns a link that a snapshot can begin behind: one without messages,
// for the snapshot would hold them. It may not be called while others append.
func (r *record) mark() *link {
	next := &link{at: r.end}
	if r.last == nil {
		r.begin = r.end
	} else {
		r.last.next = next
	}
	r.last = next
	return next
}

// trim notes that only the snapshots that begin behind some marks are left, and
// returns how many bytes are held no longer. It may not be called while others
// append.
func (r *record) trim(marks []*link) (bytes int64) {
	begin := r.end
	for _, m := range marks {
		begin = min(begin, m.at)
	}
	bytes = begin - r.begin
	r.begin = begin
	if len(marks) == 0 {
		r.last = nil
	}
	return bytes
}
