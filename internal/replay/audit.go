package replay

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/seed-744e3d1b/tapedeck/internal/backup"
	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
	"github.com/seed-744e3d1b/tapedeck/internal/settings"
)

type auditCommand struct {
	Anchor    []string `help:"Signed anchors that must be on the log." placeholder:"FILE"`
	PublicKey string   `help:"Key that must have signed the anchors (PEM); without it anybody's signature is taken." placeholder:"FILE"`
	Backup    []string `help:"Backups that are proved and must be a beginning of the log." placeholder:"DIR"`
	Snapshot  []string `help:"Snapshot folders whose place must be on the log." placeholder:"DIR"`
	Offline   bool     `help:"Ask no server: prove --backup, and hold anchors and snapshots against them."`
}

type auditAnswer struct {
	Events uint64 `json:"events"`
	Frames int    `json:"frames"`
	Chain  string `json:"chain"`
	// Backups were proved from their first event to their last.
	Backups []backupAnswer `json:"backups"`
	// Anchors are all places that somebody remembers.
	Anchors []*remembered `json:"anchors"`
}

// Run implements the command: every frame's sequence, count and chain value
// are proved from the first event on, and on the way each place that tiers,
// snapshots, backups and signed anchors remember is looked up, so that a log
// cut short and grown again is caught by any of them.
func (c auditCommand) Run(e *Env) error {
	answer := auditAnswer{Backups: []backupAnswer{}}
	places, sets, err := c.gather(e)
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	for _, set := range sets {
		if err := c.auditBackup(e, set, places, &answer); err != nil {
			return fmt.Errorf("audit: %w", err)
		}
	}
	if !c.Offline {
		// A backup's place on the log is its end: the chain proves the rest.
		for _, set := range sets {
			places = append(places, remember("backup "+set.Dir(), set.End()))
		}
		if err := e.walk(places, &answer); err != nil {
			return fmt.Errorf("audit: %w", err)
		}
		byIngest, err := e.ingestAnchor()
		if err != nil {
			return fmt.Errorf("audit: %w", err)
		}
		if byIngest != nil {
			places = append(places, byIngest)
		}
	}
	answer.Anchors = places
	for _, p := range places {
		p.finish()
	}
	if err := e.print(answer, func(w io.Writer) { answer.text(w, c.Offline) }); err != nil {
		return err
	}
	return verdict(places)
}

// verdict is the earliest damage that a place shows, or that anything is wrong.
func verdict(places []*remembered) error {
	var err error
	var earliest *remembered
	for _, p := range places {
		if p.Problem != "" {
			err = ErrDifferences
		}
		if p.damage != nil && (earliest == nil || p.damage.Sequence < earliest.damage.Sequence) {
			earliest = p
		}
	}
	if earliest != nil {
		return fmt.Errorf("audit: %s: %w", earliest.Source, earliest.damage)
	}
	return err
}

// gather asks everybody what they remember, before the log is read: it may go
// on meanwhile.
func (c auditCommand) gather(e *Env) (places []*remembered, sets []*backup.Set, err error) {
	if c.Offline && len(c.Backup) == 0 {
		return nil, nil, usage("--offline proves backups: name at least one with --backup")
	}
	for _, dir := range c.Backup {
		set, err := backup.Open(dir)
		if err != nil {
			return nil, nil, backupRefusal(err)
		}
		sets = append(sets, set)
	}
	var trusted ed25519.PublicKey
	if c.PublicKey != "" {
		if trusted, err = readPublicKey(c.PublicKey); err != nil {
			return nil, nil, fmt.Errorf("read the public key: %w", err)
		}
	}
	for _, path := range c.Anchor {
		p, err := rememberedByAnchor(path, trusted)
		if err != nil {
			return nil, nil, err
		}
		places = append(places, p)
	}
	if trusted == nil && len(c.Anchor) > 0 {
		fmt.Fprintln(e.Err, "whose keys signed the anchors was not checked: name the right one with --public-key")
	}
	for _, dir := range c.Snapshot {
		p, err := rememberedBySnapshot(dir)
		if err != nil {
			return nil, nil, err
		}
		places = append(places, p)
	}
	if c.Offline {
		return places, sets, nil
	}
	for _, name := range e.CLI.configured() {
		byTier, err := e.rememberedByTier(name)
		if err != nil {
			return nil, nil, fmt.Errorf("tier %s: %w", name, err)
		}
		places = append(places, byTier...)
	}
	return places, sets, nil
}

// auditBackup proves a set, and the places that it reaches by it.
func (c auditCommand) auditBackup(e *Env, set *backup.Set, places []*remembered, answer *auditAnswer) error {
	look := newLookup("backup "+set.Dir(), places)
	bar := e.progress("proving "+set.Dir(), int64(set.End().Sequence))
	defer bar.Close()
	for frame, err := range set.Frames(e.Context, 0) {
		if err != nil {
			return err
		}
		look.frame(frame)
		_ = bar.Add(frame.Count) // a bar that cannot be drawn stops nothing
	}
	answer.Backups = append(answer.Backups, backupOf(set))
	return nil
}

// walk proves the log up to where it ends now, and looks the places up.
func (e *Env) walk(places []*remembered, answer *auditAnswer) error {
	log, err := e.openLog()
	if err != nil {
		return err
	}
	defer log.Close()
	info, err := log.Info(e.Context)
	if err != nil {
		return err
	}
	frames, err := log.Read(e.Context, eventlog.Checkpoint{}, eventlog.ReadOptions{})
	if err != nil {
		return err
	}
	defer frames.Close()
	look := newLookup("the log", places)
	bar := e.progress("auditing", int64(info.Last))
	defer bar.Close()
	for {
		frame, err := frames.Next(e.Context)
		if errors.Is(err, io.EOF) {
			look.end(answer.Events)
			return nil
		}
		if err != nil {
			return err
		}
		look.frame(frame)
		answer.Events, answer.Chain = frame.Last(), frame.Chain.String()
		answer.Frames++
		_ = bar.Add(frame.Count) // a bar that cannot be drawn stops nothing
	}
}

// ingestAnchor asks the log's only writer, which remembers the last acknowledged
// sequence outside the log, whether the log still reaches it; nil when it does
// not run and cannot be asked.
func (e *Env) ingestAnchor() (*remembered, error) {
	ready, reason, err := e.askIngest()
	if errors.Is(err, errUsage) {
		return nil, err
	}
	if err != nil {
		fmt.Fprintf(e.Err, "ingest at %s was not asked for its anchor: %v\n", settings.Redact(e.CLI.IngestURL), err)
		return nil, nil
	}
	p := &remembered{Source: "ingest", Held: ready}
	if !ready {
		p.Problem = "it does not go on with this log: " + reason
	}
	return p, nil
}

func (a auditAnswer) text(w io.Writer, offline bool) {
	for _, b := range a.Backups {
		fmt.Fprintf(w, "backup %s proved: events 1 to %d, chain %s\n", b.Dir, b.LastSequence, b.Chain)
	}
	if !offline {
		fmt.Fprintf(w, "log proved: %d events in %d frames, chain %s\n", a.Events, a.Frames, a.Chain)
	}
	if len(a.Anchors) == 0 {
		return
	}
	table := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(table, "REMEMBERED BY\tSEQUENCE\tSTATE")
	for _, p := range a.Anchors {
		state := "found"
		if p.Problem != "" {
			state = p.Problem
		}
		fmt.Fprintf(table, "%s\t%d\t%s\n", p.Source, p.Sequence, state)
	}
	table.Flush()
}
