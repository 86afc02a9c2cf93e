package eventlog

import (
	"bytes"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// The names that the log has in NATS.
const (
	// StreamName is the stream that holds the log.
	StreamName = "TAPE"
	// Subject is the stream's only subject.
	Subject = "tape.v1"
	// HeadSubject is where the stream announces each stored frame, headers
	// only. It wakes readers up; nothing relies on it being heard.
	HeadSubject = "tapedeck.log.head"
	// ReadPrefix is what the embedded server offers to its default account in
	// place of "$JS.API": STREAM.INFO and DIRECT.GET of the log, no more.
	ReadPrefix = "tapedeck.log"

	plainPrefix = "$JS.API"
)

// The headers of a frame.
const (
	headerFirst = "Tapedeck-First"
	headerCount = "Tapedeck-Count"
	headerChain = "Tapedeck-Chain"
	// headerLogged is on frames that a Restorer put back, and says when they
	// were logged first; the server's own stamp is then the restore's time.
	headerLogged = "Tapedeck-Logged"
)

// headerReserve is what a frame's headers take of the server's max payload.
const headerReserve = 1024

// streamConfig is the stream as NewWriter creates it.
func streamConfig(replicas int) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:        StreamName,
		Description: "Tapedeck's log: hash-chained frames of events",
		Subjects:    []string{Subject},
		Storage:     jetstream.FileStorage,
		Retention:   jetstream.LimitsPolicy,
		Discard:     jetstream.DiscardNew,
		Replicas:    replicas,
		DenyDelete:  true,
		DenyPurge:   true,
		AllowDirect: true,
		RePublish:   &jetstream.RePublish{Source: Subject, Destination: HeadSubject, HeadersOnly: true},
	}
}

// checkStream refuses a stream that could drop, change or hide a frame.
func checkStream(c jetstream.StreamConfig) error {
	refuse := func(what string) error {
		return fmt.Errorf("stream %s is not fit to be the log: %s", StreamName, what)
	}
	switch {
	case len(c.Subjects) != 1 || c.Subjects[0] != Subject:
		return refuse(fmt.Sprintf("subjects %q, want only %q", c.Subjects, Subject))
	case c.Storage != jetstream.FileStorage:
		return refuse("storage is not file")
	case c.Retention != jetstream.LimitsPolicy || c.MaxMsgs > 0 || c.MaxBytes > 0 || c.MaxAge > 0 || c.MaxMsgsPerSubject > 0:
		return refuse("a limit would drop old frames")
	case !c.DenyDelete || !c.DenyPurge || c.AllowRollup:
		return refuse("deny_delete and deny_purge must be set, rollup must not")
	case !c.AllowDirect:
		return refuse("allow_direct must be set")
	case c.RePublish == nil || c.RePublish.Destination != HeadSubject || !c.RePublish.HeadersOnly:
		return refuse(fmt.Sprintf("it must republish headers to %q", HeadSubject))
	case c.Mirror != nil || len(c.Sources) > 0 || c.SubjectTransform != nil:
		return refuse("it mirrors, sources or transforms")
	case c.Sealed:
		return refuse("it is sealed")
	}
	return nil
}

// encodeHeader is the header of the frame that f describes.
func encodeHeader(f Frame) nats.Header {
	return nats.Header{
		headerFirst: {strconv.FormatUint(f.First, 10)},
		headerCount: {strconv.Itoa(f.Count)},
		headerChain: {f.Chain.String()},
	}
}

// decodeFrame reads a stored message. The frame's payload is the message's.
func decodeFrame(h nats.Header, payload []byte) (Frame, error) {
	first, err := strconv.ParseUint(h.Get(headerFirst), 10, 64)
	if err != nil {
		return Frame{}, fmt.Errorf("header %s: %w", headerFirst, err)
	}
	count, err := strconv.Atoi(h.Get(headerCount))
	if err != nil {
		return Frame{}, fmt.Errorf("header %s: %w", headerCount, err)
	}
	chain, err := ParseChain(h.Get(headerChain))
	if err != nil {
		return Frame{}, fmt.Errorf("header %s: %w", headerChain, err)
	}
	stamp := jetstream.TimeStampHeaer
	if h.Get(headerLogged) != "" {
		stamp = headerLogged
	}
	logged, err := time.Parse(time.RFC3339Nano, h.Get(stamp))
	if err != nil {
		return Frame{}, fmt.Errorf("header %s: %w", stamp, err)
	}
	return Frame{First: first, Count: count, Chain: chain, Logged: logged, Payload: payload}, nil
}

// checkPayload holds a payload against its count.
func checkPayload(payload []byte, count int) error {
	switch {
	case count < 1 || count > MaxFrameEvents:
		return fmt.Errorf("%d events, want 1 to %d", count, MaxFrameEvents)
	case len(payload) == 0 || payload[len(payload)-1] != '\n':
		return fmt.Errorf("%d bytes that do not end in a line feed", len(payload))
	}
	if lines := bytes.Count(payload, []byte{'\n'}); lines != count {
		return fmt.Errorf("%d lines, but a count of %d", lines, count)
	}
	return nil
}
