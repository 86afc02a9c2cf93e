package ingest

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
)

// KnownIDs is how many of the newest events' ids ingest remembers.
const KnownIDs = 2_000_000

// idHash stands for an event's id. 128 bits of SHA-256 make a collision, even
// one that somebody looks for, out of the question.
type idHash [16]byte

func hashID(id string) idHash {
	sum := sha256.Sum256([]byte(id))
	return idHash(sum[:16])
}

// known remembers the ids of the newest events on the log. Sequences have no
// gaps, so the events' marks lie in a ring by sequence.
type known struct {
	limit int
	first uint64 // the sequence whose mark is at ring[0], modulo limit
	last  uint64
	ring  []mark
	at    map[idHash]uint64
}

type mark struct {
	id      idHash
	content uint64 // events.Event.ContentHash
}

const markSize = 16 + 8

func newKnown(limit int) *known {
	return &known{limit: limit, at: make(map[idHash]uint64)}
}

// find tells the sequence and the content hash that an id was first used with.
func (k *known) find(id idHash) (sequence, content uint64, ok bool) {
	sequence, ok = k.at[id]
	if !ok {
		return 0, 0, false
	}
	return sequence, k.ring[k.place(sequence)].content, true
}

// empty tells whether nothing is remembered; the first mark may then be of any
// sequence.
func (k *known) empty() bool { return len(k.ring) == 0 }

// add remembers the next event's mark and forgets the oldest one when full.
func (k *known) add(sequence uint64, m mark) {
	if k.empty() {
		k.first = sequence
	} else if sequence != k.last+1 {
		panic(fmt.Sprintf("ingest: id of sequence %d remembered after %d", sequence, k.last))
	}
	k.last = sequence
	if len(k.ring) < k.limit {
		k.ring = append(k.ring, m)
	} else {
		place := k.place(sequence)
		delete(k.at, k.ring[place].id)
		k.ring[place] = m
	}
	k.at[m.id] = sequence
}

func (k *known) place(sequence uint64) int { return int((sequence - k.first) % uint64(k.limit)) }

// encode writes the marks oldest first.
func (k *known) encode() []byte {
	out := make([]byte, 0, len(k.ring)*markSize)
	for sequence := k.last + 1 - uint64(len(k.ring)); sequence <= k.last; sequence++ {
		m := k.ring[k.place(sequence)]
		out = append(out, m.id[:]...)
		out = binary.BigEndian.AppendUint64(out, m.content)
	}
	return out
}

// decodeKnown reads what encode wrote when the newest event was last.
func decodeKnown(data []byte, last uint64, limit int) (*known, error) {
	count := uint64(len(data) / markSize)
	if len(data)%markSize != 0 || count > last {
		return nil, fmt.Errorf("ingest: known ids of sequence %d: %d bytes do not fit", last, len(data))
	}
	k := newKnown(limit)
	skip := count - min(count, uint64(limit))
	for sequence := last + 1 - count + skip; sequence <= last; sequence++ {
		at := data[(sequence-(last+1-count))*markSize:]
		k.add(sequence, mark{id: idHash(at[:16]), content: binary.BigEndian.Uint64(at[16:])})
	}
	return k, nil
}
