package watch

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
)

const (
	// glance is the time between two looks at sizes and times of change alone,
	// where no notification has proved to come: six questions to the file system,
	// which also network shares answer.
	glance = 50 * time.Millisecond
	// settle is how long a folder must be quiet before a look at it, for no
	// longer than settleMost: strategies change several files one after the
	// other.
	settle, settleMost = 10 * time.Millisecond, 200 * time.Millisecond
	// againFirst and againMost are the time between two looks at a folder whose
	// files are being written, or while nothing can be appended.
	againFirst, againMost = 10 * time.Millisecond, time.Second
	// chunk is how many events are appended at once.
	chunk = 500
	// rounds is how often one look appends: what is left after them is refused.
	rounds = 3
)

// folder follows one folder in a goroutine of its own.
type folder struct {
	follower
	tape   Tape
	ledger *ledger
	scan   time.Duration
	broker string
	logger *slog.Logger

	notices notices
	before  string // the folder's marks before the last look of run

	// turn holds one item while somebody looks, who alone uses what follower
	// and missing remember and changes whether the folder is followed.
	turn    chan struct{}
	missing absences

	failing time.Time // since when looks have failed; of who has the turn

	mu     sync.Mutex
	status Status
	// looking and asking are since when a look, and a question of run to the
	// file system, have been under way.
	looking, asking time.Time
}

func newFolder(at Folder, tape Tape, l *ledger, o Options) *folder {
	logger := o.Logger.With("dir", at.Dir, "account", at.Account)
	return &folder{
		follower: follower{Folder: at, patience: o.Patience, void: make(map[string]time.Time), bad: make(map[string]time.Time), kept: make(map[string]*table)},
		tape:     tape,
		ledger:   l,
		scan:     o.Scan,
		broker:   o.Broker,
		logger:   logger,
		notices:  notices{dir: filepath.Clean(at.Dir), logger: logger, open: openWatcher},
		turn:     make(chan struct{}, 1),
		missing:  make(absences),
		status: Status{
			Dir: at.Dir, Account: at.Account, Following: !slices.Contains(o.Still, at.Account),
			Waiting: "the first look at the folder",
		},
	}
}

// run looks at the folder after each change, at each scan, and soon again
// while something is unfinished.
func (f *folder) run(ctx context.Context) {
	defer f.notices.close()
	again := againFirst
	for f.begin(ctx) == nil {
		wait := f.scan
		asked := f.begun(&f.asking)
		f.notices.arm()
		asked()
		f.before = f.marks()
		done := f.looked(ctx)
		f.end()
		if done {
			again = againFirst
		} else {
			wait = min(again, f.scan)
			again = min(2*again, againMost)
		}
		f.await(ctx, wait)
	}
}

// await waits for a change, and then for quiet, or for some time.
func (f *folder) await(ctx context.Context, most time.Duration) {
	f.report(func(s *Status) { s.Notified = f.notices.proved })
	late := time.After(most)
	tick := time.NewTicker(glance)
	defer tick.Stop()
	if f.notices.proved {
		tick.Stop()
	}
	for {
		told := false
		select {
		case <-ctx.Done():
			return
		case <-late:
			// A change that nothing told of: it cannot be relied on.
			f.notices.proved = f.notices.proved && f.marks() == f.before
			return
		case <-tick.C:
		case err := <-f.notices.errors():
			f.logger.Warn("watch: notifications were lost; the folder is looked at", "error", err)
			f.notices.close()
			return
		case event := <-f.notices.events():
			if told = true; event.Name == f.notices.dir {
				return // the folder itself went
			}
		}
		// Most notifications are of what has been seen: the look comes after the
		// last of a burst.
		if now := f.marks(); now != f.before {
			f.notices.proved = told
			f.quiet(ctx, now)
			return
		}
	}
}

// quiet waits until nothing changes any more.
func (f *folder) quiet(ctx context.Context, last string) {
	enough := time.After(settleMost)
	for {
		select {
		case <-ctx.Done():
			return
		case <-enough:
			return
		case <-time.After(settle):
		}
		now := f.marks()
		if now == last {
			return
		}
		last = now
	}
}

// marks stands for sizes and times of change of the folder's files.
func (f *folder) marks() string {
	defer f.begun(&f.asking)()
	var marks []byte
	for _, name := range names {
		info, err := os.Stat(filepath.Join(f.Dir, name))
		if err != nil {
			marks = append(marks, '-')
			continue
		}
		marks = fmt.Appendf(marks, "%d %d,", info.Size(), info.ModTime().UnixNano())
	}
	return string(marks)
}

// looked looks once and tells whether all is done until the next change. A
// panic must not end ingest.
func (f *folder) looked(ctx context.Context) (done bool) {
	defer func() {
		if p := recover(); p != nil {
			f.logger.Error("watch: panic", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			f.report(func(s *Status) { s.InStep, s.Waiting = false, "an internal error, told in ingest's own log" })
			done = true // until the next change or scan
		}
	}()
	defer f.begun(&f.looking)()
	err := f.look(ctx)
	if err != nil && ctx.Err() == nil {
		now := time.Now()
		f.report(func(s *Status) {
			s.InStep, s.Waiting = false, err.Error()
			if f.failing.IsZero() {
				f.failing = now
			}
			if now.Sub(f.failing) >= f.patience {
				s.set(f.logger, []Drift{{Reason: err.Error()}}, now)
			}
		})
	}
	if err == nil {
		f.failing = time.Time{}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return err == nil && f.status.Waiting == ""
}

// look compares the folder with the log and, when it is followed, appends what
// is missing there.
func (f *folder) look(ctx context.Context) error {
	now, following := time.Now(), f.current().Following
	v, err := f.follower.look(now)
	if err != nil {
		f.report(func(s *Status) {
			s.Scanned, s.InStep, s.Waiting, s.Unrecorded = now, false, "", nil
			s.set(f.logger, []Drift{{Reason: err.Error()}}, now)
		})
		return nil //nolint:nilerr // it is told as a drift, and tried again at the next scan
	}
	absent := make(absences)
	lasting := f.missing.lasting(now, f.patience, absent)
	f.missing = absent
	var refused []Drift
	for round := 0; ; round++ {
		last, ok := f.tape.Last()
		if !ok {
			return errors.New("nothing can be appended now")
		}
		if err := f.ledger.reach(ctx, last); err != nil {
			return err
		}
		p := &plan{account: f.Account, broker: f.broker, view: v, lasting: lasting, from: f.ledger.read(f.Account, v.deals)}
		p.compare()
		if len(p.records)+len(p.moves) == 0 || round == rounds || !following {
			f.settled(p, v, refused, now, following)
			return nil
		}
		if refused, err = f.append(ctx, p); err != nil {
			return err
		}
	}
}

// append records a plan's events. It returns what the log refused.
func (f *folder) append(ctx context.Context, p *plan) (refused []Drift, err error) {
	send := func(list []*events.Event, atomic bool) ([]Drift, error) {
		// A look that Stop left behind comes to itself here.
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		fates, err := f.tape.Append(ctx, list, atomic)
		if err != nil {
			return nil, fmt.Errorf("append %d events: %w", len(list), err)
		}
		var drifts []Drift
		appended, last := 0, uint64(0)
		for i, fate := range fates {
			if fate.Refused != "" {
				drifts = append(drifts, Drift{Key: list[i].Subject, Reason: fmt.Sprintf("the log refuses %s: %s", list[i].Type(), fate.Refused)})
				continue
			}
			if fate.Sequence > 0 {
				appended++
				last = max(last, fate.Sequence)
			}
		}
		f.report(func(s *Status) { s.Events += uint64(appended) })
		return drifts, f.ledger.reach(ctx, last)
	}
	for part := range slices.Chunk(p.records, chunk) {
		drifts, err := send(part, false)
		if err != nil {
			return nil, err
		}
		refused = append(refused, drifts...)
	}
	if len(p.moves) == 0 {
		return refused, nil
	}
	for _, part := range parts(p.moves, eventlog.MaxFrameEvents) {
		drifts, err := send(part, true)
		if err == nil && len(drifts) > 0 {
			// One that breaks a rule must not keep the others off the log.
			drifts, err = send(part, false)
		}
		if err != nil {
			return nil, err
		}
		refused = append(refused, drifts...)
	}
	return refused, nil
}

// settled tells what a look came to.
func (f *folder) settled(p *plan, v *view, refused []Drift, now time.Time, following bool) {
	drifts := append(p.drifts, refused...)
	left := make(map[string]int)
	for _, e := range slices.Concat(p.records, p.moves) {
		left[string(e.Type())]++
	}
	if len(left) > 0 && len(refused) == 0 && following {
		drifts = append(drifts, Drift{Reason: fmt.Sprintf("%d events were appended and still miss: does another publisher write about the account?", len(p.records)+len(p.moves))})
	}
	f.report(func(s *Status) {
		s.Scanned, s.Waiting, s.Unrecorded = now, p.unsettled, left
		s.set(f.logger, drifts, now)
		s.InStep = p.equal() && len(drifts) == 0
		if !s.InStep {
			return
		}
		step := Step{Sequence: p.from.sequence, Time: now, SHA256: hashFiles(v.files), Files: v.files}
		if s.Step == nil || step.SHA256 != s.Step.SHA256 || step.Sequence != s.Step.Sequence {
			f.logger.Debug("watch: in step", "sequence", step.Sequence, "sha256", step.SHA256, "files", step.Files)
		}
		s.Step = &step
	})
}

// hashFiles stands for the content of all files together.
func hashFiles(files map[string]FileState) string {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(h, "%s %d %s\n", name, files[name].Bytes, files[name].SHA256)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// begun notes that what may take for ever, if a share hangs, has begun; the
// function says that it ended.
func (f *folder) begun(at *time.Time) (ended func()) {
	note := func(t time.Time) {
		f.mu.Lock()
		defer f.mu.Unlock()
		*at = t
	}
	note(time.Now())
	return func() { note(time.Time{}) }
}

func (f *folder) report(change func(*Status)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(&f.status)
}
