// Package deploytest holds deploy/compose.yaml and deploy/Dockerfile against
// the commands themselves, where no container engine runs.
package deploytest

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// deployment is everything that is checked, as text, so that a test can damage
// it.
type deployment struct {
	compose, env, dockerfile, ignore, gomod string
	// commands are the folders of cmd/ with what each says to --help.
	commands map[string]string
}

// oneShot are the commands that run to their end; all others are daemons.
var oneShot = map[string]bool{"replay": true}

var help map[string]string

func TestMain(m *testing.M) {
	os.Exit(func() (code int) {
		// make has built the commands already.
		if dir := os.Getenv("TAPEDECK_BIN"); dir != "" {
			var err error
			if help, err = askHelp(dir); err != nil {
				fmt.Fprintln(os.Stderr, err)
				return 1
			}
			return m.Run()
		}
		dir, err := os.MkdirTemp("", "tapedeck-bin-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		if help, err = askHelp(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}())
}

// askHelp builds all commands into dir and asks each for its settings.
func askHelp(dir string) (map[string]string, error) {
	build := exec.Command("go", "build", "-o", dir+string(filepath.Separator), "../../cmd/...")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the commands: %w\n%s", err, out)
	}
	folders, err := filepath.Glob("../../cmd/*")
	if err != nil {
		return nil, err
	}
	answers := make(map[string]string)
	for _, folder := range folders {
		name := filepath.Base(folder)
		out, err := exec.Command(filepath.Join(dir, name), "--help").Output()
		if err != nil {
			return nil, fmt.Errorf("%s --help: %w", name, err)
		}
		answers[name] = string(out)
	}
	return answers, nil
}

func read(t *testing.T) deployment {
	t.Helper()
	text := func(path string) string {
		content, err := os.ReadFile(filepath.FromSlash(path))
		require.NoError(t, err)
		return strings.ReplaceAll(string(content), "\r\n", "\n")
	}
	require.NotEmpty(t, help)
	return deployment{
		compose:    text("../compose.yaml"),
		env:        text("../.env.example"),
		dockerfile: text("../Dockerfile"),
		ignore:     text("../../.dockerignore"),
		gomod:      text("../../go.mod"),
		commands:   help,
	}
}

func (d deployment) problems() []string {
	image, problems := d.image()
	return append(problems, d.composed(image)...)
}

func TestDeployment(t *testing.T) {
	require.Empty(t, strings.Join(read(t).problems(), "\n"))
}

// Each check must be able to fail: damage by damage.
func TestDamageIsFound(t *testing.T) {
	compose := func(d *deployment) *string { return &d.compose }
	env := func(d *deployment) *string { return &d.env }
	dockerfile := func(d *deployment) *string { return &d.dockerfile }
	ignore := func(d *deployment) *string { return &d.ignore }
	for _, damage := range []struct {
		in       func(*deployment) *string
		old, new string
		problem  string
	}{
		{compose, `"--nats-listen"`, `"--nats-address"`, "ingest has no flag --nats-address"},
		{compose, "TAPEDECK_FILE_DIR", "TAPEDECK_FILES", "replay has no setting TAPEDECK_FILES"},
		{compose, `"/bin/projector-mysql"`, `"/bin/projector-maria"`, "is no command"},
		{compose, `"/bin/projector-file"`, `"/bin/projector-redis"`, "no service runs projector-file"},
		{compose, "redis:7.4.11-alpine", "redis:7-alpine", "redis: image redis:7-alpine is not pinned"},
		{compose, "mysql:8.4.10", "mysql:latest", "is not pinned"},
		{compose, "mysql:8.4.10", "mysql:9.1.0", "mysql: image must be"},
		{compose, `"CMD-SHELL", "redis-cli`, `"NONE", "redis-cli`, "redis: no health check"},
		{compose, "      test: [\"CMD\", \"wget\"", "      disable: true\n      test: [\"CMD\", \"wget\"", "clickhouse: no health check"},
		{compose, "127.0.0.1:9102/readyz", "127.0.0.1:9101/readyz", "projector-mysql: health check asks port 9101"},
		{compose, `"CMD", "/bin/wget"`, `"CMD", "/bin/curl"`, "the image has no /bin/curl"},
		{compose, "- redis:/data", "- ./redis:/data", "redis: /data is no named volume"},
		{compose, "- redis:/data\n", "- redis:/var/lib/redis\n", "redis: /data is no volume"},
		{compose, "- tape:/data", "- tape:/tape", "ingest: /data is on no volume"},
		{compose, `"/data/files"`, `"/data"`, "projector-file: /data must be inside a volume"},
		{compose, `["127.0.0.1:9102:9102"]`, `["9102:9102"]`, "projector-mysql: port 9102 is published on every address"},
		{compose, `["127.0.0.1:9102:9102"]`, `["0.0.0.0:9102:9102"]`, "projector-mysql: port 9102 is published"},
		{compose, `9103:9103`, `9103:9109`, "projector-clickhouse: nobody listens on port 9109"},
		{compose, `"--metrics", "0.0.0.0:9104"`, `"--metrics", "127.0.0.1:9104"`, "projector-file: --metrics 127.0.0.1:9104 cannot be reached"},
		{compose, "TAPEDECK_NATS_URL: nats://ingest:4222", "TAPEDECK_NATS_URL: nats://nats:4222", "there is no service nats"},
		{compose, "TAPEDECK_NATS_URL: nats://ingest:4222", "TAPEDECK_NATS_URL: nats://ingest:4223", "nobody listens on port 4223"},
		{compose, "      TAPEDECK_NATS_URL: nats://ingest:4222\n", "      TAPEDECK_LOG_LEVEL: info\n", "TAPEDECK_NATS_URL is not set"},
		{compose, "networks: [tiers]", "networks: [tiers, log]", "redis is on a network of ingest"},
		{compose, "    networks: [log, tiers]\n    depends_on: [ingest, redis]", "    networks: [log]\n    depends_on: [ingest, redis]", "projector-redis and redis share no network"},
		{compose, `"${MYSQL_PASSWORD:?fill in deploy/.env}"`, "hunter2", "MYSQL_PASSWORD must come from the env file"},
		{compose, `:${CLICKHOUSE_PASSWORD:?fill in deploy/.env}@`, ":hunter2@", "TAPEDECK_CLICKHOUSE_DSN holds a password"},
		{compose, `${REDIS_PASSWORD:?fill in deploy/.env}`, `${REDIS_PASSWORD:-redis}`, "REDIS_PASSWORD must be required"},
		{compose, "MYSQL_ROOT_HOST: localhost", `OTHER: "${REDIS_PASSWORD:?fill in deploy/.env}"`, "mysql is given REDIS_PASSWORD"},
		{compose, "requirepass $$REDISCLI_AUTH", "requirepass ${REDIS_PASSWORD:?fill in deploy/.env}", "redis shows REDIS_PASSWORD in its process list"},
		{compose, "read_only: true", "privileged: true", "ingest: privileged"},
		{compose, "cap_drop: [ALL]", "user: root", "ingest: runs as root"},
		{compose, "restart: unless-stopped", "restart: on-failure", "restart must be unless-stopped"},
		{compose, "stop_grace_period: 30s", "stop_grace_period: 10s", "ingest: is killed after 10s"},
		{compose, "depends_on: [ingest, redis]", "depends_on: {redis: {condition: service_healthy}}", "projector-redis must not wait for redis"},
		{compose, "noeviction", "allkeys-lru", "redis must run with maxmemory-policy noeviction"},
		{compose, "--appendonly yes ", "", "redis must run with appendonly yes"},
		{compose, "  tape:\n", "  tape:\n  spare:\n", "volume spare is used by nobody"},
		{env, "MYSQL_PASSWORD=\n", "MYSQL_PASSWORD=hunter2\n", "MYSQL_PASSWORD must be empty"},
		{env, "REDIS_PASSWORD=\n", "", "required variable REDIS_PASSWORD is missing"},
		{env, "#NATS_PORT", "#NATS_PROT", "NATS_PROT is used by nobody"},
		{dockerfile, "golang:1.26.8-alpine", "golang:1-alpine", "golang:1-alpine is not pinned"},
		{dockerfile, "golang:1.26.8-alpine", "golang:1.25.3-alpine", "go.mod needs Go"},
		{dockerfile, "busybox:1.37.0-musl", "busybox", "busybox is not pinned"},
		{dockerfile, "--from=busybox /", "--from=alpine:latest /", "alpine:latest is not pinned"},
		{dockerfile, "./cmd/...", "./cmd/ingest", "must build ./cmd/..."},
		{dockerfile, "CGO_ENABLED=0", "CGO_ENABLED=1", "CGO_ENABLED=0"},
		{dockerfile, "-trimpath", "", "-trimpath"},
		{dockerfile, "USER 65532:65532\n", "", "the image runs as root"},
		{dockerfile, "USER 65532:65532", "USER 0:0", "the image runs as root"},
		{dockerfile, "USER 65532:65532", "USER 1000:1000", "/data belongs to 65532"},
		{dockerfile, "COPY --from=build /out/bin/ /bin/\n", "", "has no /bin/ingest"},
		{dockerfile, "FROM scratch", "FROM scratch\nADD https://example.com/a.tar /", "ADD"},
		{dockerfile, "ARG TARGETOS", "ARG DB_PASSWORD", "DB_PASSWORD"},
		{ignore, "**/.env\n", "", "**/.env"},
		{ignore, "docs\n", "docs\ninternal\n", "leaves internal out"},
	} {
		t.Run(damage.problem, func(t *testing.T) {
			d := read(t)
			text := damage.in(&d)
			require.Contains(t, *text, damage.old, "the damage does not fit the file any more")
			*text = strings.Replace(*text, damage.old, damage.new, 1)
			require.Contains(t, strings.Join(d.problems(), "\n"), damage.problem)
		})
	}
}

// The page for operators names what is there, and nothing that is not.
func TestOperationsPage(t *testing.T) {
	content, err := os.ReadFile("../../docs/operations.md")
	require.NoError(t, err)
	page := string(content)
	project, err := read(t).load()
	require.NoError(t, err)
	for name, service := range project.AllServices() {
		require.Contains(t, page, "`"+name+"`", "service")
		for _, port := range service.Ports {
			require.Contains(t, page, fmt.Sprint(port.Target), "port of %s", name)
		}
	}
	for name := range project.Volumes {
		require.Contains(t, page, "`"+name+"`", "volume")
	}
	settings := strings.Join(slices.Collect(maps.Values(help)), "\n")
	for _, name := range regexp.MustCompile(`TAPEDECK_[A-Z_]+`).FindAllString(page, -1) {
		require.Contains(t, settings, "$"+name, "the page names a setting")
	}
}
