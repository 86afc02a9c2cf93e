package eventlog

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
)

// Chain is the hash that links every frame to all that came before it:
// SHA-256(previous chain ‖ first sequence, 8 bytes big-endian ‖ payload).
// The first frame links to the zero Chain.
type Chain [sha256.Size]byte

// Next is the chain value of the frame that follows c.
func (c Chain) Next(first uint64, payload []byte) Chain {
	h := sha256.New()
	h.Write(c[:])
	var seq [8]byte
	binary.BigEndian.PutUint64(seq[:], first)
	h.Write(seq[:])
	h.Write(payload)
	var next Chain
	h.Sum(next[:0])
	return next
}

// String is the lower-case hex form, 64 characters.
func (c Chain) String() string { return hex.EncodeToString(c[:]) }

// ParseChain reads the form that String writes.
func ParseChain(text string) (Chain, error) {
	var c Chain
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != len(c) {
		return c, fmt.Errorf("chain value %.80q: must be %d hex digits", text, 2*len(c))
	}
	copy(c[:], b)
	return c, nil
}

// Checkpoint says how far a reader has come and proves which log it read.
// The zero Checkpoint lies before the first event.
type Checkpoint struct {
	// Sequence is the last event taken in.
	Sequence uint64
	// Chain is the chain value of the frame that holds Sequence, which may lie
	// anywhere inside its frame.
	Chain Chain
}
