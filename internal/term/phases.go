package term

// Phases shows work whose phases follow one another: a phase begins when it is
// first named, and ends well when the next one is. It is for one goroutine.
type Phases struct {
	display *Display
	name    string
	task    *Task // nil before the first phase
}

// NewPhases returns phases on d, which Close closes.
func NewPhases(d *Display) *Phases { return &Phases{display: d} }

// Enter returns the task of the phase. Unit and total are as for Display.Start;
// they count for nothing while the phase is the one under way.
func (p *Phases) Enter(name, unit string, total int64) *Task {
	if p.task == nil || name != p.name {
		if p.task != nil {
			p.task.Done("")
		}
		p.name, p.task = name, p.display.Start(name, unit, total)
	}
	return p.task
}

// Close ends the last phase, badly if err is not nil, and closes the display.
func (p *Phases) Close(err error) {
	switch {
	case p.task == nil:
	case err != nil:
		p.task.Fail("failed")
	default:
		p.task.Done("")
	}
	p.display.Close()
}
