package mysql

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	driver "github.com/go-sql-driver/mysql"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/projector"
)

const (
	dialTimeout = 3 * time.Second
	// ioTimeout bounds every wait for the server: one that hangs is an error
	// after it, never a wait for ever.
	ioTimeout = 5 * time.Second
	// ddlTimeout is the same for statements that may have to copy or drop a
	// large table.
	ddlTimeout = 10 * time.Minute
)

// session are the settings that statements here rely on, whatever the server's
// own are. Locks are waited for shorter than for the server itself, so that the
// error says what it was; a connection that died without a word gives its locks
// back after wait_timeout.
var session = map[string]string{
	"sql_mode":                 "'STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'",
	"time_zone":                "'+08:00'",
	"innodb_lock_wait_timeout": "3",
	"lock_wait_timeout":        "3",
	"wait_timeout":             "60",
	"net_write_timeout":        "600",
	"foreign_key_checks":       "1",
	"unique_checks":            "1",
	"autocommit":               "1",
}

// errDSN says nothing of what was given: it may hold a password.
var errDSN = fmt.Errorf("mysql: the DSN is not of the form user:password@tcp(host:port)/database or "+
	"mysql://user:password@host:port/database (percent-encode special characters of the password in the latter): %w", projector.ErrRefused)

// parseDSN reads either form and sets what the tier needs. Settings of TLS,
// timeouts and the like are the caller's.
func parseDSN(dsn string) (*driver.Config, error) {
	parse := driver.ParseDSN
	if strings.HasPrefix(dsn, "mysql://") {
		parse = fromURL
	}
	config, err := parse(dsn)
	if err != nil || config.DBName == "" {
		return nil, errDSN
	}
	if config.Params == nil {
		config.Params = make(map[string]string)
	}
	for name, value := range session {
		config.Params[name] = value
	}
	if err := config.Apply(driver.Charset("utf8mb4", "utf8mb4_bin")); err != nil {
		return nil, errDSN
	}
	config.Loc = events.Zone
	config.ParseTime = false // times are read as text: rows changed by hand need not hold one
	config.InterpolateParams = true
	config.ClientFoundRows = true
	config.MultiStatements = false
	config.AllowAllFiles = false
	config.MaxAllowedPacket = 0 // ask the server
	config.Timeout, config.ReadTimeout, config.WriteTimeout = dialTimeout, ioTimeout, ioTimeout
	config.Logger = &driver.NopLogger{} // its own lines on stderr say nothing that the errors do not
	return config, nil
}

// fromURL reads mysql://user:password@host:port/database?tls=true.
func fromURL(text string) (*driver.Config, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return nil, errDSN
	}
	address := u.Host
	if u.Port() == "" {
		address += ":3306"
	}
	database := strings.TrimPrefix(u.Path, "/")
	config, err := driver.ParseDSN(fmt.Sprintf("tcp(%s)/%s?%s", address, url.PathEscape(database), u.RawQuery))
	if err != nil {
		return nil, errDSN
	}
	config.User = u.User.Username()
	config.Passwd, _ = u.User.Password()
	return config, nil
}
