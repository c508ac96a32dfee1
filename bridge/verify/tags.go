package verify

// tags holds 8 bytes for each of some offsets; zero is none.
type tags struct {
	m     *meter
	pages map[int64]*[tagPage]uint64
}

const tagPage = 512

func newTags(m *meter) *tags { return &tags{m: m, pages: map[int64]*[tagPage]uint64{}} }

// get returns the tag of an offset; those of nil tags are zero.
func (t *tags) get(offset int64) uint64 {
	if t == nil {
		return 0
	}
	p := t.pages[offset/tagPage]
	if p == nil {
		return 0
	}
	return p[offset%tagPage]
}

func (t *tags) put(offset int64, tag uint64) {
	p := t.pages[offset/tagPage]
	if p == nil {
		p = new([tagPage]uint64)
		t.pages[offset/tagPage] = p
		t.m.take(8*tagPage + pageCost)
	}
	p[offset%tagPage] = tag
}
