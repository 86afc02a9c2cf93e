package testserver

import (
	"bytes"
	"context"
	"encoding/xml"
	"fmt"
	"hash/fnv"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// chdbVersion is the one that deploy/install-servers.sh fetches.
const chdbVersion = "26.7.3-stable.1"

// ClickHouseOption changes how a private ClickHouse is started.
type ClickHouseOption interface{ clickHouse(*clickHouseConfig) }

type clickHouseOption func(*clickHouseConfig)

func (o clickHouseOption) clickHouse(c *clickHouseConfig) { o(c) }

type clickHouseConfig struct {
	settings

	users []clickHouseUser
	extra []string
}

type clickHouseUser struct{ name, password string }

// ClickHouseUser adds a user who may do everything, beside default, who has no
// password.
func ClickHouseUser(name, password string) ClickHouseOption {
	return clickHouseOption(func(c *clickHouseConfig) { c.users = append(c.users, clickHouseUser{name, password}) })
}

// ClickHouseArgs passes further settings to the engine, such as
// "--max_server_memory_usage=500000000".
func ClickHouseArgs(args ...string) ClickHouseOption {
	return clickHouseOption(func(c *clickHouseConfig) { c.extra = append(c.extra, args...) })
}

// ClickHouse starts a private ClickHouse server, on a native and an HTTP port.
// Its URL is of the native one, of the user default and of an empty database
// tapedeck; HTTPURL is the same over HTTP.
func ClickHouse(t T, options ...ClickHouseOption) *Server {
	t.Helper()
	var config clickHouseConfig
	for _, option := range options {
		option.clickHouse(&config)
	}
	return start(t, config.settings, engine{
		name:         "clickhouse",
		find:         findLauncher,
		ports:        2,
		prepare:      config.prepare,
		args:         config.args,
		url:          func(addr string) string { return "clickhouse://default:@" + addr + "/tapedeck" },
		ready:        clickHouseReady,
		spare:        clickHouseSpare,
		stopsByStdin: true,
	})
}

// HTTPURL is where clients find a ClickHouse server over HTTP.
func (s *Server) HTTPURL() string {
	s.t.Helper()
	if len(s.ports) < 2 {
		s.t.Fatalf("%s has no HTTP port", s.engine.name)
	}
	return "http://default:@" + address(s.ports[1]) + "/tapedeck"
}

const clickHouseInstall = "make servers"

// launcherPackage is found from every folder of this module.
const launcherPackage = "github.com/seed-744e3d1b/tapedeck/internal/testserver/chdb"

func chdbLibrary() (string, error) {
	cache, err := cacheFolder()
	if err != nil {
		return "", err
	}
	path := filepath.Join(cache, "chdb-"+chdbVersion, "libchdb.so")
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("ClickHouse (libchdb %s) is not installed; install it with: %s", chdbVersion, clickHouseInstall)
	}
	return path, nil
}

// findLauncher returns the program that runs the engine: the one beside this
// executable, else one built from source, once per version of the source.
func findLauncher() (string, error) {
	if _, err := chdbLibrary(); err != nil {
		return "", err
	}
	executable, err := os.Executable()
	if err != nil {
		return "", err
	}
	path := filepath.Join(filepath.Dir(executable), "chdb")
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	return buildLauncher()
}

var buildLauncher = sync.OnceValues(func() (string, error) {
	id, err := goTool("list", "-export", "-f", "{{.BuildID}}", launcherPackage)
	if err != nil {
		return "", err
	}
	key := fnv.New64a()
	key.Write(id)
	dir, err := cached(fmt.Sprintf("chdb-launcher-%x", key.Sum64()), func(dir string) error {
		_, err := goTool("build", "-trimpath", "-o", filepath.Join(dir, "chdb"), launcherPackage)
		return err
	})
	return filepath.Join(dir, "chdb"), err
})

// goTool runs a go command without cgo, which the launcher must not have.
func goTool(args ...string) ([]byte, error) {
	cmd := exec.CommandContext(context.Background(), "go", args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go %s: %w: %s", args[0], err, complaint.Bytes())
	}
	return out, nil
}

func clickHouseFolder(s *Server) string { return filepath.Join(s.data, "clickhouse") }

func (c clickHouseConfig) args(s *Server) []string {
	library, err := chdbLibrary()
	if err != nil {
		s.t.Fatalf("%v", err)
	}
	// Then it waits for more on its input, which we hold open: its end is the
	// server's. The logs of queries and metrics are off unless configured.
	statements := "CREATE DATABASE IF NOT EXISTS tapedeck ENGINE = Atomic; " +
		"SYSTEM START LISTEN TCP; SYSTEM START LISTEN HTTP"
	args := []string{
		library, "--path=" + clickHouseFolder(s), "--config-file=" + filepath.Join(s.dir, "config.xml"),
		"--listen_host=127.0.0.1", "--tcp_port=" + strconv.Itoa(s.ports[0]), "--http_port=" + strconv.Itoa(s.ports[1]),
		"--implicit_select=0", "--interactive", "--history_file=" + filepath.Join(s.dir, "history"),
		"--logger.console=1", "--log-level=warning",
	}
	return append(append(args, c.extra...), "--query="+statements)
}

const clickHouseConfigXML = `<clickhouse>
  <max_server_memory_usage>2000000000</max_server_memory_usage>
  <mark_cache_size>67108864</mark_cache_size>
  <uncompressed_cache_size>0</uncompressed_cache_size>
  <user_directories><users_xml><path>%s</path></users_xml></user_directories>
</clickhouse>
`

// prepare writes the engine's configuration.
func (c clickHouseConfig) prepare(s *Server) error {
	if err := os.MkdirAll(clickHouseFolder(s), 0o700); err != nil {
		return err
	}
	var users bytes.Buffer
	users.WriteString("<clickhouse>\n<profiles><default/></profiles>\n<quotas><default/></quotas>\n<users>\n")
	for _, user := range append([]clickHouseUser{{name: "default"}}, c.users...) {
		fmt.Fprintf(&users, "<%s><password>%s</password><networks><ip>127.0.0.1</ip></networks>"+
			"<profile>default</profile><quota>default</quota></%[1]s>\n", user.name, escapeXML(user.password))
	}
	users.WriteString("</users>\n</clickhouse>\n")
	usersPath := filepath.Join(s.dir, "users.xml")
	if err := os.WriteFile(usersPath, users.Bytes(), 0o600); err != nil {
		return err
	}
	config := fmt.Sprintf(clickHouseConfigXML, escapeXML(usersPath))
	return os.WriteFile(filepath.Join(s.dir, "config.xml"), []byte(config), 0o600)
}

func escapeXML(text string) string {
	var out strings.Builder
	_ = xml.EscapeText(&out, []byte(text)) // a strings.Builder takes everything
	return out.String()
}

// clickHouseSpare is what the inserts and merges that run have reserved, and a
// little less than the MiB that the engine reserves before it begins another:
// it refuses that with error 243. libchdb must not meet ENOSPC itself. Where a
// ClickHouse server ends an insert with an error, it writes on and acknowledges
// a part that cannot be read: the throw is a comment in its own
// src/IO/WriteBufferFromFileDescriptor.cpp (chdb-io/chdb, 26.7).
func clickHouseSpare(s *Server) (int64, error) {
	var reserved int64
	err := askDisk(context.Background(), s.URL(), "free_space - unreserved_space", &reserved)
	return reserved + 1<<20 - 4096, err
}

// clickHouseReady waits until both ports answer, and from our folder: another
// server may have taken one, and ours says nothing of it.
func clickHouseReady(ctx context.Context, s *Server) error {
	for _, url := range []string{s.URL(), s.HTTPURL()} {
		var path string
		if err := askDisk(ctx, url, "path", &path); err != nil {
			return err
		}
		if filepath.Clean(path) != clickHouseFolder(s) {
			return fmt.Errorf("another server answers on %s", url)
		}
	}
	return nil
}

// askDisk asks, through one of its doors, what a server says of its disk.
func askDisk(ctx context.Context, url, what string, answer any) error {
	options, err := clickhouse.ParseDSN(url)
	if err != nil {
		return err
	}
	options.MaxOpenConns = 1
	connection, err := clickhouse.Open(options)
	if err != nil {
		return err
	}
	defer connection.Close()
	return connection.QueryRow(ctx, "SELECT "+what+" FROM system.disks WHERE name = 'default'").Scan(answer)
}
