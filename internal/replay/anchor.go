package replay

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
)

type anchorCommand struct {
	SignKey string `help:"Sign the log's end with this ed25519 key (PEM, PKCS#8)." placeholder:"FILE" xor:"what" required:""`
	Out     string `help:"File to write the signed anchor to; it must not exist." placeholder:"FILE"`
	NewKey  string `help:"Make a key: the private one into FILE, the public one into FILE.pub." placeholder:"FILE" xor:"what" required:""`
}

type keyAnswer struct {
	PrivateKey string `json:"private_key_file"`
	PublicKey  string `json:"public_key_file"`
	Key        string `json:"public_key"`
}

// Run implements the command. An anchor is never overwritten: an older one
// proves what a newer one of a log that was cut does not.
func (c anchorCommand) Run(e *Env) error {
	if c.NewKey != "" {
		public, err := newKeyFiles(c.NewKey)
		if err != nil {
			return fmt.Errorf("make a key: %w", err)
		}
		answer := keyAnswer{c.NewKey, c.NewKey + ".pub", base64.StdEncoding.EncodeToString(public)}
		return e.print(answer, func(w io.Writer) {
			fmt.Fprintf(w, "private key in %s (keep it away from the log's machine), public key %s in %s\n", answer.PrivateKey, answer.Key, answer.PublicKey)
		})
	}
	if c.Out == "" {
		return usage("--out FILE says where the signed anchor goes")
	}
	key, open, err := readPrivateKey(c.SignKey)
	if err != nil {
		return fmt.Errorf("read the key: %w", err)
	}
	if open {
		fmt.Fprintf(e.Err, "warning: others may read the private key %s: chmod 600 it\n", c.SignKey)
	}
	anchor, err := e.newAnchor()
	if err != nil {
		return err
	}
	anchor.sign(key)
	if err := anchor.write(c.Out); err != nil {
		return fmt.Errorf("write the anchor: %w", err)
	}
	return e.print(anchor, func(w io.Writer) {
		fmt.Fprintf(w, "%s: sequence %d, logged %s, chain %s, signed\n", c.Out, anchor.Sequence, anchor.Logged.Format(time.RFC3339Nano), anchor.Chain)
	})
}

// newAnchor is the log's end, proved by its contents, not signed yet.
func (e *Env) newAnchor() (signedAnchor, error) {
	log, err := e.openLog()
	if err != nil {
		return signedAnchor{}, err
	}
	defer log.Close()
	info, err := log.Info(e.Context)
	if err != nil {
		return signedAnchor{}, fmt.Errorf("ask the log for its end: %w", err)
	}
	if info.Last == 0 {
		return signedAnchor{}, usage("the log is empty: there is nothing to sign")
	}
	if err := proveAnchor(e.Context, log, eventlog.Checkpoint{Sequence: info.Last, Chain: info.Chain}); err != nil {
		return signedAnchor{}, err
	}
	first, err := e.firstFrame(log)
	if err != nil {
		return signedAnchor{}, err
	}
	return signedAnchor{
		Format: anchorFormat, Sequence: info.Last, Chain: info.Chain.String(), Logged: info.Logged.UTC(),
		FirstChain: first.Chain.String(), SignedAt: time.Now().UTC().Truncate(time.Millisecond),
	}, nil
}

func (e *Env) firstFrame(log *eventlog.Log) (eventlog.Frame, error) {
	frames, err := log.Read(e.Context, eventlog.Checkpoint{}, eventlog.ReadOptions{})
	if err != nil {
		return eventlog.Frame{}, err
	}
	defer frames.Close()
	frame, err := frames.Next(e.Context)
	if errors.Is(err, io.EOF) {
		err = errors.New("the log is empty")
	}
	return frame, err
}
