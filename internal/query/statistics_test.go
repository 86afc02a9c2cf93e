package query

import (
	"cmp"
	"math"
	"math/big"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/seed-744e3d1b/tapedeck/events"
)

// TestProfitIsThatOfSingleShares holds the matching against one that moves
// shares one by one, in exact fractions.
func TestProfitIsThatOfSingleShares(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := []StockFills{{Account: "a", Stock: "600000.SH"}, {Account: "a", Stock: "000001.SZ"}, {Account: "b", Stock: "600000.SH"}, {Account: "b", Stock: "000001.SZ"}}
		drawn := rapid.Custom(func(t *rapid.T) Fill {
			f := Fill{
				Second: time.Date(2025, 1, 1, 9, 30, 0, 0, events.Zone).Unix() + 86400*rapid.Int64Range(0, 40).Draw(t, "day"),
				Sell:   rapid.Bool().Draw(t, "sell"), Price: events.Price(rapid.Int64Range(1, 50).Draw(t, "price")), Volume: rapid.Int64Range(1, 9).Draw(t, "volume"),
			}
			f.Amount = AmountOf(f.Price, f.Volume)
			return f
		})
		for i := range all {
			all[i].Fills = rapid.SliceOfN(drawn, 0, 20).Draw(t, "fills")
			slices.SortStableFunc(all[i].Fills, func(a, b Fill) int { return cmp.Compare(a.Second, b.Second) })
		}
		from, to := events.Date(20250105), events.Date(20250203)

		var wins, losses, unmatched int64
		profit := new(big.Int) // in cents
		shares := make([][]events.Price, len(all))
		each := func(key int, f Fill) {
			gain, missing := int64(0), int64(0)
			for range f.Volume {
				switch {
				case !f.Sell:
					shares[key] = append(shares[key], f.Price)
				case len(shares[key]) == 0:
					missing++
				default:
					gain += int64(f.Price - shares[key][0])
					shares[key] = shares[key][1:]
				}
			}
			if f.Day() < from || f.Day() > to {
				return
			}
			cents, rest := gain/10, gain%10
			if rest >= 5 {
				cents++
			} else if rest <= -5 {
				cents--
			}
			profit.Add(profit, big.NewInt(cents))
			unmatched += missing
			if cents > 0 {
				wins++
			} else if cents < 0 {
				losses++
			}
		}
		for i := range all {
			for _, f := range all[i].Fills {
				each(i, f)
			}
		}
		for _, by := range []Grouping{ByDay, ByMonth, ByYear, ByStock, ByAccount} {
			lines, total, err := aggregate(all, by, from, to)
			require.NoError(t, err)
			require.Equal(t, profit.Int64(), int64(total.Profit))
			require.Equal(t, []int64{wins, losses, unmatched}, []int64{total.Wins, total.Losses, total.Unmatched})
			require.True(t, slices.IsSortedFunc(lines, func(a, b Statistic) int { return cmp.Compare(a.Key, b.Key) }))
			var sum Statistic
			for _, l := range lines {
				sum.Count, sum.Buys, sum.Sells = sum.Count+l.Count, sum.Buys+l.Buys, sum.Sells+l.Sells
				sum.Amount, sum.Profit = sum.Amount+l.Amount, sum.Profit+l.Profit
			}
			require.Equal(t, []any{total.Count, total.Buys, total.Sells, total.Amount, total.Profit}, []any{sum.Count, sum.Buys, sum.Sells, sum.Amount, sum.Profit}, by)
		}
	})
}

func TestWinRateIsRounded(t *testing.T) {
	for _, c := range []struct {
		wins, losses int64
		want         string
	}{{1, 2, "33.33"}, {2, 1, "66.67"}, {0, 3, "0.00"}, {5, 0, "100.00"}} {
		rate, ok := Statistic{Wins: c.wins, Losses: c.losses}.WinRate()
		require.True(t, ok)
		require.Equal(t, c.want, rate.String())
	}
	_, ok := Statistic{Sells: 3}.WinRate()
	require.False(t, ok)
}

// TestSumsThatDoNotFit: what does not fit into 64 bits is an error, and nothing
// else is.
func TestSumsThatDoNotFit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var fills []Fill
		limit := []int64{1e6, 1e9, 1e17}[rapid.IntRange(0, 2).Draw(t, "size")]
		for i := range rapid.IntRange(1, 300).Draw(t, "fills") {
			fills = append(fills, Fill{
				Second: int64(i), Sell: rapid.Bool().Draw(t, "sell"), Price: events.Price(rapid.Int64Range(1, limit).Draw(t, "price")),
				Volume: rapid.Int64Range(1, min(limit, events.MaxVolume)).Draw(t, "volume"), Amount: events.Money(rapid.Int64Range(1, limit).Draw(t, "amount")),
			})
		}
		amount, profit, fits := new(big.Int), new(big.Int), true
		within := func(n *big.Int) { fits = fits && n.IsInt64() }
		queue := []Fill(nil)
		for _, f := range fills {
			within(amount.Add(amount, big.NewInt(int64(f.Amount))))
			if !f.Sell {
				queue = append(queue, f)
				continue
			}
			gain := new(big.Int)
			for left := f.Volume; left > 0 && len(queue) > 0; {
				n := min(left, queue[0].Volume)
				part := new(big.Int).Mul(big.NewInt(int64(f.Price-queue[0].Price)), big.NewInt(n))
				within(part)
				within(gain.Add(gain, part))
				left -= n
				if queue[0].Volume -= n; queue[0].Volume == 0 {
					queue = queue[1:]
				}
			}
			if fits {
				within(profit.Add(profit, big.NewInt(int64(toMoney(gain.Int64())))))
			}
		}
		_, total, err := aggregate([]StockFills{{Account: "a", Stock: "600000.SH", Fills: fills}}, ByYear, 0, 0)
		if !fits {
			require.ErrorIs(t, err, ErrTooLarge)
			return
		}
		require.NoError(t, err)
		require.Equal(t, []int64{amount.Int64(), profit.Int64()}, []int64{int64(total.Amount), int64(total.Profit)})
	})
	for milli, want := range map[int64]events.Money{
		0: 0, 4: 0, 5: 1, 14: 1, 15: 2, -4: 0, -5: -1, -14: -1, -15: -2, math.MaxInt64: 922337203685477581, math.MinInt64: -922337203685477581,
	} {
		require.Equal(t, want, toMoney(milli), milli)
	}
	for _, c := range []struct {
		a, n int64
		fits bool
	}{{1 << 62, 1, true}, {1 << 62, 2, false}, {-1 << 62, 2, false}, {3037000500, 3037000500, false}, {-3037000499, 3037000499, true}, {1 << 40, 1 << 40, false}, {0, 1 << 62, true}} {
		_, fits := product(c.a, c.n)
		require.Equal(t, c.fits, fits, "%d × %d", c.a, c.n)
	}
}
