package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/phase"
	"github.com/seed-744e3d1b/tapedeck/internal/watch"
)

// settingBytes is the longest body of a setting.
const settingBytes = 64 << 10

// getPhases tells in which phase each account is.
func (d *desk) getPhases(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]any{"phases": d.allPhases()})
}

// putPhase puts an account into a phase.
func (d *desk) putPhase(w http.ResponseWriter, r *http.Request) {
	var ask struct {
		Phase phase.Phase `json:"phase"`
		Force bool        `json:"force"`
	}
	if err := readSetting(w, r, &ask); err != nil {
		writeAnswer(w, answerError(err))
		return
	}
	if ask.Phase == "" {
		writeAnswer(w, answerError(badSetting("phase is required: shadow, dual or tiers")))
		return
	}
	account := r.PathValue("account")
	if s, found := d.phaseOf(account); !found || s.Phase != ask.Phase {
		if err := d.switchPhase(r.Context(), account, ask.Phase, ask.Force); err != nil {
			writeAnswer(w, answerUnswitched(account, err))
			return
		}
	}
	s, _ := d.phaseOf(account) // it is there: it was switched, or was so before
	writeJSON(w, http.StatusOK, s)
}

// putReconciliation keeps what replay reconcile found. An answer whose
// reconciliation is another one tells that a later one is kept.
func (d *desk) putReconciliation(w http.ResponseWriter, r *http.Request) {
	var found phase.Reconciliation
	account := r.PathValue("account")
	err := readSetting(w, r, &found)
	if err == nil {
		err = d.checkReconciliation(account, found)
	}
	if err != nil {
		writeAnswer(w, answerError(err))
		return
	}
	kept, err := d.phases.Reconciled(account, found, d.lastSequence())
	if err != nil {
		writeAnswer(w, answerError(&refusal{http.StatusInternalServerError, "internal", "nothing was kept: " + err.Error(), nil}))
		return
	}
	d.logger.Info("reconciliation", "account", account, "statement", found.Statement, "sequence", found.Sequence, "breaks", found.Breaks, "kept", kept == found)
	writeJSON(w, http.StatusOK, map[string]any{"account": account, "recorded": kept == found, "reconciliation": kept})
}

func (d *desk) checkReconciliation(account string, r phase.Reconciliation) error {
	e := events.Event{Source: "reconcile", Time: time.Now(), Data: &events.AccountStatusChanged{AccountID: account, Status: "active"}}
	if err := e.Validate(); err != nil {
		return badSetting(err.Error())
	}
	last := d.lastSequence()
	switch {
	case last == 0 && d.committer.obstacle.Load() != nil:
		return &refusal{http.StatusServiceUnavailable, "not-ready", "the log is not open yet; send it again", nil}
	case r.Statement == "" || len(r.Statement) > 255 || filepath.Base(r.Statement) != r.Statement:
		return badSetting("statement must be the name of a file, without its folder")
	case len(r.SHA256) != 64 || strings.Trim(r.SHA256, "0123456789abcdef") != "":
		return badSetting("sha256 must be 64 hexadecimal digits")
	case r.Sequence > last:
		return badSetting(fmt.Sprintf("sequence %d is beyond the log's end, %d: was another log reconciled?", r.Sequence, last))
	case r.Breaks < 0:
		return badSetting("breaks must be 0 or more")
	case r.ComparedAt.IsZero():
		return badSetting("compared_at is required")
	}
	return nil
}

// readSetting reads a body that is one JSON object.
func readSetting(w http.ResponseWriter, r *http.Request, into any) error {
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, settingBytes))
	if errors.As(err, new(*http.MaxBytesError)) {
		return tooLarge(fmt.Sprintf("a setting has at most %d bytes", settingBytes))
	}
	if err != nil {
		return badRequest("the body could not be read: " + err.Error())
	}
	if err := json.Unmarshal(raw, into, json.RejectUnknownMembers(true)); err != nil {
		return badSetting(err.Error())
	}
	return nil
}

func badSetting(detail string) error {
	return &refusal{http.StatusUnprocessableEntity, "bad-setting", detail, nil}
}

// answerUnswitched words why an account stays in its phase.
func answerUnswitched(account string, err error) answer {
	var held *heldError
	switch {
	case errors.As(err, new(*refusal)):
		return answerError(err)
	case errors.As(err, &held):
		return answerHeld(held)
	case errors.Is(err, watch.ErrNotWatched):
		return answerError(&refusal{http.StatusNotFound, "not-watched",
			fmt.Sprintf("no folder of account %s is watched: start ingest with --watch DIR=%s", account, account), nil})
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return answerError(&refusal{http.StatusServiceUnavailable, "not-ready", "no phase was switched, try again: " + err.Error(), nil})
	}
	return answerError(&refusal{http.StatusInternalServerError, "internal", "no phase was switched: " + err.Error(), nil})
}

// heldProblem lists what keeps an account from a phase.
type heldProblem struct {
	events.Problem
	Account string       `json:"account"`
	Phase   phase.Phase  `json:"phase"`
	To      phase.Phase  `json:"to"`
	Holds   []phase.Hold `json:"holds"`
}

func answerHeld(held *heldError) answer {
	body, err := json.Marshal(heldProblem{
		events.Problem{
			Type: problemType + "phase-held", Title: "something keeps the account from this phase",
			Status: http.StatusConflict, Detail: held.Error(),
		},
		held.status.Account, held.status.Phase, held.to, held.holds,
	})
	if err != nil {
		return answerError(err)
	}
	return answer{http.StatusConflict, body}
}
