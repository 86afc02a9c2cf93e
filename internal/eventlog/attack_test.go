package eventlog_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
)

// Whatever a client of the default account tries, the log stays as it is, and
// the writer and readers go on.
func TestNobodyElseCanWrite(t *testing.T) {
	n := startNode(t)
	w := n.writer(t)
	want := appendFrames(t, w, 2, 3, 4)
	l := n.open(t)
	nc, err := nats.Connect(n.server.ClientURL())
	require.NoError(t, err)
	defer nc.Close()

	request := func(subject, reply string, header nats.Header, body any) {
		text, ok := body.([]byte)
		if !ok {
			text, err = json.Marshal(body)
			require.NoError(t, err)
		}
		require.NoError(t, nc.PublishMsg(&nats.Msg{Subject: subject, Reply: reply, Header: header, Data: text}))
	}
	get := map[string]any{"seq": 1, "batch": 3}
	stream := map[string]any{"name": eventlog.StreamName, "subjects": []string{"other"}, "storage": "file"}
	push := map[string]any{"stream_name": eventlog.StreamName, "config": map[string]any{
		"durable_name": "push", "deliver_subject": eventlog.Subject, "ack_policy": "none", "deliver_policy": "all"}}
	erase := map[string]any{"stream_name": eventlog.StreamName, "config": map[string]any{
		"durable_name": "erase", "deliver_subject": "$JS.API.STREAM.DELETE.TAPE", "ack_policy": "none", "headers_only": true}}
	attacks := map[string]func(api string){
		"publish":           func(string) { request(eventlog.Subject, "", nil, []byte("{}\n")) },
		"publish to a part": func(string) { request(eventlog.Subject+".0", "", nil, []byte("{}\n")) },
		"reply to a get":    func(api string) { request(api+".DIRECT.GET.TAPE", eventlog.Subject, nil, get) },
		"reply to an info":  func(api string) { request(api+".STREAM.INFO.TAPE", eventlog.Subject, nil, []byte{}) },
		"trace a get": func(api string) {
			request(api+".DIRECT.GET.TAPE", "x", nats.Header{"Nats-Trace-Dest": {eventlog.Subject}}, get)
		},
		"update the stream":  func(api string) { request(api+".STREAM.UPDATE.TAPE", "x", nil, stream) },
		"delete the stream":  func(api string) { request(api+".STREAM.DELETE.TAPE", "x", nil, []byte{}) },
		"purge the stream":   func(api string) { request(api+".STREAM.PURGE.TAPE", "x", nil, []byte{}) },
		"delete a message":   func(api string) { request(api+".STREAM.MSG.DELETE.TAPE", "x", nil, map[string]any{"seq": 1}) },
		"restore the stream": func(api string) { request(api+".STREAM.RESTORE.TAPE", "x", nil, map[string]any{"config": stream}) },
		"snapshot": func(api string) {
			request(api+".STREAM.SNAPSHOT.TAPE", "x", nil, map[string]any{"deliver_subject": eventlog.Subject})
		},
		"a republishing stream": func(api string) {
			request(api+".STREAM.CREATE.EVIL", "x", nil, map[string]any{"name": "EVIL", "subjects": []string{"evil"}, "storage": "memory",
				"republish": map[string]any{"src": "evil", "dest": eventlog.Subject}})
			request("evil", "", nil, []byte("{}\n"))
		},
		"a stream that sources": func(api string) {
			request(api+".STREAM.CREATE.COPY", "x", nil, map[string]any{"name": "COPY", "storage": "memory",
				"sources": []any{map[string]any{"name": "TAPE", "subject_transforms": []any{map[string]any{"src": ">", "dest": eventlog.Subject}}}}})
		},
		"a push consumer":        func(api string) { request(api+".CONSUMER.CREATE.TAPE.push", "x", nil, push) },
		"a durable consumer":     func(api string) { request(api+".CONSUMER.DURABLE.CREATE.TAPE.push", "x", nil, push) },
		"a consumer that erases": func(api string) { request(api+".CONSUMER.CREATE.TAPE.erase", "x", nil, erase) },
		"false announcements": func(string) {
			request(eventlog.HeadSubject, "", nats.Header{jetstream.SequenceHeader: {"4"}}, []byte("{}\n"))
		},
	}
	for name, attack := range attacks {
		t.Run(name, func(t *testing.T) {
			for _, api := range []string{"$JS.API", eventlog.ReadPrefix, "LOG.$JS.API"} {
				attack(api)
			}
			require.NoError(t, nc.FlushTimeout(5*time.Second))
			// The writer's next frame passes through the same stream: when it is
			// stored right behind the last, nothing came between.
			want = append(want, appendFrames(t, w, 1)...)
			got, err := readAll(t, l, eventlog.Checkpoint{})
			require.NoError(t, err)
			require.Equal(t, want, got)
		})
	}

	writer, err := n.server.WriterConn()
	require.NoError(t, err)
	defer writer.Close()
	js, err := jetstream.New(writer)
	require.NoError(t, err)
	for names := js.StreamNames(background(t)); ; {
		name, open := <-names.Name()
		if !open {
			require.NoError(t, names.Err())
			break
		}
		require.Equal(t, eventlog.StreamName, name)
	}
	s, err := js.Stream(background(t), eventlog.StreamName)
	require.NoError(t, err)
	require.Zero(t, s.CachedInfo().State.Consumers)
	require.Error(t, s.DeleteMsg(background(t), 1), "not even the appender deletes")
	require.Error(t, s.Purge(background(t)), "not even the appender purges")
}

// Nobody may answer in the place of the log or of ingest.
func TestNobodyElseCanAnswer(t *testing.T) {
	n := startNode(t)
	appendFrames(t, n.writer(t), 1)
	wrong := make(chan string, 64)
	evil, err := nats.Connect(n.server.ClientURL(), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	require.NoError(t, err)
	defer evil.Close()
	for _, subject := range []string{">", "ingest.v1.events", "ingest.>", eventlog.ReadPrefix + ".>", eventlog.ReadPrefix + ".STREAM.INFO.TAPE"} {
		_, err := evil.Subscribe(subject, func(m *nats.Msg) {
			wrong <- m.Subject
			_ = m.Respond([]byte("forged"))
		})
		require.NoError(t, err)
	}
	require.NoError(t, evil.Flush())

	ingest, err := n.server.ClientConn()
	require.NoError(t, err)
	defer ingest.Close()
	_, err = ingest.Subscribe("ingest.v1.events", func(m *nats.Msg) { _ = m.Respond([]byte("true")) })
	require.NoError(t, err)
	require.NoError(t, ingest.Flush())
	strategy, err := nats.Connect(n.server.ClientURL())
	require.NoError(t, err)
	defer strategy.Close()
	for range 20 {
		answer, err := strategy.Request("ingest.v1.events", []byte("{}"), 5*time.Second)
		require.NoError(t, err)
		require.Equal(t, "true", string(answer.Data))
	}
	_, err = readAll(t, n.open(t), eventlog.Checkpoint{})
	require.NoError(t, err)
	require.NoError(t, evil.Flush())
	for len(wrong) > 0 {
		subject := <-wrong
		require.NotContains(t, subject, "ingest.v1", "seen by a stranger")
		require.NotContains(t, subject, ".DIRECT.", "seen by a stranger")
		require.NotContains(t, subject, ".STREAM.", "seen by a stranger")
	}
}
