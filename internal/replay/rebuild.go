package replay

import (
	"fmt"
	"io"

	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
	"github.com/seed-744e3d1b/tapedeck/internal/projector"
)

type rebuildCommand struct {
	Tier   string `help:"Tier to build anew: redis, file or all." enum:"redis,file,all" required:""`
	DryRun bool   `help:"Only say what would be done."`
}

type rebuildAnswer struct {
	Tier   string `json:"tier"`
	Was    uint64 `json:"was_sequence"`
	Is     uint64 `json:"is_sequence"`
	DryRun bool   `json:"dry_run,omitempty"`
}

// Run implements the command: per tier a shadow is filled beside the live one
// and promoted in one atomic step. A live projector goes on from there. What a
// crash leaves is an unfinished shadow, which the next rebuild drops.
func (c rebuildCommand) Run(e *Env) error {
	names, err := e.CLI.selectTiers(c.Tier)
	if err != nil {
		return err
	}
	log, err := e.openLog()
	if err != nil {
		return err
	}
	defer log.Close()
	for _, name := range names {
		tier, err := e.openTier(name)
		if err != nil {
			return fmt.Errorf("open tier %s: %w", name, err)
		}
		answer, err := c.rebuild(e, log, tier)
		tier.Close()
		if err != nil {
			return fmt.Errorf("rebuild %s: %w", name, err)
		}
		err = e.print(answer, func(w io.Writer) {
			verb := "rebuilt"
			if c.DryRun {
				verb = "would rebuild"
			}
			fmt.Fprintf(w, "%s %s: was at sequence %d, shadow at %d\n", verb, answer.Tier, answer.Was, answer.Is)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (c rebuildCommand) rebuild(e *Env, log *eventlog.Log, tier projector.Live) (rebuildAnswer, error) {
	answer := rebuildAnswer{Tier: tier.Name(), DryRun: c.DryRun}
	was, err := tier.Checkpoint(e.Context)
	if err != nil {
		return answer, err
	}
	answer.Was = was.Sequence
	if c.DryRun {
		info, err := log.Info(e.Context)
		answer.Is = info.Last
		return answer, err
	}
	shadow, err := tier.Shadow(e.Context, "everything")
	if err != nil {
		return answer, err
	}
	defer shadow.Close()
	at, err := e.play(e.Context, log, shadow, projector.Bound{})
	if err == nil {
		err = shadow.Promote(e.Context, projector.Hold{})
	}
	if err != nil {
		return answer, discard(e, shadow, err)
	}
	answer.Is = at.Sequence
	return answer, nil
}
