package replay

import (
	"bytes"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/unicode"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/silverquant"
)

// statementNames are the headings that brokers' exports (QMT, GM, TDX) have for
// what is read of them.
var statementNames = map[string][]string{
	"code":    {"证券代码", "股票代码", "合约代码", "代码", "stock_code", "symbol"},
	"volume":  {"股票余额", "证券余额", "持仓数量", "当前拥股", "证券数量", "持仓量", "当前数量", "股份余额", "实际数量", "当前持仓", "总持仓", "volume"},
	"name":    {"证券名称", "股票名称", "名称", "stock_name"},
	"market":  {"交易市场", "市场", "交易所", "市场名称", "exchange"},
	"account": {"资金账号", "资金账户", "资金帐号", "资金帐户", "account", "account_id"},
}

// statementTop is how many lines may stand above the headings.
const statementTop = 20

// holding is one stock of a broker's statement.
type holding struct {
	name   string
	volume int64
}

// readStatement reads a broker's CSV, divided by commas or tabs, in UTF-8, GBK,
// or UTF-16 with its mark. columns name headings that are not known. A stock that is there several
// times, once a shareholder's account, counts together. sum is the file's
// SHA-256.
func readStatement(path, account string, columns map[string]string) (stated map[string]holding, ignored []ignoredRow, sum string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, "", err
	}
	defer f.Close()
	encoding, err := silverquant.DetectEncoding(f)
	if err != nil {
		return nil, nil, "", fmt.Errorf("read %s: %w", path, err)
	}
	raw, err := io.ReadAll(f)
	hash := sha256.Sum256(raw)
	switch {
	case err != nil:
	case bytes.HasPrefix(raw, []byte("\xff\xfe")), bytes.HasPrefix(raw, []byte("\xfe\xff")):
		raw, err = unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewDecoder().Bytes(raw)
	case encoding == silverquant.GBK:
		raw, err = simplifiedchinese.GB18030.NewDecoder().Bytes(raw)
	}
	if err != nil {
		return nil, nil, "", fmt.Errorf("read %s: %w", path, err)
	}
	rows := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(raw, []byte("\xef\xbb\xbf"))))
	rows.FieldsPerRecord, rows.LazyQuotes = -1, true
	if bytes.Count(raw, []byte("\t")) > bytes.Count(raw, []byte(",")) {
		rows.Comma = '\t'
	}
	s := &statement{columns: columns, account: account, holdings: make(map[string]holding)}
	for {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		line, _ := rows.FieldPos(0)
		if err == nil {
			err = s.take(row, line)
		}
		if err != nil {
			return nil, nil, "", usage("%s, line %d: %v", path, line, err)
		}
	}
	if s.at == nil {
		return nil, nil, "", usage("%s: no line has a heading for %s; name them with --columns code=…,volume=…", path, "code and volume")
	}
	if s.others != "" && !s.own {
		return nil, nil, "", usage("%s is of account %s and has no row of %s; when the column of accounts means something else: --columns account=none", path, s.others, account)
	}
	if s.others != "" && s.nobodys > 0 {
		return nil, nil, "", usage("%s, line %d: says no account, and other lines are of %s", path, s.nobodys, s.others)
	}
	return s.holdings, s.ignored, hex.EncodeToString(hash[:]), nil
}

type statement struct {
	columns  map[string]string
	account  string
	at       map[string]int // the place of each column; nil above the headings
	holdings map[string]holding
	ignored  []ignoredRow
	own      bool   // a row says the account
	others   string // another account that a row says
	nobodys  int    // a line that says none
}

// sums begin rows that are about the others.
var sums = []string{"合计", "总计", "小计"}

func (s *statement) take(row []string, line int) error {
	if s.at == nil {
		if line <= statementTop {
			s.at = headings(row, s.columns)
		}
		return nil
	}
	cell := func(column string) string {
		if at, has := s.at[column]; has && at < len(row) {
			return plain(row[at])
		}
		return ""
	}
	isSum := func(cell string) bool {
		return slices.ContainsFunc(sums, func(word string) bool { return strings.HasPrefix(plain(cell), word) })
	}
	if cell("code") == "" || isSum(cell("code")) || isSum(row[0]) {
		return nil
	}
	if _, has := s.at["account"]; has {
		switch of := cell("account"); {
		case of == "":
			s.nobodys = line
		case sameAccount(of, s.account):
			s.own = true
		default:
			s.others = of
			return nil
		}
	}
	if !tradedHere(cell("code"), cell("market")) {
		s.ignored = append(s.ignored, ignoredRow{Line: line, Code: cell("code"), Name: cell("name")})
		return nil
	}
	code, err := statementCode(cell("code"), cell("market"))
	if err != nil {
		return err
	}
	volume, err := events.ParseMoney(strings.ReplaceAll(cell("volume"), ",", ""))
	if err == nil && (volume < 0 || volume%100 != 0) {
		err = errors.New("must be whole shares")
	}
	if err != nil {
		return fmt.Errorf("volume %q of %s: %w", cell("volume"), code, err)
	}
	h := s.holdings[code]
	h.name, h.volume = cell("name"), h.volume+int64(volume)/100
	s.holdings[code] = h
	return nil
}

// sameAccount tells whether a cell is the account; a spreadsheet may have eaten
// its zeros.
func sameAccount(cell, account string) bool {
	return strings.EqualFold(strings.TrimLeft(cell, "0"), strings.TrimLeft(account, "0"))
}

// headings finds the columns; nil when a row does not name them.
func headings(row []string, columns map[string]string) map[string]int {
	at := make(map[string]int)
	for column, names := range statementNames {
		if own := columns[column]; own != "" {
			names = []string{own}
		}
		for _, name := range names {
			i := slices.IndexFunc(row, func(cell string) bool { return strings.EqualFold(plain(cell), name) })
			if i >= 0 {
				at[column] = i
				break
			}
		}
	}
	_, code := at["code"]
	_, volume := at["volume"]
	if !code || !volume {
		return nil
	}
	return at
}

// plain is a cell without what spreadsheets put around a text of digits.
func plain(cell string) string {
	return strings.Trim(strings.TrimPrefix(strings.TrimSpace(cell), "="), "\"' \t\u3000")
}
