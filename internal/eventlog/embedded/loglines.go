package embedded

import (
	"fmt"
	"log/slog"
)

// logLines hands the server's log lines to slog.
type logLines struct {
	logger *slog.Logger
	fatal  chan string // the first fatal line
}

func (l *logLines) Noticef(format string, v ...any) { l.logger.Debug(l.line(format, v)) }
func (l *logLines) Warnf(format string, v ...any)   { l.logger.Warn(l.line(format, v)) }
func (l *logLines) Errorf(format string, v ...any)  { l.logger.Error(l.line(format, v)) }
func (l *logLines) Debugf(format string, v ...any)  { l.logger.Debug(l.line(format, v)) }
func (l *logLines) Tracef(format string, v ...any)  { l.logger.Debug(l.line(format, v)) }

// Fatalf does not end the process: Start returns the line as its error.
func (l *logLines) Fatalf(format string, v ...any) {
	line := fmt.Sprintf(format, v...)
	l.logger.Error("log server: " + line)
	select {
	case l.fatal <- line:
	default:
	}
}

func (l *logLines) line(format string, v []any) string {
	return "log server: " + fmt.Sprintf(format, v...)
}
