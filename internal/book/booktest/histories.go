// Package booktest draws random valid histories, to hold the fold and the
// tiers against.
package booktest

import (
	"fmt"
	"time"

	"pgregory.net/rapid"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/book"
)

// Options bound a history.
type Options struct {
	// Events is the largest number of drawn events, 60 when 0. A full account,
	// see Wide, comes on top.
	Events int
	// Wide lets one history in eight fill an account up to
	// book.MaxOpenPositions open positions.
	Wide bool
}

// Histories draws what a log may hold: events that are valid on their own and
// by book.Check, in log order, with sequences 1, 2, 3 … Their own times mostly
// rise but go back now and then, as those of several publishers do. Every event
// type appears, with few accounts, stocks, strategies and users, so that events
// meet.
func Histories(t *rapid.T, o Options) []*events.Event {
	if o.Events == 0 {
		o.Events = 60
	}
	h := &history{t: t, book: book.New(book.Keep{}), now: time.Date(2025, 1, 2, 9, 30, 0, 0, events.Zone)}
	h.add(h.account(accountIDs[0]))
	if o.Wide && rapid.IntRange(0, 7).Draw(t, "wide") == 7 {
		h.fill(accountIDs[0])
	}
	if rapid.Bool().Draw(t, "established") {
		h.establish()
	}
	for range rapid.SampledFrom([]int{o.Events / 8, o.Events / 2, o.Events / 4, o.Events}).Draw(t, "events") {
		h.step()
	}
	return h.events
}

// history is the part of a history that is drawn.
type history struct {
	t      *rapid.T
	book   *book.Book
	now    time.Time
	events []*events.Event
}

// add appends an event if ingest would.
func (h *history) add(d events.Data) {
	sequence := uint64(len(h.events)) + 1
	e := &events.Event{
		ID:       fmt.Sprintf("history-%06d", sequence),
		Source:   "strategy/booktest",
		Subject:  d.Subject(),
		Time:     h.now,
		Data:     d,
		Sequence: sequence,
		Logged:   time.Date(2026, 1, 1, 0, 0, 0, int(sequence)*int(time.Millisecond), time.UTC),
	}
	if e.Validate() != nil {
		return
	}
	if verdict, err := h.book.Check(e); err != nil || !verdict.Applied {
		return
	}
	h.book.Apply(e)
	h.events = append(h.events, e)
}

// fill opens positions until the account has as many as it may, with prices
// marked on all of them.
func (h *history) fill(account string) {
	for i := range book.MaxOpenPositions {
		stock := fmt.Sprintf("3%05d.SZ", i)
		h.add(&events.PositionOpened{AccountID: account, StockCode: stock, HeldDays: int64(i)})
		h.add(&events.PositionPriceMarked{AccountID: account, StockCode: stock, MaxPrice: &prices[i%len(prices)], MinPrice: &prices[0]})
	}
}

// establish adds the master data that the rarer types need before them.
func (h *history) establish() {
	h.add(&events.AccountCreated{AccountID: accountIDs[1], AccountName: "账户 1", Broker: "QMT", InitialCapital: 100_000_000})
	h.add(h.strategyCreated())
	h.add(h.strategyCreated())
	h.add(h.userRegistered())
	h.add(&events.StrategyBound{AccountID: accountIDs[1], StrategyCode: strategyCodes[0], AllocatedCapital: 50_000_000, RiskLimit: 500})
	h.add(h.paramSaved())
	h.add(h.paramSaved())
}

// step draws one event. Those that a rule refuses fall away, so a step may add
// none.
func (h *history) step() {
	seconds := rapid.Int64Range(-600, 86_400).Draw(h.t, "pause")
	micros := rapid.SampledFrom([]int64{0, 1, 500_000, 999_999}).Draw(h.t, "micros")
	h.now = h.now.Add(time.Duration(seconds)*time.Second + time.Duration(micros)*time.Microsecond)
	h.add(rapid.SampledFrom(draws).Draw(h.t, "type")(h))
}

// draws lists every payload. Rapid draws low indices more often: each doubling
// of the index gets about the same share, so the first four are half of a
// history, as trades and positions are most of a real log.
var draws = []func(*history) events.Data{
	(*history).trade, (*history).opened,
	(*history).priceMarked, (*history).daysIncremented,
	(*history).closed, (*history).strategyCreated, (*history).bound, (*history).loginFailed,
	(*history).paramSaved, (*history).capital, (*history).klines, (*history).userRegistered,
	(*history).heldDaysSet, (*history).bindingChanged, (*history).paramActivated, (*history).anyAccount,
	(*history).accountUpdated, (*history).accountStatus, (*history).strategyUpdated, (*history).strategyStatus,
	(*history).unbound, (*history).loggedIn, (*history).userStatus, (*history).passwordChanged,
	(*history).roleGranted, (*history).roleRevoked, (*history).tierParked,
}
