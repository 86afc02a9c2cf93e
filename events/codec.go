package events

// Decode reads one event as a publisher sends it: strict JSON (no duplicate
// names, valid UTF-8, no unknown field), validated and normalized. The error
// is an *InvalidError.
func Decode(line []byte) (*Event, error) { panic("to be written") }

// DecodeStored reads one event as it lies on the log, upcasting older
// versions. It trusts the log's chain and does not validate again.
func DecodeStored(line []byte) (*Event, error) { panic("to be written") }

// Validate checks and normalizes an event built in Go. The error is an
// *InvalidError. An absent ID becomes a UUIDv7, an absent Subject Data.Subject.
func (e *Event) Validate() error { panic("to be written") }

// AppendJSON appends the canonical encoding: one line without newline, the
// attributes and the fields in the contract's order. Equal events encode to
// equal bytes.
func (e *Event) AppendJSON(dst []byte) ([]byte, error) { panic("to be written") }
