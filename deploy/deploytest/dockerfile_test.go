package deploytest

import (
	"fmt"
	"path"
	"regexp"
	"strings"
)

// image is what the Dockerfile makes, as far as compose.yaml relies on it.
type image struct {
	programs map[string]bool
	user     string
}

type instruction struct{ word, rest string }

// instructions joins continued lines and drops comments.
func instructions(dockerfile string) []instruction {
	var all []instruction
	var joined strings.Builder
	for line := range strings.Lines(dockerfile) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if before, ok := strings.CutSuffix(line, `\`); ok {
			joined.WriteString(before + " ")
			continue
		}
		joined.WriteString(line)
		word, rest, _ := strings.Cut(joined.String(), " ")
		all = append(all, instruction{strings.ToUpper(word), strings.TrimSpace(rest)})
		joined.Reset()
	}
	return all
}

var (
	// pinned is an image with its full version.
	pinned  = regexp.MustCompile(`^[a-z0-9./-]+:v?\d+\.\d+\.\d+(\.\d+)*(-[a-z0-9.]+)?(@sha256:[0-9a-f]{64})?$`)
	secrets = regexp.MustCompile(`(?i)passw|secret|token|auth|credential`)
	option  = regexp.MustCompile(`--([a-z]+)=(\S+)`)
)

// image reads the Dockerfile.
func (d deployment) image() (image, []string) {
	var problems []string
	problem := func(format string, args ...any) {
		problems = append(problems, fmt.Sprintf("Dockerfile: "+format, args...))
	}
	made := image{programs: map[string]bool{}}
	stages := map[string]bool{"scratch": true}
	var built string // the folder that the build stage puts the commands in
	var env, dataOwner string
	for _, i := range instructions(d.dockerfile) {
		options := map[string]string{}
		for _, m := range option.FindAllStringSubmatch(i.rest, -1) {
			options[m[1]] = m[2]
		}
		words := strings.Fields(option.ReplaceAllString(i.rest, ""))
		from := options["from"]
		if i.word == "FROM" {
			from = words[0]
		}
		if from != "" && !stages[from] && !pinned.MatchString(from) {
			problem("%s is not pinned to a full version", from)
		}
		switch i.word {
		case "FROM":
			if version, ok := strings.CutPrefix(from, "golang:"); ok && !strings.HasPrefix(version, goVersion(d.gomod)+".") {
				problem("%s builds, but go.mod needs Go %s", from, goVersion(d.gomod))
			}
			if len(words) == 3 {
				stages[words[2]] = true
			}
			made, env, dataOwner = image{programs: map[string]bool{}}, "", ""
		case "ADD":
			problem("ADD fetches and unpacks what nobody has checked; use COPY")
		case "ARG", "ENV":
			if secrets.MatchString(i.rest) {
				problem("a secret would stay in the image: %s", i.rest)
			}
			env += i.rest + " "
		case "RUN":
			_, build, ok := strings.Cut(i.rest, "go build ")
			if !ok {
				continue
			}
			if !strings.Contains(env, "CGO_ENABLED=0") {
				problem("static binaries need CGO_ENABLED=0")
			}
			if !strings.Contains(build, "-trimpath") {
				problem("builds without -trimpath")
			}
			if !strings.HasSuffix(build, " ./cmd/...") {
				problem("must build ./cmd/...: every command")
			}
			if m := regexp.MustCompile(`-o (\S+)`).FindStringSubmatch(build); m != nil {
				built = m[1]
			}
		case "COPY":
			target := words[len(words)-1]
			if words[0] == built && target == "/bin/" {
				for name := range d.commands {
					made.programs["/bin/"+name] = true
				}
			}
			made.programs[target] = made.programs[target] || path.Dir(target) == "/bin"
			if target == "/data" {
				dataOwner = options["chown"]
			}
		case "USER":
			made.user = i.rest
		}
	}
	if !regexp.MustCompile(`^[1-9]\d*:[1-9]\d*$`).MatchString(made.user) {
		problem("the image runs as root: USER must be a numeric uid:gid other than 0, it is %q", made.user)
	}
	if dataOwner != made.user {
		problem("/data belongs to %s, but the commands run as %s: a new volume could not be written", dataOwner, made.user)
	}
	for name := range d.commands {
		if !made.programs["/bin/"+name] {
			problem("the image has no /bin/%s", name)
		}
	}
	for _, line := range []string{".env", "**/.env", ".git"} {
		if !strings.Contains("\n"+d.ignore, "\n"+line+"\n") {
			problems = append(problems, ".dockerignore must have the line "+line)
		}
	}
	for _, folder := range []string{"cmd", "events", "internal", "go.mod", "go.sum"} {
		if strings.Contains("\n"+d.ignore, "\n"+folder+"\n") {
			problems = append(problems, ".dockerignore leaves "+folder+" out")
		}
	}
	return made, problems
}

// goVersion is the language version of go.mod, such as 1.26.
func goVersion(gomod string) string {
	m := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(gomod)
	if m == nil {
		return "?"
	}
	return m[1]
}
