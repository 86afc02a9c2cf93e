package replay

import (
	"fmt"
	"io"
	"time"

	"github.com/seed-744e3d1b/tapedeck/internal/projector"
)

type rollbackCommand struct {
	Tier   string `help:"Tier to take back: redis, mysql, clickhouse, file or all." enum:",redis,mysql,clickhouse,file,all" default:""`
	Mode   string `help:"file: switch back to files. Takes the file tier back, and tells the console to answer all reads from it." enum:",file" default:""`
	DryRun bool   `help:"Only show the plan."`
	boundFlags
	proofFlags
}

// Run implements the command: a rebuild up to a bound, after which the tier is
// held, so that no projector carries it on.
func (c rollbackCommand) Run(e *Env) error {
	bound, err := c.bound()
	if err != nil {
		return err
	}
	if bound.IsZero() {
		return usage("rollback needs a moment: --until-sequence, --until-logged or --until-time")
	}
	if c.Mode == "file" && c.Tier == "" {
		c.Tier = "file"
	}
	if c.Tier == "" {
		return usage("rollback needs --tier, or --mode file")
	}
	log, err := e.openLog()
	if err != nil {
		return err
	}
	defer log.Close()
	p, err := e.newPlan(log, "rollback", bound)
	if err != nil {
		return err
	}
	p.hold = true
	err = e.eachTier(c.Tier, func(tier projector.Live) error {
		return e.run(log, tier, p, c.DryRun, c.proofFlags)
	})
	if err != nil || c.Mode == "" || c.DryRun {
		return err
	}
	return e.setPrimary(c.Mode)
}

type resumeCommand struct {
	Tier string `help:"Tier to let go on: redis, mysql, clickhouse, file or all." enum:"redis,mysql,clickhouse,file,all" required:""`
	Mode string `help:"auto: also tell the console to answer each read from its own tier again." enum:",auto" default:""`
	proofFlags
}

type resumeAnswer struct {
	Tier    string `json:"tier"`
	At      uint64 `json:"sequence"`
	WasHeld bool   `json:"was_held"`
	Reason  string `json:"reason,omitempty"`
}

// Run implements the command. A tier that holds a prefix of the log goes on
// from there; one that holds what was left by a filter is rebuilt up to now.
func (c resumeCommand) Run(e *Env) error {
	log, err := e.openLog()
	if err != nil {
		return err
	}
	defer log.Close()
	err = e.eachTier(c.Tier, func(tier projector.Live) error {
		hold, err := tier.Hold(e.Context)
		if err != nil {
			return fmt.Errorf("read hold: %w", err)
		}
		if hold.IsBarrier() && hold.Holds(time.Now()) {
			return usage("a command works on it (%s): wait until that has ended", hold.Reason)
		}
		if hold.Bound != "" {
			p, err := e.newPlan(log, "resume", projector.Bound{})
			if err != nil {
				return err
			}
			return e.run(log, tier, p, false, c.proofFlags)
		}
		at, err := tier.Checkpoint(e.Context)
		if err != nil {
			return fmt.Errorf("read checkpoint: %w", err)
		}
		err = changeHold(e.Context, tier, func(was projector.Hold) (projector.Hold, error) { return was.Released(), nil })
		if err != nil {
			return fmt.Errorf("release hold: %w", err)
		}
		answer := resumeAnswer{tier.Name(), at.Sequence, hold.Reason != "", hold.Reason}
		return e.print(answer, answer.text)
	})
	if err != nil || c.Mode == "" {
		return err
	}
	return e.setPrimary(c.Mode)
}

func (a resumeAnswer) text(w io.Writer) {
	if !a.WasHeld {
		fmt.Fprintf(w, "%s was not held; it is at sequence %d\n", a.Tier, a.At)
		return
	}
	fmt.Fprintf(w, "%s goes on from sequence %d (it was held: %s)\n", a.Tier, a.At, a.Reason)
}
