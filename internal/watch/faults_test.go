package watch

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/silverquant"
)

// TestPartsKeepAStocksMovesTogether: no part is too large, and what is about
// all stocks comes first.
func TestPartsKeepAStocksMovesTogether(t *testing.T) {
	var moves []*events.Event
	add := func(data events.Data) { moves = append(moves, &events.Event{Data: data}) }
	add(&events.PositionDaysIncremented{AccountID: account, Date: 20250102})
	for range 3 {
		for i := range 600 {
			add(&events.PositionOpened{AccountID: account, StockCode: fmt.Sprintf("6%05d.SH", i)})
		}
	}
	require.Equal(t, [][]*events.Event{moves[:100]}, parts(moves[:100], 1000), "few are as they came")
	at, total := make(map[string]int), 0
	for i, part := range parts(moves, 1000) {
		require.LessOrEqual(t, len(part), 1000)
		total += len(part)
		for _, e := range part {
			if before, seen := at[stockOf(e.Data)]; seen {
				require.Equal(t, before, i)
			}
			at[stockOf(e.Data)] = i
		}
	}
	require.Equal(t, len(moves), total)
	require.Zero(t, at[""])
}

// TestPriceOfNothingIsADrift: a suspended stock's price may be 0.
func TestPriceOfNothingIsADrift(t *testing.T) {
	w := newWaiting(t)
	require.NoError(t, os.WriteFile(w.path(silverquant.MaxPriceFile), []byte(`{"600000.SH": 0, "600001.SH": -1.5, "600002.SH": 9.9}`), 0o600))
	v, err := w.look(time.Now())
	require.NoError(t, err)
	b := newBook()
	b.Apply(&events.Event{Time: anyTime, Data: &events.PositionPriceMarked{AccountID: account, StockCode: "600000.SH", MaxPrice: new(events.Price(5000))}})
	p := planOf(t, b, v)
	require.Len(t, p.moves, 1)
	require.Len(t, p.drifts, 2)
	require.Equal(t, "600000.SH", p.drifts[0].Key)
	require.Equal(t, events.Price(5000), stateOf(b).stocks["600000.SH"].MaxPrice, "the log's word stays")
}

// TestDateOfTheFutureWaitsForItsDay: the strategy's clock may jump.
func TestDateOfTheFutureWaitsForItsDay(t *testing.T) {
	w := newWaiting(t)
	require.NoError(t, os.WriteFile(w.path(silverquant.PositionsFile), []byte(`{"_inc_date": "2025-06-05"}`), 0o600))
	// 23:59 in UTC is the next day in China.
	for at, moves := range map[time.Time]int{
		time.Date(2025, 6, 3, 15, 59, 0, 0, time.UTC): 0,
		time.Date(2025, 6, 3, 16, 1, 0, 0, time.UTC):  1,
	} {
		v, err := w.look(at)
		require.NoError(t, err)
		p := planOf(t, newBook(), v)
		require.Len(t, p.moves, moves)
		require.Len(t, p.drifts, 1-moves)
	}
}

// TestWhatIsNotRead: neither pipes and folders nor endless files.
func TestWhatIsNotRead(t *testing.T) {
	w := newWaiting(t)
	require.NoError(t, os.Mkdir(w.path(silverquant.PositionsFile), 0o700))
	require.NoError(t, os.WriteFile(w.path(silverquant.MaxPriceFile), nil, 0o600))
	require.NoError(t, os.Truncate(w.path(silverquant.MaxPriceFile), maxJSON+1))
	v, err := w.look(time.Now())
	require.NoError(t, err)
	require.Len(t, v.drifts, 2)
	require.Contains(t, v.drifts[0].Reason, "must be a regular file")
	require.Contains(t, v.drifts[1].Reason, "must not have more than")
}

func TestFilesWithoutATime(t *testing.T) {
	w := newWaiting(t)
	w.write(silverquant.PositionsFile)
	require.NoError(t, os.Chtimes(w.path(silverquant.PositionsFile), time.Unix(0, 0), time.Unix(0, 0)))
	now := time.Now()
	v, err := w.look(now)
	require.NoError(t, err)
	require.Equal(t, now, v.changed)
}

func TestFolderWithTwoNamesHasOneAccount(t *testing.T) {
	dir := t.TempDir()
	real, link := filepath.Join(dir, "real"), filepath.Join(dir, "link")
	require.NoError(t, os.Mkdir(real, 0o700))
	require.NoError(t, os.Symlink(real, link))
	_, err := Start(noTape{}, Options{
		Folders: []Folder{{real, "1000001"}, {link, "1000002"}}, Scan: time.Hour, Patience: time.Hour,
		State: filepath.Join(dir, "state"), Logger: slog.New(slog.DiscardHandler),
	})
	require.ErrorContains(t, err, "a folder one account")
}

// stuckTape answers nothing until it is released.
type stuckTape struct {
	noTape
	asked, release chan struct{}
	appends        *atomic.Int32
}

func (s stuckTape) Last() (uint64, bool) {
	select {
	case s.asked <- struct{}{}:
	default:
	}
	<-s.release
	return 0, true
}

func (s stuckTape) Append(context.Context, []*events.Event, bool) ([]Fate, error) {
	s.appends.Add(1)
	return nil, context.Canceled
}

// TestStuckLookIsLeftBehind: it is told, does not keep Stop, and appends nothing
// afterwards.
func TestStuckLookIsLeftBehind(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, silverquant.AssetsFile), []byte("2025-01-02,100.0\n"), 0o600))
	tape := stuckTape{asked: make(chan struct{}, 1), release: make(chan struct{}), appends: new(atomic.Int32)}
	w, err := Start(tape, Options{
		Folders: []Folder{{dir, account}}, Scan: time.Hour, Patience: 50 * time.Millisecond,
		State: filepath.Join(t.TempDir(), "state"), Logger: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	<-tape.asked
	require.Eventually(t, func() bool { return w.folders[0].current().Waiting != "the first look at the folder" }, 20*time.Second, time.Millisecond)
	require.Contains(t, w.Status()[0].Waiting, "does not answer")
	began := time.Now()
	w.Stop()
	require.Less(t, time.Since(began), stopPatience+20*time.Second)
	close(tape.release)
	w.running.Wait()
	require.Zero(t, tape.appends.Load())
}

// TestLogThatTakesNothingBecomesADrift: quietly waiting is not for ever.
func TestLogThatTakesNothingBecomesADrift(t *testing.T) {
	w := newWaiting(t)
	w.write(silverquant.PositionsFile)
	w.patience = time.Hour
	require.False(t, w.looked(t.Context()))
	require.Empty(t, w.current().Drifts)
	w.patience = 0
	require.False(t, w.looked(t.Context()))
	require.Len(t, w.current().Drifts, 1)
	require.Contains(t, w.current().Drifts[0].Reason, "nothing can be appended")
}

// TestGrownTableIsWhatTheFileIs: reading only what was appended comes to what
// reading all of it does.
func TestGrownTableIsWhatTheFileIs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const row = "2025-01-02,10:20:08,603390.SH,通达,买入成交,x,12.43,1600\r\n"
		gbk, err := silverquant.GBK.Encode([]byte(row))
		require.NoError(t, err)
		piece := rapid.SampledFrom([]string{
			silverquant.DealsHeader, row, row + row, string(gbk), "2025-01-02,10:20:08,603390.SH,\xff,买入成交,x,12.43,1600\n",
			"2025-01-02,10:20:08,603390.SH,\"a\nb\",撤单,x,12.43,1600\n", "2025-01-02,10:20:08,603390.SH,\"a\n", "b\",撤单,x,12.43,1600\n", "\n",
			"2025-01-02,10:20:08,SH603390,通达,买入成交,x,12.43,1600\n", "2025-01-02,10:20:08,603390.SH,通达,撤单,x,0,1600\n",
		})
		var raw []byte
		grown := newTable(silverquant.DealsFile, account)
		for _, text := range rapid.SliceOf(piece).Draw(t, "pieces") {
			raw = append(bytes.Clone(raw), text...)
			if !grown.grow(raw) {
				grown = newTable(silverquant.DealsFile, account)
				require.True(t, grown.grow(raw))
			}
		}
		whole := newTable(silverquant.DealsFile, account)
		require.True(t, whole.grow(raw))
		require.Equal(t, whole.deals, grown.deals)
		require.Equal(t, whole.drifts, grown.drifts)
		require.Equal(t, whole.hash.Sum(nil), grown.hash.Sum(nil))
		if len(raw) > 0 {
			require.False(t, grown.grow(raw[1:]))
		}
	})
}
