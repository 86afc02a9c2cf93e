package deploytest

import (
	"context"
	"fmt"
	"maps"
	"net"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/dotenv"
	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
)

const fill = "filled-in-for-"

// environment is the env file's example with every empty value filled in.
func (d deployment) environment() (env map[string]string, empty []string, err error) {
	if env, err = dotenv.Parse(strings.NewReader(d.env)); err != nil {
		return nil, nil, fmt.Errorf(".env.example: %w", err)
	}
	for name, value := range env {
		if value == "" {
			env[name] = fill + name
			empty = append(empty, name)
		}
	}
	slices.Sort(empty)
	return env, empty, nil
}

// load reads the compose file as Docker Compose does, with the variables of
// the env file but for those left out.
func (d deployment) load(without ...string) (*types.Project, error) {
	env, _, err := d.environment()
	if err != nil {
		return nil, err
	}
	for _, name := range without {
		env[name] = ""
	}
	return loader.LoadWithContext(context.Background(), types.ConfigDetails{
		WorkingDir:  "..",
		ConfigFiles: []types.ConfigFile{{Filename: "compose.yaml", Content: []byte(d.compose)}},
		Environment: env,
	}, func(o *loader.Options) {
		o.SetProjectName("tapedeck", true)
		o.Profiles = []string{"*"}
	})
}

// composed checks the compose file against the commands and the image.
func (d deployment) composed(made image) []string {
	project, err := d.load()
	if err != nil {
		return []string{"compose.yaml with the example's env file: " + err.Error()}
	}
	c := &checker{deployment: d, image: made, project: project}
	running := map[string]string{}
	for name, s := range project.Services {
		c.everyService(name, s)
		if s.Build == nil {
			continue
		}
		command := c.ourService(name, s)
		running[command] = name
	}
	for command := range d.commands {
		if running[command] == "" {
			c.problem("no service runs %s", command)
		}
	}
	c.databases()
	c.secrets()
	for name := range project.Volumes {
		if !strings.Contains(d.compose, "- "+name+":/") {
			c.problem("volume %s is used by nobody", name)
		}
	}
	slices.Sort(c.problems)
	return c.problems
}

type checker struct {
	deployment
	image    image
	project  *types.Project
	problems []string
}

func (c *checker) problem(format string, args ...any) {
	c.problems = append(c.problems, fmt.Sprintf("compose.yaml: "+format, args...))
}

// everyService checks what holds for ours and the databases.
func (c *checker) everyService(name string, s types.ServiceConfig) {
	if s.Build == nil && !pinned.MatchString(s.Image) {
		c.problem("%s: image %s is not pinned to a full version", name, s.Image)
	}
	if s.Privileged {
		c.problem("%s: privileged", name)
	}
	if !slices.Contains(s.Profiles, "tools") {
		h := s.HealthCheck
		if h == nil || h.Disable || len(h.Test) < 2 || h.Test[0] == "NONE" || h.Interval == nil || h.Timeout == nil {
			c.problem("%s: no health check", name)
		}
		if s.Restart != "unless-stopped" {
			c.problem("%s: restart must be unless-stopped, it is %q", name, s.Restart)
		}
	}
	for _, v := range s.Volumes {
		if _, declared := c.project.Volumes[v.Source]; v.Type != types.VolumeTypeVolume || !declared {
			c.problem("%s: %s is no named volume", name, v.Target)
		}
	}
	for _, p := range s.Ports {
		switch p.HostIP {
		case "127.0.0.1":
		case "":
			c.problem("%s: port %d is published on every address", name, p.Target)
		default:
			c.problem("%s: port %d is published on %s", name, p.Target, p.HostIP)
		}
	}
	for other, d := range s.DependsOn {
		if d.Condition != types.ServiceConditionStarted {
			c.problem("%s must not wait for %s: any order of start works", name, other)
		}
	}
}

var (
	flagOfHelp = regexp.MustCompile(`--([a-z][a-z-]*)`)
	envOfHelp  = regexp.MustCompile(`\$(TAPEDECK_[A-Z_]+)`)
	address    = regexp.MustCompile(`(?:@tcp\(|@|//)([a-z][a-z-]*):(\d+)`)
)

// ourService checks a service that runs a command of ours, and returns the
// command's name.
func (c *checker) ourService(name string, s types.ServiceConfig) string {
	line := append(slices.Clone(s.Entrypoint), s.Command...)
	command, isOurs := strings.CutPrefix(line[0], "/bin/")
	text, known := c.commands[command]
	if !isOurs || !known {
		c.problem("%s: %s is no command", name, line[0])
		return ""
	}
	flags, settings := found(flagOfHelp, text), found(envOfHelp, text)
	values := map[string]string{}
	for i, word := range line[1:] {
		flag, isFlag := strings.CutPrefix(word, "--")
		if !isFlag {
			continue
		}
		if !flags[flag] {
			c.problem("%s: %s has no flag --%s", name, command, flag)
		}
		if i+2 < len(line) {
			values[flag] = line[i+2]
		}
	}
	for variable := range s.Environment {
		if !settings[variable] {
			c.problem("%s: %s has no setting %s", name, command, variable)
		}
	}
	if settings["TAPEDECK_NATS_URL"] && s.Environment["TAPEDECK_NATS_URL"] == nil {
		c.problem("%s: TAPEDECK_NATS_URL is not set", name)
	}
	if user := s.User; user != "" && user != c.image.user {
		c.problem("%s: runs as %s", name, user)
	}
	if !s.ReadOnly || !slices.Contains(s.CapDrop, "ALL") || !slices.Contains(s.SecurityOpt, "no-new-privileges:true") {
		c.problem("%s: must run read_only, with cap_drop ALL and no-new-privileges", name)
	}
	c.addresses(name, s, values)
	c.folders(name, s, values)
	if m := regexp.MustCompile(`--stop-patience=(\S+)`).FindStringSubmatch(text); m != nil {
		patience, err := time.ParseDuration(m[1])
		if grace := s.StopGracePeriod; err != nil || grace == nil || time.Duration(*grace) <= patience {
			c.problem("%s: is killed after %v, but may take %s to stop", name, grace, m[1])
		}
	}
	return command
}

// addresses checks where a service listens, what is published, what its health
// check asks and whom it connects to.
func (c *checker) addresses(name string, s types.ServiceConfig, flags map[string]string) {
	listens := map[string]bool{}
	for _, flag := range []string{"listen", "nats-listen", "metrics"} {
		host, port, err := net.SplitHostPort(flags[flag])
		if flags[flag] == "" {
			continue
		}
		if err != nil || host != "0.0.0.0" {
			c.problem("%s: --%s %s cannot be reached from outside its container", name, flag, flags[flag])
		}
		listens[port] = true
	}
	for _, p := range s.Ports {
		if !listens[fmt.Sprint(p.Target)] {
			c.problem("%s: nobody listens on port %d", name, p.Target)
		}
	}
	if s.HealthCheck != nil && len(s.HealthCheck.Test) > 1 {
		test := s.HealthCheck.Test
		if !c.image.programs[test[1]] {
			c.problem("%s: the image has no %s", name, test[1])
		}
		m := regexp.MustCompile(`^http://127\.0\.0\.1:(\d+)/readyz$`).FindStringSubmatch(test[len(test)-1])
		port := map[bool]string{true: "listen", false: "metrics"}[flags["listen"] != ""]
		if m == nil {
			c.problem("%s: health check must ask http://127.0.0.1:PORT/readyz", name)
		} else if !strings.HasSuffix(flags[port], ":"+m[1]) {
			c.problem("%s: health check asks port %s, but --%s is %s", name, m[1], port, flags[port])
		}
	}
	for variable, value := range s.Environment {
		m := address.FindStringSubmatch(*value)
		if m == nil {
			continue
		}
		other, ok := c.project.Services[m[1]]
		switch {
		case !ok:
			c.problem("%s: %s: there is no service %s", name, variable, m[1])
		case !shareNetwork(s, other):
			c.problem("%s and %s share no network", name, m[1])
		case m[1] == "ingest" && !strings.Contains(strings.Join(other.Command, " "), "0.0.0.0:"+m[2]):
			c.problem("%s: %s: nobody listens on port %s of ingest", name, variable, m[2])
		}
	}
}

// folders checks that what must survive is on a volume. The file tier needs a
// volume's subfolder: it keeps its lock and its shadow beside itself.
func (c *checker) folders(name string, s types.ServiceConfig, flags map[string]string) {
	on := func(folder string, below bool) bool {
		return slices.ContainsFunc(s.Volumes, func(v types.ServiceVolumeConfig) bool {
			return strings.HasPrefix(folder, v.Target+"/") || !below && folder == v.Target
		})
	}
	if data := flags["data"]; data != "" && !on(data, false) {
		c.problem("%s: %s is on no volume", name, data)
	}
	dir := flags["dir"]
	if v := s.Environment["TAPEDECK_FILE_DIR"]; v != nil {
		dir = *v
	}
	if dir != "" && !on(dir, true) {
		c.problem("%s: %s must be inside a volume", name, dir)
	}
}

func (c *checker) databases() {
	ingest := c.project.Services["ingest"]
	for name, want := range map[string]struct{ image, volume string }{
		"redis":      {`^redis:([7-9]|\d\d)\.`, "/data"},
		"mysql":      {`^mysql:8\.4\.`, "/var/lib/mysql"},
		"clickhouse": {`^clickhouse/clickhouse-server:\d+\.[38]\.`, "/var/lib/clickhouse"}, // March and August are long-term releases
	} {
		s := c.project.Services[name]
		if !regexp.MustCompile(want.image).MatchString(s.Image) {
			c.problem("%s: image must be %s, it is %s", name, want.image, s.Image)
		}
		if !slices.ContainsFunc(s.Volumes, func(v types.ServiceVolumeConfig) bool { return v.Target == want.volume }) {
			c.problem("%s: %s is no volume", name, want.volume)
		}
		if shareNetwork(s, ingest) {
			c.problem("%s is on a network of ingest, whose doors are open to all who reach them", name)
		}
	}
	for _, setting := range []string{"appendonly yes", "maxmemory-policy noeviction"} {
		if !strings.Contains(strings.Join(c.project.Services["redis"].Command, " "), "--"+setting) {
			c.problem("redis must run with %s", setting)
		}
	}
}

// secrets checks that passwords are in the env file alone, that nothing starts
// without them, and that each is given to who needs it.
func (c *checker) secrets() {
	fromFile := regexp.MustCompile(`^` + fill + `[A-Z_]+$`)
	userInfo := regexp.MustCompile(`:([^:/@]+)@`)
	for name, s := range c.project.Services {
		for variable, value := range s.Environment {
			if secrets.MatchString(variable) && !fromFile.MatchString(*value) {
				c.problem("%s: %s must come from the env file: ${NAME:?message}", name, variable)
			}
			if m := userInfo.FindStringSubmatch(*value); m != nil && !fromFile.MatchString(m[1]) {
				c.problem("%s: %s holds a password", name, variable)
			}
		}
	}
	for _, m := range regexp.MustCompile(`[^$]\$\{?([A-Z_]+)(:\?)?`).FindAllStringSubmatch(c.compose, -1) {
		if secrets.MatchString(m[1]) && m[2] == "" {
			c.problem("%s must be required: ${%s:?message}", m[1], m[1])
		}
	}
	env, empty, err := c.environment()
	if err != nil {
		c.problem("%v", err)
	}
	for name, value := range env {
		if secrets.MatchString(name) && !slices.Contains(empty, name) {
			c.problem(".env.example: %s must be empty, not %q", name, value)
		}
	}
	for _, line := range regexp.MustCompile(`(?m)^#([A-Z_]+)=`).FindAllStringSubmatch(c.env, -1) {
		empty = append(empty, line[1])
	}
	for _, name := range empty {
		if !strings.Contains(c.compose, "${"+name+":") {
			c.problem(".env.example: %s is used by nobody", name)
		}
		if !secrets.MatchString(name) {
			continue
		}
		if _, err := c.load(name); err == nil {
			c.problem("starts without %s", name)
		}
		server, _, _ := strings.Cut(strings.ToLower(name), "_")
		for service, s := range c.project.Services {
			shown := strings.Join(slices.Concat(s.Entrypoint, s.Command), " ")
			if s.HealthCheck != nil {
				shown += strings.Join(s.HealthCheck.Test, " ")
			}
			if strings.Contains(shown, fill+name) {
				c.problem("%s shows %s in its process list", service, name)
			}
			for value := range maps.Values(s.Environment) {
				if strings.Contains(*value, fill+name) && service != server && service != "projector-"+server && service != "console" && !oneShot[service] {
					c.problem("%s is given %s", service, name)
				}
			}
		}
	}
}

func found(what *regexp.Regexp, in string) map[string]bool {
	all := map[string]bool{}
	for _, m := range what.FindAllStringSubmatch(in, -1) {
		all[m[1]] = true
	}
	return all
}

func shareNetwork(a, b types.ServiceConfig) bool {
	for name := range a.Networks {
		if _, ok := b.Networks[name]; ok {
			return true
		}
	}
	return false
}
