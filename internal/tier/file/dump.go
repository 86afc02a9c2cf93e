package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/seed-744e3d1b/tapedeck/internal/book"
	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
	"github.com/seed-744e3d1b/tapedeck/internal/silverquant"
)

// Dump reads the files afresh, whatever they hold: a file or row that does not
// parse, or a repeated row, becomes a row with "!" in its key that no fold has
// and whose value says why. It holds the directory's lock meanwhile, so that
// rows and checkpoint are of one instant, and yield must not use the tier.
func (t *Tier) Dump(ctx context.Context, yield func(book.Row) error) (eventlog.Checkpoint, error) {
	var at eventlog.Checkpoint
	err := t.locked(func() error {
		m, err := t.settle()
		if err != nil {
			return err
		}
		if at, err = m.checkpoint(); err != nil {
			return err
		}
		return t.rows(kinds, func(good, bad []book.Row) error {
			for _, row := range inOrder(append(good, bad...)) {
				if err := errors.Join(ctx.Err(), yield(row)); err != nil {
					return err
				}
			}
			return nil
		})
	})
	if err != nil {
		return at, fmt.Errorf("file: dump %s: %w", t.dir, err)
	}
	return at, nil
}

func inOrder(rows []book.Row) []book.Row {
	slices.SortFunc(rows, func(a, b book.Row) int { return strings.Compare(a.Key, b.Key) })
	return rows
}

// rows hands on what the files hold, kind by kind, in no order inside a kind.
func (f folder) rows(kinds []book.Kind, yield func(good, bad []book.Row) error) error {
	for _, kind := range kinds {
		names, err := f.files(kind)
		if err != nil {
			return err
		}
		var good, bad []book.Row
		for _, name := range names {
			g, b := f.rowsIn(name, kind)
			good, bad = append(good, g...), append(bad, b...)
		}
		if err := yield(good, bad); err != nil {
			return err
		}
	}
	return nil
}

// files are those that hold a kind, whether the manifest knows them or not.
func (f folder) files(kind book.Kind) ([]string, error) {
	if name, ok := relations[kind]; ok {
		return []string{name}, nil
	}
	if kind == book.KindKline {
		return f.match(silverquant.DailyDir, func(e fs.DirEntry) (string, bool) {
			code, isCSV := strings.CutSuffix(e.Name(), ".csv")
			return dailyFile(code), isCSV && stockCode.MatchString(code)
		})
	}
	return f.match(".", func(e fs.DirEntry) (string, bool) {
		return path.Join(e.Name(), accountFiles[kind]), e.IsDir() && folderName.MatchString(e.Name())
	})
}

// match lists what a directory's entries stand for; a missing one has none.
func (f folder) match(dir string, file func(fs.DirEntry) (name string, ok bool)) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(f.dir, dir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if name, ok := file(e); ok {
			names = append(names, name)
		}
	}
	return names, nil
}

// rowsIn reads the rows of one kind in one file, which may be missing. What
// does not parse is bad.
func (f folder) rowsIn(name string, kind book.Kind) (good, bad []book.Row) {
	raw, err := os.ReadFile(f.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var rows []book.Row
	if err == nil {
		rows, bad, err = parse(kind, name, raw)
	}
	times := make(map[string]int, len(rows))
	for _, row := range rows {
		if times[row.Key]++; times[row.Key] == 1 {
			good = append(good, row)
			continue
		}
		bad = append(bad, book.Row{Kind: kind, Key: fmt.Sprintf("%s!%d", row.Key, times[row.Key]), Value: "repeated: " + row.Value})
	}
	if err != nil {
		bad = append(bad, book.Row{Kind: kind, Key: path.Join(ownerOf(name), "!"+path.Base(name)), Value: "unreadable: " + err.Error()})
	}
	return good, bad
}
