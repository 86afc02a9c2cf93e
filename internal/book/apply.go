package book

import "github.com/seed-744e3d1b/tapedeck/events"

// Apply is the fold.
func (b *Book) Apply(e *events.Event) { panic("to be written") }

func (b *Book) preimage(e *events.Event) func() { panic("to be written") }
