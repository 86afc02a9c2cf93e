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
	"time"

	"golang.org/x/text/encoding/simplifiedchinese"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/silverquant"
)

// statementNames are the headings that brokers' exports (QMT, GM, TDX) have for
// what is read of them.
var statementNames = map[string][]string{
	"code":   {"证券代码", "股票代码", "合约代码", "代码", "stock_code", "symbol"},
	"volume": {"股票余额", "证券余额", "持仓数量", "当前拥股", "证券数量", "持仓量", "当前数量", "股份余额", "实际数量", "当前持仓", "总持仓", "volume"},
	"name":   {"证券名称", "股票名称", "名称", "stock_name"},
	"market": {"交易市场", "市场", "交易所", "市场名称", "exchange"},
}

// statementTop is how many lines may stand above the headings.
const statementTop = 20

// holding is one stock of a broker's statement.
type holding struct {
	name   string
	volume int64
}

// readStatement reads a broker's CSV, divided by commas or tabs, in UTF-8 or
// GBK. columns name headings that are not known. A stock that is there several
// times, once a shareholder's account, counts together. sum is the file's
// SHA-256.
func readStatement(path string, columns map[string]string) (stated map[string]holding, sum string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, "", err
	}
	defer f.Close()
	encoding, err := silverquant.DetectEncoding(f)
	if err != nil {
		return nil, "", fmt.Errorf("read %s: %w", path, err)
	}
	raw, err := io.ReadAll(f)
	hash := sha256.Sum256(raw)
	if err == nil && encoding == silverquant.GBK {
		raw, err = simplifiedchinese.GB18030.NewDecoder().Bytes(raw)
	}
	if err != nil {
		return nil, "", fmt.Errorf("read %s: %w", path, err)
	}
	rows := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(raw, []byte("\xef\xbb\xbf"))))
	rows.FieldsPerRecord, rows.LazyQuotes = -1, true
	if bytes.Count(raw, []byte("\t")) > bytes.Count(raw, []byte(",")) {
		rows.Comma = '\t'
	}
	s := &statement{columns: columns, holdings: make(map[string]holding)}
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
			return nil, "", usage("%s, line %d: %v", path, line, err)
		}
	}
	if s.at == nil {
		return nil, "", usage("%s: no line has a heading for %s; name them with --columns code=…,volume=…", path, "code and volume")
	}
	return s.holdings, hex.EncodeToString(hash[:]), nil
}

type statement struct {
	columns  map[string]string
	at       map[string]int // the place of each column; nil above the headings
	holdings map[string]holding
}

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
	if cell("code") == "" {
		return nil // a sum
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

// statementCode is a code as the contract writes it. Many exports have the six
// digits only; then the market's name tells, or the exchanges' ranges do.
func statementCode(code, market string) (string, error) {
	if len(code) < 6 && strings.Trim(code, "0123456789") == "" {
		code = strings.Repeat("0", 6-len(code)) + code // a spreadsheet ate the zeros
	}
	if len(code) == 6 && strings.Trim(code, "0123456789") == "" {
		code += "." + marketOf(code, market)
	}
	d := &events.PositionClosed{AccountID: "statement", StockCode: strings.ToUpper(code)}
	e := events.Event{Source: "statement", Time: time.Now(), Data: d}
	if err := e.Validate(); err != nil {
		return "", err
	}
	return d.StockCode, nil
}

func marketOf(digits, market string) string {
	for _, known := range []struct{ words, suffix string }{{"沪 上海 上证 SH", "SH"}, {"深 SZ", "SZ"}, {"北 BJ", "BJ"}} {
		for word := range strings.FieldsSeq(known.words) {
			if strings.Contains(strings.ToUpper(market), word) {
				return known.suffix
			}
		}
	}
	switch {
	case strings.HasPrefix(digits, "92"), digits[0] == '4', digits[0] == '8':
		return "BJ"
	case strings.HasPrefix(digits, "11"), digits[0] == '5', digits[0] == '6', digits[0] == '9', digits[0] == '7':
		return "SH"
	}
	return "SZ"
}
