package clickhouse

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/go-json-experiment/json"

	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
	"github.com/seed-744e3d1b/tapedeck/internal/projector"
)

// state is everything that decides what the tier is: one row of
// tapedeck_state. The row with the highest revision counts; a new one is
// written by compare-and-set (store.swap) and replaces it as a whole.
type state struct {
	Revision uint64 `json:"-"`
	// nonce tells a revision that was read from the same one of another history:
	// a copy of the tables may be put back, and goes on from there.
	nonce    string
	Schema   int    `json:"schema"`
	Live     *place `json:"live,omitzero"`
	Shadow   *place `json:"shadow,omitzero"`
	Previous *place `json:"previous,omitzero"`
}

// place is one generation of contents: live, shadow or previous.
type place struct {
	Generation uint64 `json:"generation"`
	Plan       string `json:"plan,omitzero"`
	Sequence   uint64 `json:"sequence"`
	Chain      string `json:"chain"`
	Hold       string `json:"hold,omitzero"`
	// Upto is the newest attempt that counts. Attempts up to it count, but for
	// the Dead: those whose batch another attempt brought, or that failed. A
	// dead number stays for ever: its rows may still arrive. UptoAt is the
	// sequence that the tier had then; 0 is unknown: programs that do not know the
	// field drop it.
	Upto   uint64   `json:"upto"`
	UptoAt uint64   `json:"upto_at,omitzero"`
	Dead   []uint64 `json:"dead,omitzero"`
	// Klines is the newest of the attempts that count and changed any kline, or a
	// newer one, and KlinesAt the sequence that the tier had then; 0 is unknown, too.
	Klines   uint64 `json:"klines,omitzero"`
	KlinesAt uint64 `json:"klines_at,omitzero"`
	// Pending are the attempts that were given out and not decided.
	Pending []uint64 `json:"pending,omitzero"`
	// Stocks and Accounts name what may have several rows for one key, and the
	// last attempt that added such a row.
	Stocks   map[string]uint64 `json:"stocks,omitzero"`
	Accounts map[string]uint64 `json:"accounts,omitzero"`
	// Swept is the attempt up to which outdated rows may be deleted already.
	Swept uint64 `json:"swept,omitzero"`
	// Repairs counts repairs of trades.
	Repairs uint64 `json:"repairs,omitzero"`
}

// next is a deep copy, under the next revision.
func (s state) next() state {
	n := state{Revision: s.Revision + 1, Schema: schemaVersion}
	n.Live, n.Shadow, n.Previous = s.Live.clone(), s.Shadow.clone(), s.Previous.clone()
	return n
}

func (p *place) clone() *place {
	if p == nil {
		return nil
	}
	c := *p
	c.Dead, c.Pending = slices.Clone(p.Dead), slices.Clone(p.Pending)
	c.Stocks, c.Accounts = maps.Clone(p.Stocks), maps.Clone(p.Accounts)
	return &c
}

// newPlace is an empty place of a generation that never was: rows of a dropped
// generation, or of a state table that someone emptied, can not become its own.
func newPlace() *place {
	return &place{Generation: uint64(time.Now().UnixMicro()), Chain: eventlog.Chain{}.String()}
}

// of is the place of a generation, the live one for 0; nil when there is none.
func (s *state) of(generation uint64) *place {
	if generation == 0 {
		return s.Live
	}
	for _, p := range []*place{s.Live, s.Shadow, s.Previous} {
		if p != nil && p.Generation == generation {
			return p
		}
	}
	return nil
}

func (p *place) checkpoint() (eventlog.Checkpoint, error) {
	if p == nil {
		return eventlog.Checkpoint{}, nil
	}
	chain, err := eventlog.ParseChain(p.Chain)
	if err != nil {
		return eventlog.Checkpoint{}, fmt.Errorf("tapedeck_state is damaged: %w: %w", err, projector.ErrRefused)
	}
	return eventlog.Checkpoint{Sequence: p.Sequence, Chain: chain}, nil
}

func (p *place) moveTo(at eventlog.Checkpoint) {
	p.UptoAt = p.trades().sequence
	p.Sequence, p.Chain = at.Sequence, at.Chain.String()
}

// count makes the rows of an attempt part of the contents, and those of all
// others that are pending never.
func (p *place) count(attempt uint64, klines bool) {
	was := p.klines()
	p.Klines, p.KlinesAt = was.attempt, was.sequence
	if klines {
		p.Klines, p.KlinesAt = attempt, p.Sequence
	}
	for _, other := range p.Pending {
		if other != attempt {
			p.Dead = append(p.Dead, other)
		}
	}
	p.Upto, p.UptoAt, p.Pending = attempt, p.Sequence, nil
}

// contents tell what a generation holds of one kind: the newest attempt that
// changed it, and where the tier was then. An attempt's number alone is not
// enough: a copy of the tables that is put back gives them out again, for
// batches of other sizes.
type contents struct{ attempt, sequence uint64 }

// trades and klines are the same at two places of a generation only when no
// trade, or no kline, changed between them. For trades that holds between
// repairs.
func (p *place) trades() contents { return contents{p.Upto, cmp.Or(p.UptoAt, p.Sequence)} }

func (p *place) klines() contents {
	if p.Klines == 0 {
		return p.trades()
	}
	return contents{p.Klines, p.KlinesAt}
}

// is tells whether it is the same state, not another of its revision.
func (s *state) is(other *state) bool { return s.Revision == other.Revision && s.nonce == other.nonce }

// visible is the condition that picks the rows that count.
func (p *place) visible() string {
	condition := fmt.Sprintf("generation = %d AND attempt <= %d", p.Generation, p.Upto)
	if len(p.Dead) > 0 {
		condition += " AND attempt NOT IN (" + numbers(p.Dead) + ")"
	}
	return condition
}

func numbers(list []uint64) string {
	var text []byte
	for i, n := range list {
		if i > 0 {
			text = append(text, ',')
		}
		text = strconv.AppendUint(text, n, 10)
	}
	return string(text)
}

const stateColumns = "revision, nonce, state"

// readStates returns the states that a query finds.
func (s *store) readStates(ctx context.Context, query string) ([]state, error) {
	rows, err := s.conn.Query(ctx, query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var states []state
	for rows.Next() {
		var now state
		var text string
		if err := rows.Scan(&now.Revision, &now.nonce, &text); err != nil {
			return nil, err
		}
		if err := json.Unmarshal([]byte(text), &now); err != nil {
			return nil, fmt.Errorf("tapedeck_state is damaged at revision %d: %w: %w", now.Revision, err, projector.ErrRefused)
		}
		if now.Schema > schemaVersion {
			return nil, errSchema(now.Schema)
		}
		states = append(states, now)
	}
	return states, rows.Err()
}

// read returns the state that counts; the zero state before the first.
func (s *store) read(ctx context.Context) (state, error) {
	states, err := s.readStates(ctx, "SELECT "+stateColumns+" FROM tapedeck_state ORDER BY revision DESC LIMIT 1")
	if err != nil || len(states) == 0 {
		return state{}, err
	}
	return states[0], nil
}

// burntTokens bounds how many tokens of one revision a crash may have burnt.
const burntTokens = 100

// swap writes next, which must be the revision after the one it was made from,
// unless someone else wrote that revision first; it returns what counts then.
//
// The insert carries a deduplication token made of the revision: of all inserts
// with it the server keeps the first, whoever sends how many and when. What was
// kept is read back. A server killed between noting the token and keeping the
// row has burnt the token: nobody's row is there, and nobody's can come, so all
// writers go on to the next token of the revision.
func (s *store) swap(ctx context.Context, next state) (now state, won bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	nonce := rand.Text()
	for token := range burntTokens {
		if err := s.append(ctx, next, nonce, token); err != nil {
			return state{}, false, err
		}
		before := next.Revision - 1
		states, err := s.readStates(ctx, fmt.Sprintf("SELECT %s FROM tapedeck_state WHERE revision >= %d ORDER BY revision", stateColumns, before))
		if err != nil {
			return state{}, false, err
		}
		if before > 0 && (len(states) == 0 || states[0].Revision != before) {
			return state{}, false, s.restart(ctx, next.Revision)
		}
		if before > 0 {
			states = states[1:]
		}
		if len(states) > 0 {
			return states[len(states)-1], states[0].nonce == nonce, nil
		}
	}
	return state{}, false, fmt.Errorf("tapedeck_state keeps no row of revision %d: is deduplication switched off?", next.Revision)
}

// append inserts a state; of those with the same revision and token the server
// keeps the first.
func (s *store) append(ctx context.Context, next state, nonce string, token int) error {
	text, err := json.Marshal(next, json.Deterministic(true))
	if err != nil {
		return err
	}
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{
		"insert_deduplication_token": fmt.Sprintf("revision/%d/%d", next.Revision, token),
	}))
	return s.insert(ctx, "INSERT INTO tapedeck_state (revision, nonce, state)", []uint64{next.Revision}, []string{nonce}, []string{string(text)})
}

// change makes a new state out of the one that counts, again and again until it
// wins the race for it. An error of f ends it and nothing is changed.
func (s *store) change(ctx context.Context, f func(next *state) error) (state, error) {
	now, err := s.read(ctx)
	if err != nil {
		return state{}, err
	}
	return s.changeFrom(ctx, now, f)
}

// changeFrom is change for whoever has just read the state.
func (s *store) changeFrom(ctx context.Context, now state, f func(next *state) error) (state, error) {
	for {
		next := now.next()
		if err := f(&next); err != nil {
			return now, err
		}
		var won bool
		var err error
		if now, won, err = s.swap(ctx, next); won || err != nil {
			return now, err
		}
	}
}

// insert sends columns as one insert of one block.
func (s *store) insert(ctx context.Context, query string, columns ...any) error {
	batch, err := s.conn.PrepareBatch(ctx, query)
	if err != nil {
		return err
	}
	defer batch.Close()
	for i, column := range columns {
		if err := batch.Column(i).Append(column); err != nil {
			return err
		}
	}
	return batch.Send()
}

// restart empties the state after someone emptied the tables under a writer,
// who has just written a revision on top of nothing.
func (s *store) restart(ctx context.Context, revision uint64) error {
	if err := s.append(ctx, state{Revision: revision + 1, Schema: schemaVersion}, rand.Text(), 0); err != nil {
		return err
	}
	return errEmptied
}

func sortedKeys(m map[string]uint64) []string { return slices.Sorted(maps.Keys(m)) }
