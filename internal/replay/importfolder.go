package replay

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/book"
	"github.com/seed-744e3d1b/tapedeck/internal/silverquant"
)

// outline is a folder before the log was read. Rows that its strategy writes
// later are left to the next import: their own way onto the log may be shorter
// than this one.
type outline struct {
	ids map[string]bool
	// at is the moment of the positions, incDate the date of the last increment.
	at      time.Time
	incDate events.Date
	// closing is the id of each date's last balance: it is the one that counts.
	closing  map[events.Date]string
	balances map[balance]bool
}

// balance is a row of assets.csv.
type balance struct {
	date  events.Date
	total events.Money
}

// outlineOf reads a folder ahead. What is wrong with it is told when it is read
// again.
func outlineOf(dir, account string) outline {
	o := outline{ids: make(map[string]bool), closing: make(map[events.Date]string), balances: make(map[balance]bool)}
	for e, err := range silverquant.ImportEvents(dir, account, silverquant.ImportOptions{}) {
		if err != nil {
			continue
		}
		o.ids[e.ID] = true
		if isMove(e) {
			o.at = e.Time
		}
		switch d := e.Data.(type) {
		case *events.CapitalUpdated:
			o.closing[d.Date], o.balances[balance{d.Date, d.TotalAssets}] = e.ID, true
		case *events.PositionDaysIncremented:
			o.incDate = d.Date
		}
	}
	return o
}

// isMove tells whether an event is about positions.
func isMove(e *events.Event) bool { return strings.HasPrefix(string(e.Data.Type()), "position.") }

// taped is an account as the log has it, for the import of its folder.
type taped struct {
	id      string
	outline outline

	created bool
	last    uint64 // the sequence of its newest event
	rows    silverquant.Recorded
	book    *book.Book // its positions
	// moved is the time of the newest event about its positions that is not one
	// of the folder's; newer tells that the folder's moment is not after it.
	moved time.Time
	newer bool
}

func newTaped(dir, account string) *taped {
	return &taped{id: account, outline: outlineOf(dir, account), rows: silverquant.NewRecorded(), book: book.New(book.Keep{})}
}

// add takes in an event of the account, in the log's order.
func (t *taped) add(e *events.Event) {
	if _, ok := e.Data.(*events.AccountCreated); ok {
		t.created = true
	}
	t.last = e.Sequence
	t.rows.Add(e)
	t.book.Apply(e)
	if isMove(e) && e.Time.After(t.moved) && !t.own(e) {
		t.moved = e.Time
	}
	t.newer = !t.moved.IsZero() && !t.outline.at.After(t.moved) || t.outline.incDate != 0 && t.outline.incDate < t.book.IncDate(t.id)
}

// own tells whether an event is of this folder: the import may go on after it
// was broken off. What it closes is not known beforehand.
func (t *taped) own(e *events.Event) bool {
	_, closed := e.Data.(*events.PositionClosed)
	return t.outline.ids[e.ID] || closed && e.Source == "import/"+t.id && e.Time.Equal(t.outline.at)
}

// open lists the stocks whose positions are open.
func (t *taped) open() (codes []string) {
	for _, p := range t.book.Positions(t.id) {
		if p.Open {
			codes = append(codes, p.StockCode)
		}
	}
	return codes
}

// missing yields what the log lacks of a folder's events, and counts the others.
// Trades and balances are known by their rows, whichever way they came; events
// about positions by what they would change.
func (t *taped) missing(all inputs, known *knownEvents, answer *importAnswer, overwrite bool) inputs {
	return func(yield func(input, error) bool) {
		lacks, balances := t.rows.Lacks(), balances{taped: t, overwrite: overwrite}
		var moves []input
		for in, err := range all {
			fate := wanted
			switch {
			case err != nil:
			case isMove(in.event):
				moves = append(moves, in)
				continue
			default:
				switch d := in.event.Data.(type) {
				case *events.TradeRecorded:
					if !t.outline.ids[in.event.ID] {
						continue
					}
					if !lacks(d) {
						fate = held
					}
				case *events.CapitalUpdated:
					in.event, fate = balances.compare(in.event, d)
				}
			}
			if fate == wanted {
				if !yield(in, err) {
					return
				}
				continue
			}
			answer.leaveOut(fate, 1)
		}
		send, withheld := t.moves(moves, known, overwrite)
		answer.leaveOut(turnsBack, withheld)
		answer.leaveOut(held, len(moves)-len(send)-withheld)
		if again := balances.again(); again != nil {
			send = slices.Insert(send, 0, input{event: again, file: silverquant.AssetsFile})
		}
		for _, in := range send {
			if !yield(in, nil) {
				return
			}
		}
	}
}

// fate is what the log makes of one of a folder's events.
type fate int

const (
	wanted fate = iota
	held
	turnsBack
)

// balances compares the rows of assets.csv.
type balances struct {
	*taped
	overwrite bool
	sent      events.Date // the latest date of those that the log lacks
}

// compare tells whether a balance is to be recorded, and as which event. Where
// the log has another total of the date, the folder's last one follows upon it
// when the folder has that total, too; else nobody knows which is the newer.
func (b *balances) compare(e *events.Event, d *events.CapitalUpdated) (*events.Event, fate) {
	total, on := b.rows.Assets[d.Date]
	switch {
	case !on:
	case total == d.TotalAssets || e.ID != b.outline.closing[d.Date]:
		return e, held
	case b.overwrite:
		e = b.once(balance{d.Date, d.TotalAssets})
	case b.rows.Times(d.Date, d.TotalAssets) > 0:
		return e, held // the log has moved on from it
	case !b.outline.balances[balance{d.Date, total}]:
		return e, turnsBack
	}
	b.sent = max(b.sent, d.Date)
	return e, wanted
}

// once is a balance once more than the log has it.
func (b *balances) once(is balance) *events.Event {
	return silverquant.AssetEntry(b.id, silverquant.Asset{Date: is.date, Total: is.total}).Nth(b.rows.Times(is.date, is.total) + 1)
}

// again is the log's newest balance once more, or nil: the total assets of an
// account are those of the event that came last. After older days alone they
// would be an older day's.
func (b *balances) again() *events.Event {
	if len(b.rows.Assets) == 0 || b.sent == 0 {
		return nil
	}
	newest := slices.Max(slices.Collect(maps.Keys(b.rows.Assets)))
	if b.sent >= newest {
		return nil
	}
	return b.once(balance{newest, b.rows.Assets[newest]})
}

// moves are the events that the log lacks and that change a position, played one
// after the other; none where the log is newer than the folder and would be
// turned back. withheld is how many would have turned it back.
func (t *taped) moves(all []input, known *knownEvents, overwrite bool) (send []input, withheld int) {
	open := t.open()
	for _, in := range all {
		if known.has(in.event) {
			continue
		}
		before, date := t.book.Positions(t.id), t.book.IncDate(t.id)
		t.book.Apply(in.event)
		if date != t.book.IncDate(t.id) || !slices.Equal(before, t.book.Positions(t.id)) {
			send = append(send, in)
		}
	}
	if overwrite || !t.newer {
		return send, 0
	}
	// A price that is left over of what neither holds is no position.
	open = append(open, t.open()...)
	for _, in := range send {
		if d, ok := in.event.Data.(*events.PositionPriceMarked); !ok || slices.Contains(open, d.StockCode) {
			withheld++
		}
	}
	return nil, withheld
}
