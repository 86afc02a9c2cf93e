package mysql

import (
	"errors"
	"fmt"

	driver "github.com/go-sql-driver/mysql"

	"github.com/seed-744e3d1b/tapedeck/internal/projector"
)

// The error numbers that mean something here; MySQL and MariaDB share them,
// but for the broken CHECK.
const (
	errNoDatabase = 1049
	errNoTable    = 1146
	errLockWait   = 1205
	errDeadlock   = 1213
)

// standing are the errors that stay until a human acts: the contents or the
// columns were changed by hand, or a row does not fit the server's settings.
var standing = map[uint16]string{
	1048: "", 1054: "", 1062: "", 1136: "", 1264: "", 1265: "", 1292: "", 1364: "", 1366: "", 1406: "",
	1451: "", 1452: "", 3819: "", 4025: "",
	1153: "; raise the server's max_allowed_packet",
}

// wrap names the operation. An error that retrying cannot mend wraps
// projector.ErrRefused; all else may pass.
func wrap(op string, err error) error {
	if err == nil {
		return nil
	}
	if hint, ok := standing[number(err)]; ok {
		if hint == "" {
			hint = "; the tables were changed by others: replay verify shows where, replay rebuild makes them anew"
		}
		return fmt.Errorf("mysql: %s: %w%s: %w", op, err, hint, projector.ErrRefused)
	}
	return fmt.Errorf("mysql: %s: %w", op, err)
}

// number is the server's error number, 0 when the server did not answer.
func number(err error) uint16 {
	var answer *driver.MySQLError
	if errors.As(err, &answer) {
		return answer.Number
	}
	return 0
}
