package replay

import (
	"cmp"
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
	"github.com/seed-744e3d1b/tapedeck/internal/projector"
)

// remembered is a place of the log that somebody outside of it remembers.
type remembered struct {
	// Source says who: "tier redis", "signed anchor june.json".
	Source   string `json:"source"`
	Sequence uint64 `json:"sequence"`
	Chain    string `json:"chain,omitempty"`
	// Held tells that the log, or a backup, has the place as it is remembered.
	Held bool `json:"held"`
	// Problem is what is wrong; "" when nothing is.
	Problem string `json:"problem,omitempty"`

	chain  eventlog.Chain
	damage *eventlog.CorruptError // nil when the log is not to blame
	// signed is set for a signed anchor, which remembers more than a place.
	signed *signedAnchor
}

// remember is a place by its checkpoint. The place before the first event is
// on every log.
func remember(source string, at eventlog.Checkpoint) *remembered {
	return &remembered{Source: source, Sequence: at.Sequence, Chain: at.Chain.String(), Held: at.Sequence == 0, chain: at.Chain}
}

func (p *remembered) fail(format string, args ...any) {
	if p.Problem == "" {
		p.Problem = fmt.Sprintf(format, args...)
	}
}

// lost is a problem that only a damaged log explains.
func (p *remembered) lost(sequence uint64, format string, args ...any) {
	p.damage = &eventlog.CorruptError{
		Sequence: sequence, Reason: fmt.Sprintf(format, args...),
		Hint: "stop all writers, keep the data for inspection, and restore the log from a backup that holds what is remembered",
	}
	p.fail("%s", p.damage.Reason)
}

// finish says what is wrong with a place that nobody had.
func (p *remembered) finish() {
	if !p.Held {
		p.fail("no backup reaches sequence %d", p.Sequence)
	}
}

// rememberedByTier are the checkpoint of a tier and that of its previous
// contents.
func (e *Env) rememberedByTier(name string) ([]*remembered, error) {
	tier, err := e.openTier(name)
	if err != nil {
		return nil, err
	}
	defer tier.Close()
	at, err := tier.Checkpoint(e.Context)
	if err != nil {
		return nil, err
	}
	places := []*remembered{remember("tier "+name, at)}
	previous, err := tier.Previous(e.Context)
	if errors.Is(err, projector.ErrNoPrevious) {
		return places, nil
	}
	if err != nil {
		return nil, err
	}
	defer previous.Close()
	if at, err = previous.Checkpoint(e.Context); err != nil {
		return nil, fmt.Errorf("previous contents: %w", err)
	}
	return append(places, remember("tier "+name+", previous contents", at)), nil
}

func rememberedBySnapshot(dir string) (*remembered, error) {
	path := filepath.Join(dir, "MANIFEST.json")
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("snapshot: %w", err)
	}
	var manifest struct {
		Sequence uint64 `json:"sequence"`
		Chain    string `json:"chain"`
	}
	if err := json.Unmarshal(text, &manifest); err != nil {
		return nil, usage("%s is no snapshot's manifest: %v", path, err)
	}
	chain, err := eventlog.ParseChain(manifest.Chain)
	if err != nil {
		return nil, usage("%s is no snapshot's manifest: %v", path, err)
	}
	return remember("snapshot "+dir, eventlog.Checkpoint{Sequence: manifest.Sequence, Chain: chain}), nil
}

func rememberedByAnchor(path string, trusted ed25519.PublicKey) (*remembered, error) {
	anchor, err := readAnchor(path)
	if err != nil {
		return nil, fmt.Errorf("signed anchor: %w", err)
	}
	at, err := anchor.checkpoint()
	if err != nil {
		return nil, usage("signed anchor %s: %v", path, err)
	}
	p := remember("signed anchor "+path, at)
	p.signed = &anchor
	if err := anchor.verify(trusted); err != nil {
		p.fail("%v", err)
	}
	return p, nil
}

// lookup holds places against frames that come in log order.
type lookup struct {
	where  string
	places []*remembered // those still ahead, in order
	signed []*remembered
}

func newLookup(where string, places []*remembered) *lookup {
	l := &lookup{where: where}
	for _, p := range places {
		if p.Sequence > 0 {
			l.places = append(l.places, p)
		}
		if p.signed != nil {
			l.signed = append(l.signed, p)
		}
	}
	slices.SortStableFunc(l.places, func(a, b *remembered) int { return cmp.Compare(a.Sequence, b.Sequence) })
	return l
}

// frame takes the next frame.
func (l *lookup) frame(f eventlog.Frame) {
	if f.First == 1 {
		for _, p := range l.signed {
			if first := f.Chain.String(); first != p.signed.FirstChain {
				p.fail("it is of another log: that one begins with the chain %s, %s with %s", p.signed.FirstChain, l.where, first)
			}
		}
	}
	for len(l.places) > 0 && l.places[0].Sequence <= f.Last() {
		p := l.places[0]
		l.places = l.places[1:]
		switch {
		case p.chain != f.Chain:
			p.lost(f.First, "%s has the chain %s at sequence %d, but %s was remembered: it was cut or replaced here or earlier, and grew again",
				l.where, f.Chain, p.Sequence, p.chain)
		case p.signed != nil && !p.signed.Logged.Equal(f.Logged):
			p.fail("%s says that sequence %d was logged %s, the anchor %s", l.where, p.Sequence,
				f.Logged.Format(time.RFC3339Nano), p.signed.Logged.Format(time.RFC3339Nano))
		default:
			p.Held = true
		}
	}
}

// end takes the log's end: it must have reached every place.
func (l *lookup) end(last uint64) {
	for _, p := range l.places {
		p.lost(last+1, "%s ends at sequence %d, but %d was there once: it was cut", l.where, last, p.Sequence)
	}
}
