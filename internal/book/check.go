package book

import "github.com/seed-744e3d1b/tapedeck/events"

// Check holds an event, already valid on its own, against the cross-entity
// rules. It changes nothing but the Version of a ParamSaved, which it fills in.
// The error is an *events.InvalidError.
func (b *Book) Check(e *events.Event) (Verdict, error) { panic("to be written") }
