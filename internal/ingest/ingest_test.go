package ingest

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/book"
	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"),
		goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"))
}

func TestForms(t *testing.T) {
	s := start(t, t.TempDir())
	register(t, s)
	for i, c := range []struct {
		contentType string
		lone        bool
		body        func(id string) string
	}{
		{"application/json", true, func(id string) string { return marked(id, 1) }},
		{"application/json; charset=utf-8", true, func(id string) string { return "\n " + marked(id, 1) + "\n" }},
		{"application/cloudevents+json", true, func(id string) string { return marked(id, 1) }},
		{"", true, func(id string) string { return marked(id, 1) }},
		{"", true, func(id string) string { return strings.ReplaceAll(marked(id, 1), ",", ",\n  ") }},
		{"application/json", false, func(id string) string { return "[" + marked(id, 1) + "]" }},
		{"application/cloudevents-batch+json", false, func(id string) string { return "[" + marked(id, 1) + "]" }},
		{"", false, func(id string) string { return "[" + marked(id, 1) + ",\n" + marked(id+"b", 2) + "]" }},
		{"application/x-ndjson", false, func(id string) string { return marked(id, 1) + "\r\n\r\n" + marked(id+"b", 2) }},
		{"application/x-ndjson", false, func(id string) string { return marked(id, 1) }},
		{"", false, func(id string) string { return lines(marked(id, 1), marked(id+"b", 2)) }},
	} {
		id := fmt.Sprintf("form-%d", i)
		r := send(t, s, http.MethodPost, "/v1/events", c.contentType, []byte(c.body(id)))
		require.Equal(t, http.StatusOK, r.status, "case %d: %s", i, r.body)
		if c.lone {
			require.Equal(t, id, r.receipt(t).ID)
		} else {
			require.Equal(t, id, r.receipts(t)[0].ID)
		}
	}
	r := post(t, s, strings.Replace(marked("", 3), `"id":"",`, "", 1))
	require.Len(t, r.receipt(t).ID, 36, "an absent id becomes a UUID")
}

func TestDuplicates(t *testing.T) {
	dir := t.TempDir()
	check := func(s *Service) {
		r := post(t, s, lines(opened("a", "600000.SH"), saved("p"), opened("a", "600000.SH")))
		for i, receipt := range r.receipts(t) {
			require.Equal(t, events.Receipt{ID: [3]string{"a", "p", "a"}[i], Sequence: [3]uint64{3, 4, 3}[i], Duplicate: true}, receipt)
		}
		require.True(t, post(t, s, created("account", account)).receipt(t).Duplicate, "a known id comes before the rules")
		r = post(t, s, opened("a", "600001.SH"))
		require.Equal(t, http.StatusUnprocessableEntity, r.status)
		require.Equal(t, "id", r.problem.Errors[0].Field)
	}
	s := start(t, dir)
	register(t, s)
	r := post(t, s, lines(opened("a", "600000.SH"), opened("a", "600000.SH"), saved("p")))
	got := r.receipts(t)
	require.Equal(t, []uint64{3, 3, 4}, []uint64{got[0].Sequence, got[1].Sequence, got[2].Sequence})
	require.Equal(t, []bool{false, true, false}, []bool{got[0].Duplicate, got[1].Duplicate, got[2].Duplicate})
	check(s)
	require.NoError(t, s.Stop())

	s = start(t, dir) // from the snapshot
	check(s)
	require.NoError(t, s.Stop())

	require.NoError(t, os.Remove(s.committer.state.path))
	s = start(t, dir) // from the log alone
	check(s)
	require.Equal(t, []string{"account", "strategy", "a", "p"}, ids(recorded(t, s)))
}

// TestDuplicatesAtOnce sends the same events from many clients at the same
// time: one of them wins, all get the same sequence.
func TestDuplicatesAtOnce(t *testing.T) {
	s := start(t, t.TempDir())
	register(t, s)
	const clients, each = 16, 50
	var all [clients][]events.Receipt
	var wg sync.WaitGroup
	for c := range clients {
		wg.Go(func() {
			for i := range each {
				r := post(t, s, "["+marked(fmt.Sprintf("m-%d", i), 1+i)+"]")
				all[c] = append(all[c], r.receipts(t)...)
			}
		})
	}
	wg.Wait()
	for i := range each {
		firsts := 0
		for c := range clients {
			require.Equal(t, all[0][i].Sequence, all[c][i].Sequence)
			if !all[c][i].Duplicate {
				firsts++
			}
		}
		require.Equal(t, 1, firsts)
	}
	require.Len(t, recorded(t, s), 2+each)
}

func TestNotApplied(t *testing.T) {
	s := start(t, t.TempDir())
	register(t, s)
	require.Equal(t, uint64(3), post(t, s, incremented("i1", "2025-01-03")).receipt(t).Sequence)
	before := logOf(t, s)
	for _, date := range []string{"2025-01-03", "2025-01-02"} {
		r := post(t, s, incremented("again-"+date, date)).receipt(t)
		require.False(t, r.WasApplied())
		require.NotEmpty(t, r.Reason)
		require.Zero(t, r.Sequence)
	}
	require.Equal(t, before, logOf(t, s))
}

func TestPartlyRejected(t *testing.T) {
	s := start(t, t.TempDir())
	register(t, s)
	r := post(t, s, lines(opened("a", "600000.SH"), "{}", created("b", account), opened("c", "600001.SH"), opened("a", "600000.SH")))
	require.Equal(t, http.StatusUnprocessableEntity, r.status)
	require.Len(t, r.problem.Errors, 2)
	require.Equal(t, []int{1, 2}, []int{r.problem.Errors[0].Index, r.problem.Errors[1].Index})
	require.Len(t, r.problem.Results, 5)
	require.Equal(t, uint64(3), r.problem.Results[0].Sequence)
	require.NotNil(t, r.problem.Results[1].Error)
	require.Nil(t, r.problem.Results[1].Receipt)
	require.Equal(t, uint64(4), r.problem.Results[3].Sequence)
	require.True(t, r.problem.Results[4].Duplicate)
	require.Equal(t, []string{"account", "strategy", "a", "c"}, ids(recorded(t, s)))
}

func TestAtomic(t *testing.T) {
	s := start(t, t.TempDir())
	register(t, s)
	atomic := func(all ...string) reply {
		return send(t, s, http.MethodPost, "/v1/events?atomic=true", "", []byte(lines(all...)))
	}
	before := logOf(t, s)
	for name, bad := range map[string]string{
		"invalid by itself":   "{}",
		"against the state":   created("x", account),
		"against the request": created("x", "7654321"),
		"known id":            newStrategy("account", "other"),
		"id within the batch": created("n2", "7654322"),
	} {
		r := atomic(created("n1", "7654321"), opened("n2", "600000.SH"), saved("n3"), bad)
		require.Equal(t, http.StatusUnprocessableEntity, r.status, name)
		require.Equal(t, 3, r.problem.Errors[0].Index, name)
		require.Empty(t, r.problem.Results, name)
		require.Equal(t, before, logOf(t, s), name)
	}
	r := atomic(created("n1", "7654321"), opened("n2", "600000.SH"), saved("n3"), opened("n2", "600000.SH"), opened("n4", "600001.SH"))
	var got []string
	for _, receipt := range r.receipts(t) {
		got = append(got, fmt.Sprintf("%s %d %t", receipt.ID, receipt.Sequence, receipt.Duplicate))
	}
	require.Equal(t, []string{"n1 3 false", "n2 4 false", "n3 5 false", "n2 4 true", "n4 6 false"}, got)
	all := recorded(t, s)
	require.Equal(t, int64(1), all[4].Data.(*events.ParamSaved).Version, "the refused tries left no version")

	r = atomic(created("n1", "7654321"), opened("n2", "600000.SH"), saved("n3"))
	for _, receipt := range r.receipts(t) {
		require.True(t, receipt.Duplicate, "a retry adds nothing")
	}
	many := make([]string, eventlog.MaxFrameEvents+1)
	for i := range many {
		many[i] = marked(fmt.Sprintf("many-%d", i), 1+i)
	}
	require.Equal(t, http.StatusRequestEntityTooLarge, atomic(many...).status)
	require.Equal(t, http.StatusOK, atomic(many[1:]...).status)
	require.Len(t, recorded(t, s), 6+eventlog.MaxFrameEvents)
}

func TestSessionPolicy(t *testing.T) {
	s := start(t, t.TempDir())
	register(t, s)
	night := func(policy, id string) reply {
		return send(t, s, http.MethodPost, "/v1/events?session_policy="+policy, "", []byte(trade(id, "2025-01-02T20:00:00+08:00")))
	}
	require.Equal(t, http.StatusUnprocessableEntity, night("enforce", "t1").status)
	require.NotEmpty(t, night("flag", "t1").receipt(t).Flags)
	require.Empty(t, night("off", "t2").receipt(t).Flags)
}

func TestNATSDoorEqualsHTTPDoor(t *testing.T) {
	overHTTP, overNATS := start(t, t.TempDir()), start(t, t.TempDir())
	conn, err := nats.Connect(overNATS.NATSURL())
	require.NoError(t, err)
	defer conn.Close()
	for i, c := range []struct{ contentType, atomic, body string }{
		{"", "", lines(created("account", account), newStrategy("strategy", strategy))},
		{"application/json", "", opened("a", "600000.SH")},
		{"", "", "[" + opened("a", "600000.SH") + "," + saved("p") + "]"},
		{"", "true", lines(opened("b", "600001.SH"), "{}")},
		{"", "maybe", opened("c", "600001.SH")},
		{"text/plain", "", "x"},
		{"", "", "x"},
		{"", "", ""},
		{"", "", lines(opened("d", "600002.SH"), created("e", account))},
		{"", "", `{"id":"` + strings.Repeat("x", 10<<20) + `"}`},
	} {
		want := send(t, overHTTP, http.MethodPost, "/v1/events?atomic="+c.atomic, c.contentType, []byte(c.body))
		message := nats.NewMsg(Subject)
		message.Data = []byte(c.body)
		if c.contentType != "" {
			message.Header.Set("Content-Type", c.contentType)
		}
		message.Header.Set(AtomicHeader, c.atomic)
		got, err := conn.RequestMsg(message, 10*time.Second)
		require.NoError(t, err)
		require.Equal(t, string(want.body), string(got.Data), "case %d", i)
		require.Equal(t, want.header.Get("Content-Type"), got.Header.Get("Content-Type"))
	}
	require.Equal(t, logOf(t, overHTTP), logOf(t, overNATS))
}

// TestBusy fills the queue while the log stands still.
func TestBusy(t *testing.T) {
	s := start(t, t.TempDir(), func(c *Config) { c.MaxQueue = 10 })
	register(t, s)
	s.committer.waiting.Add(8) // as if eight events waited for the disk
	r := post(t, s, lines(marked("a", 1), marked("b", 2), marked("c", 3)))
	require.Equal(t, http.StatusTooManyRequests, r.status)
	require.NotEmpty(t, r.header.Get("Retry-After"))
	require.Equal(t, http.StatusOK, post(t, s, lines(marked("a", 1), marked("b", 2))).status)
	s.committer.waiting.Add(-8)
	require.False(t, post(t, s, marked("c", 3)).receipt(t).Duplicate, "what was turned away left no trace")

	s.desk.bytes.Add(deskBytes)
	require.Equal(t, http.StatusTooManyRequests, post(t, s, marked("d", 4)).status)
	s.desk.bytes.Add(-deskBytes)
	require.Equal(t, http.StatusOK, post(t, s, marked("d", 4)).status)
}

// TestLogFailure cuts the connection to the log under load. Whoever got an
// answer finds its event on the log once; the others may try again.
func TestLogFailure(t *testing.T) {
	s := start(t, t.TempDir())
	register(t, s)
	const clients, each, failures = 4, 150, 3
	stored := make([]map[string]uint64, clients)
	var wg sync.WaitGroup
	for c := range clients {
		stored[c] = make(map[string]uint64)
		wg.Go(func() {
			for i := range each {
				id := fmt.Sprintf("c%d-%d", c, i)
				for {
					r := post(t, s, marked(id, 1+i))
					if r.status == http.StatusServiceUnavailable {
						continue
					}
					stored[c][id] = r.receipt(t).Sequence
					break
				}
			}
		})
	}
	for n := range failures {
		writer := s.committer.writing.Load()
		target := uint64((n + 1) * clients * each / (failures + 2))
		require.Eventually(t, func() bool { return writer.Info().Last > target }, 20*time.Second, time.Millisecond)
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = writer.Close(ctx) // does not wait for the frames in flight
		require.Eventually(t, func() bool { return s.committer.writing.Load() != writer }, 20*time.Second, time.Millisecond)
	}
	wg.Wait()
	at := make(map[string]uint64)
	for _, e := range recorded(t, s) {
		require.NotContains(t, at, e.ID, "once only")
		at[e.ID] = e.Sequence
	}
	require.Len(t, at, 2+clients*each)
	for c := range clients {
		for id, sequence := range stored[c] {
			require.Equal(t, at[id], sequence)
		}
	}
}

// TestPanicInCommitter: one request must not end ingest.
func TestPanicInCommitter(t *testing.T) {
	s := start(t, t.TempDir())
	register(t, s)
	poison := &request{done: make(chan struct{}), items: []item{{event: &events.Event{}}}} // without data
	require.NoError(t, s.committer.submit(poison))
	<-poison.done
	require.ErrorIs(t, poison.err, errUnknown)
	require.Eventually(t, func() bool { return send(t, s, http.MethodGet, "/readyz", "", nil).status == http.StatusOK }, 10*time.Second, time.Millisecond)
	require.Equal(t, uint64(3), post(t, s, marked("a", 1)).receipt(t).Sequence)
}

func TestGracefulStopLosesNothing(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir)
	register(t, s)
	const clients = 8
	answered := make([][]string, clients)
	begun := make(chan struct{}, clients)
	var wg sync.WaitGroup
	for c := range clients {
		wg.Go(func() {
			client := &http.Client{Transport: &http.Transport{}}
			defer client.CloseIdleConnections()
			for i := 0; ; i++ {
				id := fmt.Sprintf("c%d-%d", c, i)
				response, err := client.Post("http://"+s.HTTPAddress()+"/v1/events", "application/json", strings.NewReader(marked(id, 1+i)))
				if err != nil {
					return // the door is closed
				}
				response.Body.Close()
				if response.StatusCode == http.StatusOK {
					answered[c] = append(answered[c], id)
				}
				if i == 10 {
					begun <- struct{}{}
				}
			}
		})
	}
	for range clients {
		<-begun
	}
	require.NoError(t, s.Stop())
	wg.Wait()
	s = start(t, dir)
	require.Equal(t, s.committer.marked, s.committer.next-1, "the snapshot holds all: nothing to read again")
	on := make(map[string]bool)
	for _, e := range recorded(t, s) {
		on[e.ID] = true
	}
	for c := range clients {
		for _, id := range answered[c] {
			require.True(t, on[id], "%s was acknowledged", id)
		}
	}
}

func TestSnapshotsWhileRunning(t *testing.T) {
	dir := t.TempDir()
	small := func(c *Config) { c.SnapshotEvents = 100 }
	s := start(t, dir, small)
	register(t, s)
	for n := range 10 {
		all := make([]string, 100)
		for i := range all {
			all[i] = marked(fmt.Sprintf("m-%d-%d", n, i), 1+i)
		}
		require.Equal(t, http.StatusOK, post(t, s, lines(all...)).status)
	}
	var snapshot *book.Snapshot
	require.Eventually(t, func() bool {
		var err error
		snapshot, err = book.ReadFile(s.committer.state.path)
		return err == nil && snapshot.Sequence >= 500
	}, 10*time.Second, 10*time.Millisecond)
	l, err := s.openLog(context.Background())
	require.NoError(t, err)
	defer l.Close()
	reader, err := l.Read(context.Background(), eventlog.Checkpoint{Sequence: snapshot.Sequence, Chain: snapshot.Chain}, eventlog.ReadOptions{})
	require.NoError(t, err, "the log holds what the snapshot was taken at")
	require.NoError(t, reader.Close())
}

func TestDamagedSnapshot(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir)
	register(t, s)
	require.NoError(t, s.Stop())
	path := s.committer.state.path
	good, err := os.ReadFile(path)
	require.NoError(t, err)
	for name, bad := range map[string][]byte{
		"empty":     {},
		"cut short": good[:len(good)-1],
		"one bit":   append(append([]byte{}, good[:60]...), append([]byte{good[60] ^ 1}, good[61:]...)...),
		"another":   []byte("not a snapshot"),
	} {
		require.NoError(t, os.WriteFile(path, bad, 0o600))
		s := start(t, dir)
		require.Zero(t, s.committer.marked, name)
		require.True(t, post(t, s, created("account", account)).receipt(t).Duplicate, name)
		require.Equal(t, http.StatusUnprocessableEntity, post(t, s, created("other", account)).status, name)
		require.NoError(t, s.Stop())
	}
}

// TestSnapshotBeyondTheLog: the log lost what the snapshot and the anchor saw.
func TestSnapshotBeyondTheLog(t *testing.T) {
	dir, empty := t.TempDir(), t.TempDir()
	s := start(t, dir)
	register(t, s)
	require.NoError(t, s.Stop())
	other := start(t, empty)
	post(t, other, created("another", "7654321"))
	require.NoError(t, other.Stop())

	// The snapshot beside a shorter log, then beside another of the same length.
	snapshot, err := os.ReadFile(s.committer.state.path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(other.committer.state.path, snapshot, 0o600))
	refusing := start(t, empty)
	var corrupt *eventlog.CorruptError
	require.ErrorAs(t, refusing.Damage(), &corrupt)
	require.Equal(t, uint64(2), corrupt.Sequence)
	require.ErrorContains(t, refusing.Damage(), other.committer.state.path)
	require.Equal(t, http.StatusServiceUnavailable, post(t, refusing, created("late", "7654329")).status)
	require.NoError(t, refusing.Stop())

	require.NoError(t, os.Remove(other.committer.state.path))
	other = start(t, empty)
	post(t, other, created("more", "7654322"))
	require.NoError(t, other.Stop())
	require.NoError(t, os.WriteFile(other.committer.state.path, snapshot, 0o600))
	refusing = start(t, empty)
	require.ErrorAs(t, refusing.Damage(), &corrupt)
	require.NoError(t, refusing.Stop())

	require.NoError(t, os.Remove(other.committer.state.path))
	other = start(t, empty)
	require.Equal(t, []string{"another", "more"}, ids(recorded(t, other)), "nothing was touched")
}

func TestFolderAndAddressInUse(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir)
	_, err := tryStart(t, dir)
	require.ErrorContains(t, err, "in use")
	_, err = tryStart(t, t.TempDir(), func(c *Config) { c.Listen = s.HTTPAddress() })
	require.ErrorContains(t, err, "--listen")
	_, err = tryStart(t, t.TempDir(), func(c *Config) { c.NATSURL = "nats://127.0.0.1:1" })
	require.ErrorIs(t, err, eventlog.ErrUnreachable)
}

// TestSlowClient: one that never finishes its headers is let go, others are
// served meanwhile.
func TestSlowClient(t *testing.T) {
	t.Parallel()
	s := start(t, t.TempDir())
	conn, err := net.Dial("tcp", s.HTTPAddress())
	require.NoError(t, err)
	defer conn.Close()
	_, err = conn.Write([]byte("POST /v1/events HTTP/1.1\r\nHost: x\r\n"))
	require.NoError(t, err)
	register(t, s)
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(3*s.http.ReadHeaderTimeout)))
	_, err = conn.Read(make([]byte, 1))
	require.Error(t, err)
	require.False(t, os.IsTimeout(err), "the server hangs up")
}

func TestMetrics(t *testing.T) {
	s := start(t, t.TempDir())
	register(t, s)
	post(t, s, created("account", account))
	post(t, s, created("other", account))
	text := string(send(t, s, http.MethodGet, "/metrics", "", nil).body)
	for _, line := range []string{
		`tapedeck_ingest_events_appended_total{type="account.created.v1"} 1`,
		`tapedeck_ingest_events_duplicate_total 1`,
		`tapedeck_ingest_events_rejected_total{reason="state"} 1`,
		`tapedeck_ingest_requests_total{door="http",status="422"} 1`,
		`tapedeck_ingest_last_sequence 2`,
		`tapedeck_ingest_queue_events 0`,
		`tapedeck_ingest_commit_seconds_count 1`,
		`tapedeck_ingest_ready 1`,
	} {
		require.Contains(t, text, line+"\n")
	}
}

// TestReceiptEncoding holds the hot path's encoder against events.Receipt.
func TestReceiptEncoding(t *testing.T) {
	for _, it := range []item{
		{sequence: 1},
		{sequence: 1 << 60, duplicate: true, flag: `a "flag"`},
		{skipped: "held days\nwere"},
	} {
		it.event = &events.Event{ID: "浦发 \"1\"\t"}
		var got events.Receipt
		require.NoError(t, json.Unmarshal(appendReceipt(nil, &it), &got))
		require.Equal(t, *it.receipt(), got)
	}
}

func TestKnownForgetsTheOldest(t *testing.T) {
	k := newKnown(3)
	id := func(n uint64) idHash { return hashID(fmt.Sprint(n)) }
	for n := uint64(5); n <= 12; n++ {
		k.add(n, mark{id: id(n), content: n * n})
		again, err := decodeKnown(k.encode(), n, 3)
		require.NoError(t, err)
		for _, k := range []*known{k, again} {
			for m := uint64(5); m <= n; m++ {
				sequence, content, ok := k.find(id(m))
				require.Equal(t, m+3 > n, ok)
				if ok {
					require.Equal(t, m, sequence)
					require.Equal(t, m*m, content)
				}
			}
		}
	}
	require.Len(t, k.at, 3)
}
