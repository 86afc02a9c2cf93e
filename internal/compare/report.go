package compare

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Difference is a row that a tier has otherwise than the log says.
type Difference struct {
	// Kind and Key are those of replay verify; of what cannot be read at all, they
	// are what was asked for.
	Kind, Account, Key string
	// Tier is what the tier has, Log what the log says; nil is no such row.
	Tier, Log *string
	Since     time.Time

	unit string
}

// Report is what is known of all tiers.
type Report struct {
	Every   time.Duration
	Checked time.Time
	// Sequence is where the log was at the end of the last round.
	Sequence uint64
	Tiers    []TierReport
}

// TierReport is what is known of one tier. Its differences stay until a look
// finds them gone.
type TierReport struct {
	Tier string
	// Checked is when the tier was compared last, Sequence where it was then.
	Checked  time.Time
	Sequence uint64
	Rows     int
	// Undecided counts rows that events changed too often to be compared.
	Undecided int
	Held      bool
	// Error is why the tier was not compared in the last round.
	Error error
	// Differences are sorted by kind and key.
	Differences []Difference
}

// Report tells what the last rounds found.
func (c *Comparer) Report() Report {
	c.mu.Lock()
	defer c.mu.Unlock()
	report := Report{Every: c.every, Checked: c.checked, Sequence: c.at}
	for _, t := range c.tiers {
		one := TierReport{Tier: t.tier.Name(), Checked: t.checked, Sequence: t.at, Rows: t.rows, Undecided: t.undecided, Held: t.held, Error: t.err}
		for _, d := range t.known {
			one.Differences = append(one.Differences, *d)
		}
		slices.SortFunc(one.Differences, func(a, b Difference) int {
			return cmp.Or(strings.Compare(a.Kind, b.Kind), strings.Compare(a.Key, b.Key))
		})
		report.Tiers = append(report.Tiers, one)
	}
	return report
}

const (
	// logged is how many differences of a tier a round writes to the log.
	logged = 20
	// longest bounds the text of a row: parameters may be long.
	longest = 1000
)

// settle remembers what a round found in a tier.
func (c *Comparer) settle(t *compared, s seen, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	name := t.tier.Name()
	t.held, t.err = errors.Is(err, errHeld), err
	if err != nil {
		return
	}
	now := time.Now()
	t.checked, t.at, t.rows, t.undecided = now, s.at, s.rows, len(s.open)
	fresh, over := 0, 0
	for _, id := range slices.Sorted(maps.Keys(s.told)) {
		f := s.told[id]
		d := &Difference{Kind: f.kind, Account: f.account, Key: f.key, Tier: shorten(f.tier), Log: shorten(f.log), Since: now, unit: f.unit}
		if before := t.known[id]; before != nil {
			d.Since = before.Since
		} else if fresh++; fresh <= logged {
			c.logger.Warn("tier differs from the log", "tier", name, "kind", d.Kind, "key", d.Key, "has", textOrNone(d.Tier), "log_says", textOrNone(d.Log),
				"to_do", "replay verify --tier "+name+" proves it, with --repair it mends it")
		}
		t.known[id] = d
	}
	for id, d := range t.known {
		if _, told := s.told[id]; told || s.open[id] || s.unread[d.unit] {
			continue
		}
		delete(t.known, id)
		if over++; over <= logged {
			c.logger.Info("difference is over", "tier", name, "kind", d.Kind, "key", d.Key, "since", d.Since)
		}
	}
	if fresh > logged || over > logged {
		c.logger.Warn("tier differs from the log", "tier", name, "new", fresh, "over", over, "differences", len(t.known))
	}
}

func shorten(text *string) *string {
	if text == nil || len(*text) <= longest {
		return text
	}
	short := strings.ToValidUTF8((*text)[:longest], "") + "…"
	return &short
}

func textOrNone(text *string) string {
	if text == nil {
		return "(nothing)"
	}
	return *text
}

var (
	differences = prometheus.NewDesc("tapedeck_compare_differences", "Rows that a tier has otherwise than the log says.", []string{"tier"}, nil)
	last        = prometheus.NewDesc("tapedeck_compare_last_timestamp_seconds", "When a tier was compared with the log last; 0 is never.", []string{"tier"}, nil)
	undecided   = prometheus.NewDesc("tapedeck_compare_undecided", "Rows that events changed too often to be compared in the last round.", []string{"tier"}, nil)
)

// Describe implements prometheus.Collector.
func (c *Comparer) Describe(out chan<- *prometheus.Desc) {
	out <- differences
	out <- last
	out <- undecided
}

// Collect implements prometheus.Collector.
func (c *Comparer) Collect(out chan<- prometheus.Metric) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range c.tiers {
		gauge := func(desc *prometheus.Desc, value float64) {
			out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, t.tier.Name())
		}
		at := 0.0
		if !t.checked.IsZero() {
			at = float64(t.checked.UnixMilli()) / 1000
		}
		gauge(differences, float64(len(t.known)))
		gauge(last, at)
		gauge(undecided, float64(t.undecided))
	}
}
