package mysql

import (
	"strings"
)

// The tables that are ours. Those that change places in a promotion come
// parents first; the predefined ones stay, and the swapped refer to them.
var (
	swapped    = []string{"account", "strategy", "user", "account_strategy", "strategy_param", "user_role"}
	predefined = []string{"role", "permission", "role_permission"}
)

const (
	checkpointBase  = "checkpoint"
	checkpointTable = "tapedeck_checkpoint"
	schemaTable     = "tapedeck_schema"
	foreignPrefix   = "foreign_"
)

// naming gives tables their names: the live ones, those of the shadow, those of
// the previous contents.
type naming struct {
	prefix   string
	replacer *strings.Replacer
}

var (
	live     = newNaming("")
	shadowed = newNaming("tapedeck_shadow_")
	previous = newNaming("tapedeck_previous_")
	// between is where tables are for no reader to see, inside one RENAME.
	between = newNaming("tapedeck_swap_")
)

func newNaming(prefix string) naming {
	n := naming{prefix: prefix}
	var pairs []string
	for _, base := range append([]string{checkpointBase}, swapped...) {
		pairs = append(pairs, "{"+base+"}", quoted(n.table(base)))
	}
	n.replacer = strings.NewReplacer(pairs...)
	return n
}

// table is the name of a swapped table or of the checkpoint's.
func (n naming) table(base string) string {
	if base == checkpointBase && n.prefix == "" {
		return checkpointTable
	}
	return n.prefix + base
}

// all are the names of the swapped tables and the checkpoint's, parents first.
func (n naming) all() []string {
	names := make([]string, 0, len(swapped)+1)
	for _, base := range append(swapped[:len(swapped):len(swapped)], checkpointBase) {
		names = append(names, n.table(base))
	}
	return names
}

// sql puts the names into a statement, where it says {account}.
func (n naming) sql(statement string) string { return n.replacer.Replace(statement) }

func quoted(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }
