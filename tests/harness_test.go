// Package tests drives the real binaries from outside, on real servers.
package tests

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// binaries is the folder that TestMain builds the commands into.
var binaries string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		// make has built them already.
		if binaries = os.Getenv("TAPEDECK_BIN"); binaries != "" {
			return m.Run()
		}
		dir, err := os.MkdirTemp("", "tapedeck-bin-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		build := exec.Command("go", "build", "-o", dir+string(filepath.Separator), "../cmd/...")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build the commands: %v\n%s", err, out)
			return 1
		}
		binaries = dir
		return m.Run()
	}())
}

// process is a running command of ours.
type process struct {
	name  string
	cmd   *exec.Cmd
	ready map[string]any // the "ready" log line, or ingest's "read-only" one
	done  chan struct{}  // closed when it has ended
	err   error          // of Wait, once done is closed

	mu  sync.Mutex
	log bytes.Buffer
}

// start starts a command and waits for its "ready" log line.
func start(t testing.TB, name string, env []string, args ...string) *process {
	t.Helper()
	p, err := launch(t, name, env, args...)
	require.NoError(t, err)
	return p
}

// launch is start for tests that expect the command to fail.
func launch(t testing.TB, name string, env []string, args ...string) (*process, error) {
	t.Helper()
	p := &process{name: name, done: make(chan struct{})}
	p.cmd = exec.Command(filepath.Join(binaries, name), append(args, "--log-format", "json")...)
	p.cmd.Env = append(os.Environ(), env...)
	stderr, err := p.cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	ready := make(chan map[string]any, 1)
	go func() {
		lines := bufio.NewScanner(stderr)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			p.mu.Lock()
			p.log.Write(append(lines.Bytes(), '\n'))
			p.mu.Unlock()
			var line map[string]any
			if json.Unmarshal(lines.Bytes(), &line) == nil && (line["msg"] == "ready" || line["level"] == "ERROR" && line["http"] != nil) {
				select {
				case ready <- line:
				default:
				}
			}
		}
		_, _ = io.Copy(io.Discard, stderr)
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("log of %s:\n%s", name, p.logText())
		}
	})
	select {
	case p.ready = <-ready:
		return p, nil
	case <-p.done:
		return p, fmt.Errorf("%s ended before it was ready: %w\n%s", name, p.err, p.logText())
	case <-time.After(60 * time.Second):
		return p, fmt.Errorf("%s was not ready within a minute\n%s", name, p.logText())
	}
}

func (p *process) logText() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// kill is kill -9.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended by itself
	<-p.done
}

// stop asks the command to end and returns its exit code.
func (p *process) stop(t testing.TB) int {
	t.Helper()
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
	return p.wait(t)
}

// wait waits for the command's end and returns its exit code.
func (p *process) wait(t testing.TB) int {
	t.Helper()
	select {
	case <-p.done:
	case <-time.After(60 * time.Second):
		t.Fatalf("%s did not end within a minute\n%s", p.name, p.logText())
	}
	return p.cmd.ProcessState.ExitCode()
}

// ingest is a running ingest with its addresses.
type ingest struct {
	*process
	url, nats string
}

func startIngest(t testing.TB, dir string, args ...string) *ingest {
	t.Helper()
	p := start(t, "ingest", nil, append([]string{"--data", dir, "--listen", "127.0.0.1:0", "--nats-listen", "127.0.0.1:0"}, args...)...)
	return &ingest{p, "http://" + p.ready["http"].(string), "nats://" + p.ready["nats"].(string)}
}

// logInfo is what GET /v1/log answers.
type logInfo struct {
	First uint64 `json:"first_sequence"`
	Last  uint64 `json:"last_sequence"`
	Bytes uint64 `json:"bytes"`
	Chain string `json:"chain"`
}

func (i *ingest) log(t testing.TB) logInfo {
	t.Helper()
	var info logInfo
	answer, err := http.Get(i.url + "/v1/log")
	require.NoError(t, err)
	defer answer.Body.Close()
	require.NoError(t, json.NewDecoder(answer.Body).Decode(&info))
	return info
}

// post sends a body to the HTTP door and returns status and answer.
func (i *ingest) post(t testing.TB, contentType string, body []byte) (int, []byte) {
	t.Helper()
	status, text, err := i.send(contentType, body)
	require.NoError(t, err)
	return status, text
}

// send is post for goroutines other than the test's.
func (i *ingest) send(contentType string, body []byte) (int, []byte, error) {
	answer, err := http.Post(i.url+"/v1/events", contentType, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	return answer.StatusCode, text, err
}

// run runs a command to its end.
func run(t testing.TB, env []string, name string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(binaries, name), args...)
	cmd.Env = append(os.Environ(), env...)
	var out, errOut strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s %v: %v", name, args, err)
	}
	return out.String(), errOut.String(), cmd.ProcessState.ExitCode()
}

// mustRun is run for commands that must succeed.
func mustRun(t testing.TB, env []string, name string, args ...string) string {
	t.Helper()
	stdout, stderr, code := run(t, env, name, args...)
	require.Zero(t, code, "%s %v\n%s%s", name, args, stdout, stderr)
	return stdout
}

// projected waits until a projector's tier holds the log up to a sequence.
func projected(t testing.TB, env []string, tier string, sequence uint64) {
	t.Helper()
	require.Eventually(t, func() bool {
		stdout, _, _ := run(t, env, "replay", "status", "--json")
		var status struct {
			Tiers []struct {
				Tier       string `json:"tier"`
				Checkpoint uint64 `json:"checkpoint"`
			} `json:"tiers"`
		}
		if json.Unmarshal([]byte(stdout), &status) != nil {
			return false
		}
		for _, s := range status.Tiers {
			if s.Tier == tier {
				return s.Checkpoint >= sequence
			}
		}
		return false
	}, time.Minute, 100*time.Millisecond, "tier %s never reached sequence %d", tier, sequence)
}
