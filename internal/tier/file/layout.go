package file

import (
	"path"
	"regexp"
	"strings"

	"github.com/seed-744e3d1b/tapedeck/internal/book"
	"github.com/seed-744e3d1b/tapedeck/internal/silverquant"
)

// The files that hold a whole kind each: a JSON object of row key to row
// value. Those of users are for their owner only.
const (
	accountsFile   = "accounts.json"
	strategiesFile = "strategies.json"
	bindingsFile   = "bindings.json"
	paramsFile     = "params.json"
	usersFile      = "users.json"
	userRolesFile  = "user_roles.json"
)

// stateKinds are the kinds that a book without history holds; kinds are all
// that the tier holds.
var (
	stateKinds = []book.Kind{
		book.KindHeldDays, book.KindMaxPrice, book.KindMinPrice, book.KindIncDate, book.KindAccount,
		book.KindStrategy, book.KindBinding, book.KindParam, book.KindUser, book.KindUserRole,
	}
	kinds = []book.Kind{
		book.KindHeldDays, book.KindMaxPrice, book.KindMinPrice, book.KindIncDate, book.KindAccount, book.KindAsset,
		book.KindStrategy, book.KindBinding, book.KindParam, book.KindUser, book.KindUserRole, book.KindDeal, book.KindKline,
	}
)

// The file of each kind: accountFiles lie in the account's folder, relations in
// the tier's; klines have a file for each stock.
var (
	accountFiles = map[book.Kind]string{
		book.KindHeldDays: silverquant.PositionsFile, book.KindIncDate: silverquant.PositionsFile,
		book.KindMaxPrice: silverquant.MaxPriceFile, book.KindMinPrice: silverquant.MinPriceFile,
		book.KindAsset: silverquant.AssetsFile, book.KindDeal: silverquant.DealsFile,
	}
	relations = map[book.Kind]string{
		book.KindAccount: accountsFile, book.KindStrategy: strategiesFile, book.KindBinding: bindingsFile,
		book.KindParam: paramsFile, book.KindUser: usersFile, book.KindUserRole: userRolesFile,
	}
)

var (
	// folderName is what may become a directory's name.
	folderName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,50}$`)
	stockCode  = regexp.MustCompile(`^\d{6}\.(?:SH|SZ|BJ)$`)
)

// fileOf is where a row lies, by slash-separated path; false when no file may
// hold it. Rows of what does not parse lie there, too.
func fileOf(kind book.Kind, key string) (name string, ok bool) {
	if name, ok := relations[kind]; ok {
		return name, true
	}
	owner, _, _ := strings.Cut(key, "/")
	if kind == book.KindKline {
		return dailyFile(owner), stockCode.MatchString(owner)
	}
	name, ok = accountFiles[kind]
	return path.Join(owner, name), ok && folderName.MatchString(owner)
}

func dailyFile(code string) string { return path.Join(silverquant.DailyDir, code+".csv") }

// kindsIn lists the kinds that a file holds.
func kindsIn(name string) []book.Kind {
	var in []book.Kind
	for _, kind := range kinds {
		if found, ok := fileOf(kind, ownerOf(name)); ok && found == name {
			in = append(in, kind)
		}
	}
	return in
}

// ownerOf is the account or stock that a file belongs to, the first part of its
// rows' keys; a file of a whole kind has none.
func ownerOf(name string) string {
	dir, base := path.Split(name)
	if code, isCSV := strings.CutSuffix(base, ".csv"); isCSV && stockCode.MatchString(code) {
		return code
	}
	return strings.TrimSuffix(dir, "/")
}
