package query

import (
	"math"
	"strings"
	"time"

	"github.com/seed-744e3d1b/tapedeck/events"
)

// Packed keeps trades for readers that hold many, for years. A Trade has eight
// pointers, and each of the collector's rounds follows all of them while readers
// wait: 300,000 trades are 100 ms of both cores. PackedTrades have none, and take
// a third of the memory.
//
// The zero Packed is ready to use. It is safe for concurrent use by readers while
// nobody adds.
type Packed struct {
	// texts are the few that stand in trades again and again.
	texts []string
	ids   map[string]uint32
	// bytes are the texts of single trades, one behind the other: their order
	// ids, and remarks where those are many.
	bytes []byte
}

// fewTexts is how many texts there may be before remarks count as many.
const fewTexts = 1 << 16

// own is the id of a remark that stands among the bytes.
const own = math.MaxUint32

// PackedTrade is a trade in a Packed.
type PackedTrade struct {
	sequence                                             uint64
	micros                                               int64 // traded_at, which has no more
	price                                                events.Price
	volume                                               int64
	amount                                               events.Money
	begin                                                uint64 // of its own bytes: the order id, then perhaps the remark
	orderLength, remarkLength                            uint32
	account, stock, name, kind, priced, strategy, remark uint32
	whole                                                bool
}

// Add packs a trade. Its traded_at must be as events has it: in events.Zone, to
// the microsecond.
func (p *Packed) Add(t *Trade) PackedTrade {
	packed := PackedTrade{
		sequence: t.Sequence, whole: t.Whole, micros: t.TradedAt.UnixMicro(), price: t.Price, volume: t.Volume, amount: t.Amount,
		account: p.id(t.AccountID), stock: p.id(t.StockCode), name: p.id(t.StockName), kind: p.id(string(t.OrderType)), priced: p.id(string(t.PriceType)),
		strategy: p.id(t.StrategyName), begin: uint64(len(p.bytes)), orderLength: uint32(len(t.OrderID)),
	}
	p.bytes = append(p.bytes, t.OrderID...)
	if _, known := p.ids[t.Remark]; known || len(p.texts) < fewTexts {
		packed.remark = p.id(t.Remark)
		return packed
	}
	packed.remark, packed.remarkLength = own, uint32(len(t.Remark))
	p.bytes = append(p.bytes, t.Remark...)
	return packed
}

func (p *Packed) id(text string) uint32 {
	id, known := p.ids[text]
	if !known {
		if p.ids == nil {
			p.ids = make(map[string]uint32)
		}
		text = strings.Clone(text) // perhaps a piece of a whole file
		id = uint32(len(p.texts))
		p.texts = append(p.texts, text)
		p.ids[text] = id
	}
	return id
}

// Second is traded_at in seconds since 1970.
func (t *PackedTrade) Second() int64 { return time.UnixMicro(t.micros).Unix() }

// trade is what was packed.
func (p *Packed) trade(t *PackedTrade) Trade {
	order := t.begin + uint64(t.orderLength)
	var remark string
	if t.remark == own {
		remark = string(p.bytes[order : order+uint64(t.remarkLength)])
	} else {
		remark = p.texts[t.remark]
	}
	return Trade{Sequence: t.sequence, Whole: t.whole, TradeRecorded: events.TradeRecorded{
		AccountID: p.texts[t.account], StockCode: p.texts[t.stock], StockName: p.texts[t.name],
		OrderType: events.OrderType(p.texts[t.kind]), PriceType: events.PriceType(p.texts[t.priced]),
		Price: t.price, Volume: t.volume, Amount: t.amount, StrategyName: p.texts[t.strategy], Remark: remark,
		TradedAt: time.UnixMicro(t.micros).In(events.Zone), OrderID: string(p.bytes[t.begin:order]),
	}}
}

// passes tests whether trades pass a filter, whose Limit does not count.
func (p *Packed) passes(f TradeFilter) func(*PackedTrade) bool {
	const whatever, unheard = math.MaxUint32, math.MaxUint32 - 1
	id := func(text string) uint32 {
		if text == "" {
			return whatever
		}
		if id, known := p.ids[text]; known {
			return id
		}
		return unheard
	}
	account, stock, strategy, alias := id(f.Account), id(f.Stock), id(f.Strategy), uint32(unheard)
	if f.Alias != "" {
		alias = id(f.Alias)
	}
	first, end := f.span()
	return func(t *PackedTrade) bool {
		return (account == whatever || account == t.account) && (stock == whatever || stock == t.stock) &&
			(strategy == whatever || strategy == t.strategy || alias == t.strategy) && t.micros >= first && t.micros < end
	}
}

// span are the microseconds since 1970 that the filter's days begin and end at.
func (f TradeFilter) span() (first, end int64) {
	first, end = math.MinInt64, math.MaxInt64
	if f.From != 0 {
		first = f.From.Time().UnixMicro()
	}
	if f.To != 0 {
		end = f.To.Time().AddDate(0, 0, 1).UnixMicro()
	}
	return first, end
}

// AppendMatches appends the trades that pass a filter, whose Limit does not
// count.
func (p *Packed) AppendMatches(list []Trade, trades []PackedTrade, f TradeFilter) []Trade {
	passes := p.passes(f)
	for i := range trades {
		if t := &trades[i]; passes(t) {
			list = append(list, p.trade(t))
		}
	}
	return list
}

// AppendFills appends the fills among trades that pass a filter, whose Limit
// does not count.
func (p *Packed) AppendFills(fills []Fill, trades []PackedTrade, f TradeFilter) []Fill {
	passes := p.passes(f)
	buy, buys := p.ids[string(events.BuyTrade)]
	sell, sells := p.ids[string(events.SellTrade)]
	for i := range trades {
		t := &trades[i]
		sold := sells && t.kind == sell
		if (sold || buys && t.kind == buy) && passes(t) {
			fills = append(fills, Fill{Second: t.Second(), Sell: sold, Price: t.price, Volume: t.volume, Amount: t.amount})
		}
	}
	return fills
}
