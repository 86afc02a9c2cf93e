package watch

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/book"
	"github.com/seed-744e3d1b/tapedeck/internal/silverquant"
)

// plan is what makes the log's state of an account equal to a view of its
// folder.
type plan struct {
	account string
	broker  string
	view    *view
	from    state
	// lasting tells whether a price's absence from a file, while its position
	// stays open, has lasted: most often it is the first half of a closing.
	lasting func(file, stock string) bool

	// records are trades, balances and the account itself; moves change
	// positions and belong together.
	records, moves []*events.Event
	drifts         []Drift
	unsettled      string
}

// compare fills the plan in.
func (p *plan) compare() {
	p.drifts, p.unsettled = slices.Clone(p.view.drifts), p.view.unsettled
	if !p.from.created && !p.create() {
		return
	}
	p.compareDeals()
	p.compareAssets()
	p.comparePositions()
}

func (p *plan) drift(file, key, reason string) {
	p.drifts = append(p.drifts, Drift{File: file, Key: key, Reason: reason})
}

func (p *plan) wait(reason string) { p.unsettled = cmp.Or(p.unsettled, reason) }

// record adds an event that stands for a row.
func (p *plan) record(e *events.Event, file string, line int) {
	if err := e.Validate(); err != nil {
		p.drift(file, fmt.Sprintf("line %d", line), err.Error())
		return
	}
	p.records = append(p.records, e)
}

// move adds an event about positions. Its id is made of the account's last
// event and the move's place behind it: sent twice, it is on the log once.
func (p *plan) move(file, stock string, data events.Data) {
	e := &events.Event{
		ID:     fmt.Sprintf("%s-%d", moveID(p.account, p.from.Last), len(p.moves)),
		Source: "watch/" + p.account, Time: p.view.changed.In(events.Zone), Data: data,
	}
	if err := e.Validate(); err != nil {
		p.drift(file, stock, err.Error())
		return
	}
	p.moves = append(p.moves, e)
}

func moveID(account string, after uint64) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d", account, after))
	return "watch-" + hex.EncodeToString(sum[:20])
}

// create creates the account with its first balance.
func (p *plan) create() bool {
	if len(p.view.assets) == 0 {
		p.drift(silverquant.AssetsFile, "", "the account is unknown and there is no row to take its initial capital from: create the account, or wait for the first row")
		return false
	}
	first := p.view.assets[0]
	p.record(silverquant.AccountEntry(p.account, p.broker, first).Nth(1), silverquant.AssetsFile, first.Line)
	return true
}

// compareDeals records the rows that the log does not hold: the nth row of the
// same content is new when the log holds fewer than n.
func (p *plan) compareDeals() {
	t, whole := p.view.deals, true
	for _, d := range t.unchecked(p.from.epoch) {
		if d.nth <= p.from.Deals[d.key] {
			if whole {
				t.checked++
			}
			continue
		}
		whole = false
		// Good since it was read.
		if entry, err := silverquant.DealEntry(p.account, d.Deal.Deal); err == nil {
			p.record(entry.Nth(d.same), silverquant.DealsFile, d.Line)
		}
	}
}

// compareAssets records the balances whose date has another one on the log; the
// last row of a date counts. The account's total assets are those of the event
// that came last, so a change in the middle brings the last row again.
func (p *plan) compareAssets() {
	last := make(map[events.Date]silverquant.Asset)
	var order []events.Date
	for _, a := range p.view.assets {
		if _, again := last[a.Date]; !again {
			order = append(order, a.Date)
		}
		last[a.Date] = a
	}
	earlier := false
	for i, date := range order {
		a := last[date]
		total, on := p.from.Assets[date]
		if on && total == a.Total && (i < len(order)-1 || !earlier) {
			continue
		}
		earlier = true
		nth := p.from.Times(date, a.Total) + 1
		p.record(silverquant.AssetEntry(p.account, a).Nth(nth), silverquant.AssetsFile, a.Line)
	}
}

// comparePositions works on a copy of the log's state and does to it what the
// events do.
func (p *plan) comparePositions() {
	v, now := p.view, maps.Clone(p.from.stocks)
	p.settle(now)
	if v.held != nil {
		p.increment(now)
		p.closeGone(now)
	}
	p.dropPrices(now)
	if v.held != nil {
		p.openNew(now)
	}
	p.markPrices(now)
}

// settle takes a file that has just vanished for what it is when the log holds
// nothing that could be in it.
func (p *plan) settle(now map[string]book.Position) {
	holds := map[string]func(book.Position) bool{
		silverquant.PositionsFile: func(s book.Position) bool { return s.Open },
		silverquant.MaxPriceFile:  func(s book.Position) bool { return s.MaxPrice != 0 },
		silverquant.MinPriceFile:  func(s book.Position) bool { return s.MinPrice != 0 },
	}
	holds[silverquant.HeldDaysFile] = holds[silverquant.PositionsFile]
	for file := range p.view.gone {
		held := file == silverquant.PositionsFile && p.from.incDate != 0
		for _, s := range now {
			held = held || holds[file](s)
		}
		if held {
			p.wait(file + " is missing or empty")
		}
	}
}

// increment moves the date of the last increment forward.
func (p *plan) increment(now map[string]book.Position) {
	date := p.view.incDate
	switch {
	case date == p.from.incDate:
	case date < p.from.incDate:
		is := "missing"
		if date != 0 {
			is = date.String()
		}
		p.drift(silverquant.PositionsFile, "_inc_date", fmt.Sprintf("is %s, the log has %s: no event takes that back", is, p.from.incDate))
	case p.view.tomorrow != 0 && date > p.view.tomorrow:
		p.drift(silverquant.PositionsFile, "_inc_date", fmt.Sprintf("is %s, later than tomorrow (is the strategy's clock right?): recorded when that day comes, for no event takes it back", date))
	default:
		p.move(silverquant.PositionsFile, "_inc_date", &events.PositionDaysIncremented{AccountID: p.account, Date: date})
		for code, s := range now {
			if s.Open {
				s.HeldDays++
				now[code] = s
			}
		}
	}
}

// closeGone closes what is no longer held.
func (p *plan) closeGone(now map[string]book.Position) {
	for _, code := range slices.Sorted(maps.Keys(now)) {
		if _, held := p.view.held[code]; !now[code].Open || held || p.dim(code) {
			continue
		}
		p.close(silverquant.PositionsFile, code, now)
	}
}

func (p *plan) dim(code string) bool {
	return p.view.dim[silverquant.PositionsFile][code] || p.view.dim[silverquant.HeldDaysFile][code]
}

func (p *plan) close(file, code string, now map[string]book.Position) {
	p.move(file, code, &events.PositionClosed{AccountID: p.account, StockCode: code})
	delete(now, code)
}

// dropPrices forgets prices that the files no longer have. No event does that
// alone: the position is closed, and opened again as it was when it is held.
func (p *plan) dropPrices(now map[string]book.Position) {
	for _, code := range slices.Sorted(maps.Keys(now)) {
		s := now[code]
		lost := p.lost(silverquant.MaxPriceFile, code, s.MaxPrice, p.view.max)
		lost = cmp.Or(lost, p.lost(silverquant.MinPriceFile, code, s.MinPrice, p.view.min))
		if lost == "" {
			continue
		}
		if s.Open && !p.lasting(lost, code) {
			p.wait(fmt.Sprintf("%s lost %s, whose position is open", lost, code))
			continue
		}
		p.close(lost, code, now)
		// What its own file does not tell now is taken over.
		kept := book.Position{StockCode: code}
		if p.view.max == nil || p.view.dim[silverquant.MaxPriceFile][code] {
			kept.MaxPrice = s.MaxPrice
		}
		if p.view.min == nil || p.view.dim[silverquant.MinPriceFile][code] {
			kept.MinPrice = s.MinPrice
		}
		p.mark(code, kept.MaxPrice, kept.MinPrice)
		if _, told := p.view.held[code]; s.Open && !told {
			p.open(code, s.HeldDays)
			kept.Open, kept.HeldDays = true, s.HeldDays
		}
		now[code] = kept
	}
}

// lost names the file that no longer has a price.
func (p *plan) lost(file, code string, price events.Price, prices map[string]events.Price) string {
	if _, has := prices[code]; price == 0 || prices == nil || has || p.view.dim[file][code] {
		return ""
	}
	return file
}

// openNew opens positions and sets held days.
func (p *plan) openNew(now map[string]book.Position) {
	for _, code := range slices.Sorted(maps.Keys(p.view.held)) {
		days := p.view.held[code]
		if s := now[code]; !s.Open || s.HeldDays != days {
			p.open(code, days)
			s.Open, s.HeldDays = true, days
			now[code] = s
		}
	}
}

func (p *plan) open(code string, days int64) {
	if days == 0 {
		p.move(silverquant.PositionsFile, code, &events.PositionOpened{AccountID: p.account, StockCode: code})
		return
	}
	p.move(silverquant.PositionsFile, code, &events.PositionHeldDaysSet{AccountID: p.account, StockCode: code, HeldDays: days})
}

// markPrices marks the prices that differ.
func (p *plan) markPrices(now map[string]book.Position) {
	codes := make(map[string]bool)
	for code := range p.view.max {
		codes[code] = true
	}
	for code := range p.view.min {
		codes[code] = true
	}
	changed := func(prices map[string]events.Price, code string, is events.Price) events.Price {
		if price, has := prices[code]; has && price != is {
			return price
		}
		return 0
	}
	for _, code := range slices.Sorted(maps.Keys(codes)) {
		s := now[code]
		p.mark(code, changed(p.view.max, code, s.MaxPrice), changed(p.view.min, code, s.MinPrice))
	}
}

// mark marks the prices that are not 0. One event must not hold a highest price
// below the lowest; the files may.
func (p *plan) mark(code string, highest, lowest events.Price) {
	d := &events.PositionPriceMarked{AccountID: p.account, StockCode: code}
	if highest != 0 {
		d.MaxPrice = &highest
	}
	if highest != 0 && lowest != 0 && highest < lowest {
		p.move(silverquant.MaxPriceFile, code, d)
		d = &events.PositionPriceMarked{AccountID: p.account, StockCode: code}
	}
	if lowest != 0 {
		d.MinPrice = &lowest
	}
	if d.MaxPrice != nil || d.MinPrice != nil {
		p.move(silverquant.MaxPriceFile, code, d)
	}
}

// equal tells whether nothing is left to do or to wait for.
func (p *plan) equal() bool {
	return len(p.records)+len(p.moves)+len(p.drifts) == 0 && p.unsettled == ""
}

// absences remembers since when a price has been missing.
type absences map[string]time.Time

// lasting tells whether what was missing for the first time at some look is
// still missing after patience. A look that does not ask forgets.
func (a absences) lasting(now time.Time, patience time.Duration, next absences) func(file, stock string) bool {
	return func(file, stock string) bool {
		key := file + "/" + stock
		since, known := a[key]
		if !known {
			since = now
		}
		next[key] = since
		return now.Sub(since) >= patience
	}
}
