package deploy

import "github.com/kappa-migrate/kappa/internal/journal"

// SetSeam has a function called right before and right after an entry is
// appended to the journal.
func (d *Deployer) SetSeam(fn func(e journal.Entry, appended bool)) { d.seam = fn }
