package pubsub

// fifo is a double-ended queue in a ring. The zero value is empty.
type fifo[T any] struct {
	ring []T // length a power of two, or 0
	head int
	n    int
}

func (q *fifo[T]) len() int { return q.n }

func (q *fifo[T]) at(i int) *T { return &q.ring[(q.head+i)&(len(q.ring)-1)] }

func (q *fifo[T]) resize(size int) {
	ring := make([]T, size)
	for i := range q.n {
		ring[i] = *q.at(i)
	}
	q.ring, q.head = ring, 0
}

func (q *fifo[T]) pushBack(v T) {
	if q.n == len(q.ring) {
		q.resize(max(8, 2*len(q.ring)))
	}
	q.n++
	*q.at(q.n - 1) = v
}

func (q *fifo[T]) pushFront(v T) {
	if q.n == len(q.ring) {
		q.resize(max(8, 2*len(q.ring)))
	}
	q.head = (q.head - 1) & (len(q.ring) - 1)
	q.n++
	q.ring[q.head] = v
}

// popFront removes the first element; the queue must not be empty. The ring
// shrinks again, so that a backlog that was worked off gives its memory back.
func (q *fifo[T]) popFront() T {
	var zero T
	v := q.ring[q.head]
	q.ring[q.head] = zero
	q.head = (q.head + 1) & (len(q.ring) - 1)
	q.n--
	if len(q.ring) > 64 && q.n*4 < len(q.ring) {
		q.resize(len(q.ring) / 2)
	}
	return v
}

// popBack removes the last element; the queue must not be empty.
func (q *fifo[T]) popBack() T {
	var zero T
	p := q.at(q.n - 1)
	v := *p
	*p = zero
	q.n--
	return v
}
