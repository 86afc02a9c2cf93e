package ingest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/calendar"
	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
)

const (
	account  = "55009728"
	strategy = "wencai_v1"
)

// start runs an ingest on a folder; change may alter its settings.
func start(t testing.TB, dir string, change ...func(*Config)) *Service {
	t.Helper()
	s, err := tryStart(t, dir, change...)
	require.NoError(t, err)
	t.Cleanup(func() {
		select {
		case <-s.committed:
		default:
			require.NoError(t, s.Stop())
		}
	})
	return s
}

func tryStart(t testing.TB, dir string, change ...func(*Config)) (*Service, error) {
	t.Helper()
	config := Config{
		Data: dir, Listen: "127.0.0.1:0", NATSListen: "127.0.0.1:0",
		Policy: calendar.PolicyEnforce, Window: calendar.DefaultWindow, MaxQueue: 100_000,
		SnapshotEvents: 1_000_000, SnapshotAge: time.Hour, StopPatience: 20 * time.Second,
		Logger: slog.New(slog.DiscardHandler),
	}
	for _, f := range change {
		f(&config)
	}
	return Start(context.Background(), config)
}

// event is one event as a publisher sends it.
func event(id, typ, data string) string {
	return fmt.Sprintf(`{"specversion":"1.0","id":%q,"source":"test","type":%q,"time":"2025-01-02T09:30:00+08:00","data":%s}`, id, typ, data)
}

func created(id, accountID string) string {
	return event(id, "account.created.v1", fmt.Sprintf(`{"account_id":%q,"account_name":"n","broker":"QMT","initial_capital":"1000.00"}`, accountID))
}

func newStrategy(id, code string) string {
	return event(id, "strategy.created.v1", fmt.Sprintf(`{"strategy_name":"name of %[1]s","strategy_code":%[1]q,"strategy_type":"wencai","version":"1.0.0"}`, code))
}

func opened(id, stock string) string {
	return event(id, "position.opened.v1", fmt.Sprintf(`{"account_id":%q,"stock_code":%q}`, account, stock))
}

func marked(id string, price int) string {
	return event(id, "position.price_marked.v1", fmt.Sprintf(`{"account_id":%q,"stock_code":"600000.SH","max_price":"%d.000"}`, account, price))
}

func incremented(id, date string) string {
	return event(id, "position.days_incremented.v1", fmt.Sprintf(`{"account_id":%q,"date":%q}`, account, date))
}

func trade(id, at string) string {
	return event(id, "trade.recorded.v1", fmt.Sprintf(
		`{"account_id":%q,"stock_code":"600000.SH","stock_name":"浦发银行","order_type":"buy_trade","price":"8.300","volume":100,"traded_at":%q}`, account, at))
}

func saved(id string) string {
	return event(id, "param.saved.v1", fmt.Sprintf(`{"strategy_code":%q,"params":{"a":1}}`, strategy))
}

// reply is what a door answered.
type reply struct {
	status  int
	header  http.Header
	body    []byte
	problem events.Problem
}

func (r reply) receipts(t testing.TB) []events.Receipt {
	t.Helper()
	var receipts []events.Receipt
	require.NoError(t, json.Unmarshal(r.body, &receipts), "%d %s", r.status, r.body)
	return receipts
}

func (r reply) receipt(t testing.TB) events.Receipt {
	t.Helper()
	var receipt events.Receipt
	require.Equal(t, http.StatusOK, r.status, "%s", r.body)
	require.NoError(t, json.Unmarshal(r.body, &receipt))
	return receipt
}

func send(t testing.TB, s *Service, method, path, contentType string, body []byte) reply {
	t.Helper()
	request, err := http.NewRequest(method, "http://"+s.HTTPAddress()+path, bytes.NewReader(body))
	require.NoError(t, err)
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	r := reply{status: response.StatusCode, header: response.Header, body: text}
	if r.header.Get("Content-Type") == events.ProblemMediaType {
		require.NoError(t, json.Unmarshal(text, &r.problem), "%s", text)
		require.Equal(t, r.status, r.problem.Status)
		require.NotEmpty(t, r.problem.Title)
		require.NotEmpty(t, r.problem.Type)
	}
	return r
}

func post(t testing.TB, s *Service, body string) reply {
	t.Helper()
	return send(t, s, http.MethodPost, "/v1/events", "", []byte(body))
}

func lines(all ...string) string {
	var b bytes.Buffer
	for _, line := range all {
		b.WriteString(line + "\n")
	}
	return b.String()
}

// register makes the account and the strategy that the tests are about.
func register(t testing.TB, s *Service) {
	t.Helper()
	r := post(t, s, lines(created("account", account), newStrategy("strategy", strategy)))
	require.Equal(t, http.StatusOK, r.status, "%s", r.body)
}

func logOf(t testing.TB, s *Service) string {
	t.Helper()
	r := send(t, s, http.MethodGet, "/v1/log", "", nil)
	require.Equal(t, http.StatusOK, r.status)
	return string(r.body)
}

// recorded reads the whole log back.
func recorded(t testing.TB, s *Service) []*events.Event {
	t.Helper()
	ctx := context.Background()
	l, err := s.openLog(ctx)
	require.NoError(t, err)
	defer l.Close()
	reader, err := l.Read(ctx, eventlog.Checkpoint{}, eventlog.ReadOptions{})
	require.NoError(t, err)
	defer reader.Close()
	var all []*events.Event
	for {
		frame, err := reader.Next(ctx)
		if errors.Is(err, io.EOF) {
			return all
		}
		require.NoError(t, err)
		for line := range bytes.Lines(frame.Payload) {
			e, err := events.DecodeStored(line)
			require.NoError(t, err)
			e.Sequence = uint64(len(all) + 1)
			all = append(all, e)
		}
	}
}

func ids(all []*events.Event) []string {
	out := make([]string, len(all))
	for i, e := range all {
		out[i] = e.ID
	}
	return out
}
