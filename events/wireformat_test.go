package events_test

import (
	"bytes"
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
)

// wireFormat is docs/wire-format.md taken apart: the rows of the tables under
// each heading, as cells without their backquotes.
func wireFormat(t *testing.T) (tables map[string][][]string, text string) {
	raw, err := os.ReadFile("../docs/wire-format.md")
	require.NoError(t, err)
	tables = make(map[string][][]string)
	heading := ""
	for line := range strings.Lines(string(raw)) {
		line = strings.TrimSpace(line)
		if title := strings.TrimLeft(line, "#"); title != line {
			heading = strings.Trim(title, " `")
		}
		if !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "|---") {
			continue
		}
		var cells []string
		for _, cell := range strings.Split(strings.Trim(line, "|"), "|") {
			cells = append(cells, strings.Trim(strings.TrimSpace(cell), "`"))
		}
		tables[heading] = append(tables[heading], cells)
	}
	return tables, string(raw)
}

func TestWireFormatNamesEveryTypeAndField(t *testing.T) {
	tables, _ := wireFormat(t)
	documented := make(map[string][]events.FieldInfo)
	for heading, rows := range tables {
		if rows[0][0] != "field" {
			continue
		}
		for _, row := range rows[1:] {
			documented[heading] = append(documented[heading], events.FieldInfo{Name: row[0], Form: row[1], Required: row[2]})
		}
	}
	coded := map[string][]events.FieldInfo{"A bar": events.BarFields()}
	for typ, fields := range events.Schemas() {
		coded[string(typ)] = fields
	}
	require.Equal(t, coded, documented)
}

func TestWireFormatNamesEveryForm(t *testing.T) {
	tables, _ := wireFormat(t)
	known := make(map[string]bool)
	for _, row := range tables["Forms"][1:] {
		known[row[0]] = true
	}
	for typ, fields := range events.Schemas() {
		for _, f := range fields {
			require.True(t, known[f.Form], "%s.%s has the form %q", typ, f.Name, f.Form)
		}
	}
}

func TestWireFormatNamesEveryAttribute(t *testing.T) {
	tables, _ := wireFormat(t)
	full := canonical(t, with(t, tradeLine, `"subject"`, `"correlationid":"c","causationid":"c","subject"`))
	var documented []string
	for _, row := range tables["Event"][1:] {
		name := row[0]
		if name != "datacontenttype" {
			documented = append(documented, name)
		}
		if row[1] == "yes" {
			without := regexp.MustCompile(`"`+name+`":("[^"]*"|\{[^}]*\}),?`).ReplaceAll(full, nil)
			_, err := events.Decode(bytes.Replace(without, []byte(",}"), []byte("}"), 1))
			require.ErrorContains(t, err, name+": is required")
		}
	}
	var coded []string
	envelope, _, _ := bytes.Cut(full, []byte(`"data":{`))
	for _, m := range regexp.MustCompile(`"([a-z]+)":`).FindAllSubmatch(append(envelope, `"data":`...), -1) {
		coded = append(coded, string(m[1]))
	}
	require.Equal(t, coded, documented, "the attributes in canonical order")
}

func TestWireFormatNamesEveryLimit(t *testing.T) {
	tables, _ := wireFormat(t)
	documented := make(map[string]int64)
	for _, row := range tables["Limits"][1:] {
		n, err := strconv.ParseInt(row[1], 10, 64)
		require.NoError(t, err)
		documented[row[0]] = n
	}
	require.Equal(t, map[string]int64{
		"MaxIDLength": events.MaxIDLength, "MaxSourceLength": events.MaxSourceLength, "MaxDepth": events.MaxDepth,
		"MaxEventBytes": events.MaxEventBytes, "MaxBatch": events.MaxBatch, "MaxUnscaled": events.MaxUnscaled,
		"MaxVolume": events.MaxVolume, "MaxBars": events.MaxBars, "MaxParams": events.MaxParams,
		"MaxHeldDays": events.MaxHeldDays, "MaxParamVersion": events.MaxParamVersion, "MinBcryptCost": events.MinBcryptCost,
		"MaxSequence": events.MaxSequence,
	}, documented)
	require.Equal(t, eventlog.MaxFrameEvents, events.MaxBatch)
}

func TestWireFormatNamesEveryMemberOfAnswers(t *testing.T) {
	tables, _ := wireFormat(t)
	documented := make(map[string][]string)
	for _, row := range tables["Answers of ingest"] {
		documented[row[0]] = append(documented[row[0]], row[1])
	}
	for object, typ := range map[string]reflect.Type{
		"receipt": reflect.TypeFor[events.Receipt](), "problem": reflect.TypeFor[events.Problem](),
		"error": reflect.TypeFor[events.ProblemError](), "result": reflect.TypeFor[events.Result](),
	} {
		var coded []string
		for i := range typ.NumField() {
			if f := typ.Field(i); !f.Anonymous {
				name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
				coded = append(coded, name)
			}
		}
		require.Equal(t, coded, documented[object], object)
	}
}

func TestWireFormatChainExample(t *testing.T) {
	_, text := wireFormat(t)
	chain := eventlog.Chain{}.Next(1, []byte("{}\n"))
	require.Contains(t, text, "`"+chain.String()+"`")
	require.Contains(t, text, "`"+eventlog.Subject+"`")
	require.Contains(t, text, "`"+eventlog.StreamName+"`")
}
