package replay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/book"
	"github.com/seed-744e3d1b/tapedeck/internal/phase"
	"github.com/seed-744e3d1b/tapedeck/internal/projector"
	"github.com/seed-744e3d1b/tapedeck/internal/tier/memory"
)

type reconcileCommand struct {
	Statement string            `help:"The broker's list of positions: CSV, in UTF-8, GBK or UTF-16." required:"" type:"existingfile" placeholder:"FILE"`
	Account   string            `help:"The account that it is of." required:"" placeholder:"ID"`
	Columns   map[string]string `help:"Headings of columns that are not found by themselves: code, volume, name, market, account, as in code=证券代码,volume=股票余额." mapsep:"," placeholder:"COLUMN=HEADING"`
	NoRecord  bool              `help:"Do not report to ingest what was found. What was reported last keeps the account from its next phase while there is a break."`
	boundFlags
}

// Help says what the flags cannot.
func (reconcileCommand) Help() string {
	return `Compares an account on the log with its broker's statement: the shares that buy_trade and sell_trade leave of each stock, and whether its position is open. Shares that were there before the first trade, and what came by dividends, show as breaks: the log does not know of them. When the log has no trade of the account, but orders only, shares are not compared. Of a statement with several accounts the rows of --account count. What is no A-share is ignored, and told. Exit code 0: no break, 1: breaks.

A statement of an evening is compared with that evening:

  replay reconcile --account 55009728 --statement 持仓.csv --until-time 2025-06-30`
}

// The kinds of breaks.
const (
	breakVolume  = "volume"       // the trades leave another number of shares
	breakNotOpen = "not_open"     // the broker holds shares of a position that is not open
	breakOpen    = "open_at_zero" // a position is open, and the broker holds no share
)

type reconcileAnswer struct {
	Account  string `json:"account"`
	Sequence uint64 `json:"sequence"`
	Chain    string `json:"chain"`
	// Stocks is how many were compared.
	Stocks int `json:"stocks"`
	// VolumesCompared is false when the log has no buy_trade and no sell_trade of
	// the account: many strategies record orders only.
	VolumesCompared bool         `json:"volumes_compared"`
	Breaks          []heldBreak  `json:"breaks"`
	Ignored         []ignoredRow `json:"ignored"`
}

// heldBreak is one stock on which log and statement disagree.
type heldBreak struct {
	StockCode       string   `json:"stock_code"`
	Name            string   `json:"name"`
	LogVolume       int64    `json:"log_volume"`
	StatementVolume int64    `json:"statement_volume"`
	Open            bool     `json:"open"`
	Kinds           []string `json:"kinds"`
}

// Run implements the command.
func (c reconcileCommand) Run(e *Env) error {
	bound, err := c.bound()
	if err != nil {
		return err
	}
	for column := range c.Columns {
		if statementNames[column] == nil {
			return usage("--columns: there is no column %s, but code, volume, name, market and account", column)
		}
	}
	stated, ignored, sum, err := readStatement(c.Statement, c.Account, c.Columns)
	if err != nil {
		return err
	}
	log, err := e.openLog()
	if err != nil {
		return err
	}
	defer log.Close()
	tier := &sharesTier{Tier: memory.New(nil), account: c.Account, shares: make(map[string]int64), names: make(map[string]string)}
	at, err := e.play(e.Context, log, tier, bound, nil)
	if err != nil {
		return fmt.Errorf("reconcile: %w", err)
	}
	if !tier.known {
		return unknownAccounts(map[string]bool{c.Account: false})
	}
	answer := tier.reconcile(stated)
	answer.Ignored = append([]ignoredRow{}, ignored...)
	answer.Sequence, answer.Chain = at.Sequence, at.Chain.String()
	if err := e.print(answer, answer.text); err != nil {
		return err
	}
	if !c.NoRecord {
		e.record(c.Account, phase.Reconciliation{
			Statement: filepath.Base(c.Statement), SHA256: sum, Sequence: at.Sequence, Breaks: len(answer.Breaks), ComparedAt: time.Now(),
		})
	}
	if len(answer.Breaks) > 0 {
		return ErrDifferences
	}
	return nil
}

// record reports a reconciliation to ingest, for the account's next phase. That
// it cannot be reported changes nothing in what was found.
func (e *Env) record(account string, found phase.Reconciliation) {
	var answer struct {
		Recorded       bool                 `json:"recorded"`
		Reconciliation phase.Reconciliation `json:"reconciliation"`
	}
	status, text, err := e.call(e.ingest(), http.MethodPut, "/v1/reconciliations/"+url.PathEscape(account), found)
	if err == nil && status != http.StatusOK {
		err = errors.New(refusalOf(status, text))
	}
	if err == nil {
		err = json.Unmarshal(text, &answer)
	}
	switch {
	case err != nil:
		fmt.Fprintf(e.Err, "warning: ingest did not record this for replay phase (--no-record asks it for nothing): %v\n", err)
	case !answer.Recorded:
		fmt.Fprintf(e.Err, "not recorded for replay phase: the reconciliation at sequence %d is a later one\n", answer.Reconciliation.Sequence)
	default:
		fmt.Fprintf(e.Err, "recorded for replay phase: account %s, %d breaks at sequence %d\n", account, found.Breaks, found.Sequence)
	}
}

// sharesTier is a tier whose contents are an account's positions and the shares
// that its trades leave.
type sharesTier struct {
	*memory.Tier
	account string
	known   bool
	traded  bool // there is a buy_trade or a sell_trade
	shares  map[string]int64
	names   map[string]string
}

// Apply implements projector.Tier.
func (t *sharesTier) Apply(ctx context.Context, b projector.Batch) error {
	for _, e := range b.Events {
		if book.AccountOf(e.Data) != t.account {
			continue
		}
		t.known = true
		d, ok := e.Data.(*events.TradeRecorded)
		if !ok {
			continue
		}
		switch d.OrderType {
		case events.BuyTrade:
			t.traded = true
			t.shares[d.StockCode] += d.Volume
		case events.SellTrade:
			t.traded = true
			t.shares[d.StockCode] -= d.Volume
		}
		t.names[d.StockCode] = d.StockName
	}
	return t.Tier.Apply(ctx, b)
}

func (t *sharesTier) reconcile(stated map[string]holding) reconcileAnswer {
	open := make(map[string]bool)
	for _, p := range t.Book().Positions(t.account) {
		if p.Open {
			open[p.StockCode] = true
		}
	}
	codes := make(map[string]bool)
	for code := range stated {
		codes[code] = true
	}
	for code, shares := range t.shares {
		if shares != 0 {
			codes[code] = true
		}
	}
	maps.Copy(codes, open)
	answer := reconcileAnswer{Account: t.account, Stocks: len(codes), VolumesCompared: t.traded, Breaks: []heldBreak{}}
	for _, code := range slices.Sorted(maps.Keys(codes)) {
		b := heldBreak{
			StockCode: code, Name: stated[code].name, LogVolume: t.shares[code], StatementVolume: stated[code].volume, Open: open[code],
		}
		if b.Name == "" {
			b.Name = t.names[code]
		}
		if t.traded && b.LogVolume != b.StatementVolume {
			b.Kinds = append(b.Kinds, breakVolume)
		}
		if b.StatementVolume > 0 && !b.Open {
			b.Kinds = append(b.Kinds, breakNotOpen)
		}
		if b.StatementVolume == 0 && b.Open {
			b.Kinds = append(b.Kinds, breakOpen)
		}
		if b.Kinds != nil {
			answer.Breaks = append(answer.Breaks, b)
		}
	}
	return answer
}

var breakWords = map[string]string{
	breakVolume: "another number of shares", breakNotOpen: "no open position", breakOpen: "position open, no shares",
}

func (a reconcileAnswer) text(w io.Writer) {
	fmt.Fprintf(w, "account %s at sequence %d: %d stocks compared, %d breaks\n", a.Account, a.Sequence, a.Stocks, len(a.Breaks))
	if !a.VolumesCompared {
		fmt.Fprintln(w, "shares were not compared: the log has no buy_trade and no sell_trade of the account; only open positions were")
	}
	for _, row := range a.Ignored {
		fmt.Fprintf(w, "warning: line %d is ignored: %s %s is no A-share\n", row.Line, row.Code, row.Name)
	}
	if len(a.Breaks) == 0 {
		return
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "STOCK\tLOG\tSTATEMENT\tOPEN\tBREAK\tNAME")
	for _, b := range a.Breaks {
		words := ""
		for i, kind := range b.Kinds {
			if i > 0 {
				words += "; "
			}
			words += breakWords[kind]
		}
		fmt.Fprintf(table, "%s\t%d\t%d\t%s\t%s\t%s\n", b.StockCode, b.LogVolume, b.StatementVolume, strconv.FormatBool(b.Open), words, b.Name)
	}
	_ = table.Flush() // prints to the terminal
}
