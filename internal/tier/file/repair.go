package file

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/book"
	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
	"github.com/seed-744e3d1b/tapedeck/internal/projector"
	"github.com/seed-744e3d1b/tapedeck/internal/silverquant"
)

// Repair implements projector.Live. It writes anew the files that hold
// changed rows, from the rows that are there and the changes, and vouches for
// the rows that no change names as they are: the caller compared them. Files
// that are not what was written, but hold the right rows, are mended as well.
//
// It wraps projector.ErrRefused when the manifest is damaged or gone, when a
// file that has changes holds something unreadable that no change removes, and
// when a file cannot hold the rows as they shall be: deals without a gap, say.
func (t *Tier) Repair(ctx context.Context, at eventlog.Checkpoint, changes []projector.Change) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := t.locked(func() error { return t.repair(ctx, at, changes) }); err != nil {
		return fmt.Errorf("file: repair %s at %d: %w", t.dir, at.Sequence, err)
	}
	return nil
}

func (t *Tier) repair(ctx context.Context, at eventlog.Checkpoint, changes []projector.Change) error {
	m, err := t.settle()
	var damaged *DamagedError
	switch {
	case errors.As(err, &damaged):
		return fmt.Errorf("%w: %w", err, projector.ErrRefused)
	case errors.Is(err, projector.ErrForeignData):
		return fmt.Errorf("%s is gone; run: replay rebuild --tier file: %w", t.path(manifestFile), projector.ErrRefused)
	case err != nil:
		return err
	}
	if now, err := m.checkpoint(); err != nil || now != at {
		return errors.Join(err, fmt.Errorf("the tier is at %d: %w", now.Sequence, projector.ErrConflict))
	}
	wanted, err := byFile(changes)
	if err != nil {
		return err
	}
	next := m.next()
	next.Files = maps.Clone(m.Files)
	var j journal
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		if err := ctx.Err(); err != nil {
			return err
		}
		text, err := t.mended(name, m.Encoding, wanted[name])
		if err != nil {
			return err
		}
		next.Files[name] = entryOf(text)
		j.Changes = append(j.Changes, change{Path: name, Data: text})
	}
	for _, name := range sorted(m.Files) {
		if _, done := wanted[name]; done {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		text, needed, err := t.restored(name, m)
		if err != nil {
			return err
		}
		if needed {
			next.Files[name] = entryOf(text)
			j.Changes = append(j.Changes, change{Path: name, Data: text})
		}
	}
	if len(j.Changes) == 0 {
		return nil
	}
	t.known = nil
	j.Manifest = next
	return t.commit(j)
}

// rowName is what a change is about.
type rowName struct {
	kind book.Kind
	key  string
}

// byFile sorts changes by the file that they are for; of two for one row the
// later counts.
func byFile(changes []projector.Change) (map[string]map[rowName]*string, error) {
	files := make(map[string]map[rowName]*string)
	for _, c := range changes {
		name, ok := fileOf(c.Kind, c.Key)
		// Rows of what does not parse have "!" in their keys: they can only go.
		if !ok || (c.Value != nil && strings.Contains(c.Key, "!")) {
			return nil, fmt.Errorf("%s %q: no file may hold such a row: %w", c.Kind, c.Key, projector.ErrRefused)
		}
		rows := files[name]
		set(&rows, rowName{c.Kind, c.Key}, c.Value)
		files[name] = rows
	}
	return files, nil
}

// mended is a file's text with the changes made.
func (t *Tier) mended(name string, enc silverquant.Encoding, changes map[rowName]*string) ([]byte, error) {
	rows := make(map[rowName]string)
	for _, kind := range kindsIn(name) {
		good, bad := t.rowsIn(name, kind)
		for _, r := range good {
			rows[rowName{kind, r.Key}] = r.Value
		}
		for _, r := range bad {
			if value, named := changes[rowName{kind, r.Key}]; !named || value != nil {
				return nil, fmt.Errorf("%s: %s %q would be lost (%s): %w", name, kind, r.Key, r.Value, projector.ErrRefused)
			}
		}
	}
	for row, value := range changes {
		if value == nil {
			delete(rows, row)
		} else {
			rows[row] = *value
		}
	}
	return render(name, enc, rows)
}

// restored is the text of a file that no change names but that is not what was
// written, when its rows are all there.
func (t *Tier) restored(name string, m manifest) (text []byte, needed bool, err error) {
	var damaged *DamagedError
	if _, err := t.proveFile(name, m.Files[name]); err == nil || !errors.As(err, &damaged) {
		return nil, false, err
	}
	text, err = t.mended(name, m.Encoding, nil)
	if errors.Is(err, projector.ErrRefused) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	// Without the file, that it was empty is the one thing that can be known.
	_, err = os.Lstat(t.path(name))
	return text, err == nil || entryOf(text) == m.Files[name], nil
}

// render is the text of a file that holds just these rows. What reads back
// otherwise is refused.
func render(name string, enc silverquant.Encoding, rows map[rowName]string) ([]byte, error) {
	byKind := make(map[book.Kind][]book.Row)
	for row, value := range rows {
		byKind[row.kind] = append(byKind[row.kind], book.Row{Kind: row.kind, Key: row.key, Value: value})
	}
	refused := func(reason any) error {
		return fmt.Errorf("%s cannot hold the rows as they shall be: %v: %w", name, reason, projector.ErrRefused)
	}
	b := book.New(book.Keep{History: true})
	held := kindsIn(name)
	if len(held) == 0 {
		return nil, refused("it is none of the tier's files")
	}
	for _, kind := range held {
		inOrder(byKind[kind])
		if _, ok := relations[kind]; ok {
			continue // such a file holds the rows as they are
		}
		for _, row := range byKind[kind] {
			if err := b.Restore(row); err != nil {
				return nil, refused(err)
			}
		}
	}
	text, err := textOf(name, enc, b, byKind)
	if err != nil {
		return nil, refused(err)
	}
	for _, kind := range held {
		back, bad, err := parse(kind, name, text)
		if err != nil {
			return nil, refused(err)
		}
		if len(bad) > 0 {
			return nil, refused(bad[0].Value)
		}
		if !slices.Equal(inOrder(back), byKind[kind]) {
			return nil, refused(fmt.Sprintf("%s would read back otherwise", kind))
		}
	}
	return text, nil
}

// textOf renders a file out of a book, or rows of a whole kind.
func textOf(name string, enc silverquant.Encoding, b *book.Book, rows map[book.Kind][]book.Row) ([]byte, error) {
	owner := ownerOf(name)
	kind := kindsIn(name)[0]
	switch kind {
	case book.KindHeldDays:
		return positionsText(b, owner), nil
	case book.KindMaxPrice:
		return pricesText(b, owner, maxPrice), nil
	case book.KindMinPrice:
		return pricesText(b, owner, minPrice), nil
	case book.KindAsset:
		days := make(map[events.Date]events.Money)
		for _, a := range b.Assets(owner) {
			days[a.Date] = a.Total
		}
		return assetsText(days), nil
	case book.KindDeal:
		text := []byte(silverquant.DealsHeader)
		for _, d := range b.Deals(owner) {
			text = silverquant.AppendDeal(text, d)
		}
		return enc.Encode(text)
	case book.KindKline:
		days := make(map[events.Date]events.Bar)
		for _, k := range b.Klines(owner) {
			days[k.Date] = k.Bar
		}
		return barsText(days), nil
	}
	return relationText(rows[kind])
}
