package replay

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
	"github.com/seed-744e3d1b/tapedeck/internal/projector"
	"github.com/seed-744e3d1b/tapedeck/internal/tier/memory"
)

// parkedCommand is about events that a tier refused, and the later ones of their
// subject, which wait with them.
type parkedCommand struct {
	List    parkedList    `cmd:"" help:"Show which subjects wait in which tier, and why."`
	Show    parkedShow    `cmd:"" help:"Show the events that wait."`
	Retry   parkedRetry   `cmd:"" help:"Apply the waiting events of a subject, once the cause is mended."`
	Discard parkedDiscard `cmd:"" help:"Leave the refused event out for good, and apply what waits behind it."`
}

type parkedList struct {
	Tier string `help:"Tier to look at: redis, mysql, clickhouse, file or all." enum:"redis,mysql,clickhouse,file,all" default:"all"`
}

type parkedAnswer struct {
	Tier      string                    `json:"tier"`
	Parked    []projector.ParkedSubject `json:"parked"`
	Discarded []uint64                  `json:"discarded"`
}

// Run implements the command.
func (c parkedList) Run(e *Env) error {
	return e.eachTier(c.Tier, func(tier projector.Live) error {
		parking, err := readParking(e, tier)
		if err != nil {
			return err
		}
		answer := parkedAnswer{tier.Name(), parking.Parked, parking.Discarded}
		return e.print(answer, answer.text)
	})
}

func readParking(e *Env, tier projector.Live) (projector.Parking, error) {
	hold, err := tier.Hold(e.Context)
	if err != nil {
		return projector.Parking{}, fmt.Errorf("read hold: %w", err)
	}
	return hold.ReadParking()
}

func (a parkedAnswer) text(w io.Writer) {
	if len(a.Parked) == 0 && len(a.Discarded) == 0 {
		fmt.Fprintf(w, "%s: nothing is parked\n", a.Tier)
		return
	}
	table := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(table, "TIER\tSUBJECT\tFROM SEQUENCE\tREASON")
	for _, p := range a.Parked {
		fmt.Fprintf(table, "%s\t%s\t%d\t%s\n", a.Tier, p.Subject, p.From, p.Reason)
	}
	for _, sequence := range a.Discarded {
		fmt.Fprintf(table, "%s\t\t%d\tdiscarded\n", a.Tier, sequence)
	}
	table.Flush()
}

type parkedShow struct {
	Tier    string `help:"Tier to look at." enum:"redis,mysql,clickhouse,file" required:""`
	Subject string `help:"Only this subject, e.g. account/55009728." placeholder:"SUBJECT"`
}

// Run implements the command: the waiting events, one JSON a line as they lie on
// the log.
func (c parkedShow) Run(e *Env) error {
	log, err := e.openLog()
	if err != nil {
		return err
	}
	defer log.Close()
	return e.eachTier(c.Tier, func(tier projector.Live) error {
		parking, err := readParking(e, tier)
		if err != nil || len(parking.Parked) == 0 {
			return err
		}
		parking.Discarded = nil
		at, err := tier.Checkpoint(e.Context)
		if err != nil {
			return fmt.Errorf("read checkpoint: %w", err)
		}
		var failed error
		err = e.playOnly(log, memory.New(nil), at.Sequence, func(event *events.Event) bool {
			if failed == nil && parking.Excludes(event) && (c.Subject == "" || event.Data.Subject() == c.Subject) {
				var line []byte
				if line, failed = event.AppendJSON(nil); failed == nil {
					_, failed = fmt.Fprintf(e.Out, "%s\n", line)
				}
			}
			return false
		})
		if err == nil {
			err = failed
		}
		return err
	})
}

// unparkFlags name the subject that shall go on.
type unparkFlags struct {
	Tier    string `help:"Tier whose events wait." enum:"redis,mysql,clickhouse,file" required:""`
	Subject string `help:"Subject to let go on, e.g. account/55009728." required:"" placeholder:"SUBJECT"`
	proofFlags
}

type parkedRetry struct{ unparkFlags }

// Run implements the command.
func (c parkedRetry) Run(e *Env) error {
	return e.unpark(c.unparkFlags, "retried", func(parking projector.Parking, _ projector.ParkedSubject) projector.Parking {
		return parking
	})
}

type parkedDiscard struct{ unparkFlags }

// Run implements the command.
func (c parkedDiscard) Run(e *Env) error {
	return e.unpark(c.unparkFlags, "discarded", func(parking projector.Parking, parked projector.ParkedSubject) projector.Parking {
		parking.Discarded = append(parking.Discarded, parked.From)
		return parking
	})
}

type unparkAnswer struct {
	Tier     string `json:"tier"`
	Subject  string `json:"subject"`
	Action   string `json:"action"`
	Sequence uint64 `json:"sequence"`
	Repaired int    `json:"repaired"`
}

// unpark lets a subject go on: while the projector waits at a barrier, the rows
// that its events should have made are written, then the subject is no longer
// named. A kill between the two leaves rows that are right and a name too many;
// the command run again takes it away. The log records what was done.
func (e *Env) unpark(flags unparkFlags, action string, keep func(projector.Parking, projector.ParkedSubject) projector.Parking) error {
	log, err := e.openLog()
	if err != nil {
		return err
	}
	defer log.Close()
	subject := flags.Subject
	return e.eachTier(flags.Tier, func(tier projector.Live) error {
		parking, err := readParking(e, tier)
		if err != nil {
			return err
		}
		parked, ok := parking.Find(subject)
		if !ok {
			return usage("--subject %s is not parked there: replay parked list --tier %s", subject, tier.Name())
		}
		answer, err := e.repairTo(log, tier, flags.proofFlags, func(now projector.Parking) projector.Parking {
			return keep(now.Without(subject), parked)
		})
		if err != nil {
			return fmt.Errorf("%s still waits: %w", subject, err)
		}
		if err := projector.RecordParking(e.Context, log, "replay", tier.Name(), action, parked); err != nil {
			return err
		}
		done := unparkAnswer{tier.Name(), subject, action, parked.From, answer.Repaired}
		return e.print(done, func(w io.Writer) {
			fmt.Fprintf(w, "%s: %s goes on; event %d was %s, %d rows written\n", tier.Name(), subject, parked.From, action, answer.Repaired)
		})
	})
}

// repairTo makes a tier hold what the new parking leaves of the log, and puts
// that parking in place. A kill between the two leaves rows that are right and a
// name too many.
func (e *Env) repairTo(log *eventlog.Log, tier projector.Live, flags proofFlags, change func(projector.Parking) projector.Parking) (answer verifyAnswer, err error) {
	next := func(was projector.Hold) (projector.Hold, error) {
		parking, err := was.ReadParking()
		if err != nil {
			return was, err
		}
		return was.WithParking(change(parking))
	}
	err = e.standing(tier, "parked events", func(at eventlog.Checkpoint) error {
		was, err := tier.Hold(e.Context)
		if err != nil {
			return fmt.Errorf("read hold: %w", err)
		}
		hold, err := next(was)
		if err != nil {
			return err
		}
		includes, err := included(hold)
		if err != nil {
			return err
		}
		if answer, err = e.prove(log, tier, includes, flags); err != nil {
			return err
		}
		if answer.Repaired, err = e.rewrite(tier, at, answer, everyRow); err != nil {
			return err
		}
		return changeHold(e.Context, tier, next)
	})
	return answer, err
}
