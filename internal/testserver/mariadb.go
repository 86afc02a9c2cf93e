package testserver

import (
	"context"
	"database/sql"
	"fmt"
	"hash/fnv"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/go-sql-driver/mysql"
)

const mariaDBInstall = "sudo apt-get install -y mariadb-server"

// MariaDBOption changes how a private MariaDB is started.
type MariaDBOption interface{ mariaDB(*mariaDBConfig) }

type mariaDBOption func(*mariaDBConfig)

func (o mariaDBOption) mariaDB(c *mariaDBConfig) { o(c) }

type mariaDBConfig struct {
	settings

	extra []string
}

// MariaDBArgs passes further arguments to mariadbd; they win over ours.
// "--innodb-flush-log-at-trx-commit=0" spares a test the fsync of each commit.
func MariaDBArgs(args ...string) MariaDBOption {
	return mariaDBOption(func(c *mariaDBConfig) { c.extra = append(c.extra, args...) })
}

// MariaDB starts a private MariaDB server on one port, each commit durable. Its
// URL is a DSN for go-sql-driver/mysql of root, who has no password, and of an
// empty database tapedeck. Character sets are the server's own defaults
// (latin1): who needs another one must say so.
func MariaDB(t T, options ...MariaDBOption) *Server {
	t.Helper()
	var config mariaDBConfig
	for _, option := range options {
		option.mariaDB(&config)
	}
	return start(t, config.settings, engine{
		name:    "mariadbd",
		find:    binary("mariadbd", mariaDBInstall),
		ports:   1,
		prepare: mariaDBPrepare,
		args:    config.args,
		url:     func(addr string) string { return mariaDBConnection(addr, "tapedeck").FormatDSN() },
		ready:   mariaDBReady,
	})
}

// mariaDBFormat decides what the files look like: the template is made, and
// the server is run, with the same.
var mariaDBFormat = []string{
	"--no-defaults", "--skip-name-resolve", "--innodb-log-file-size=32M", "--innodb-buffer-pool-dump-at-shutdown=OFF",
}

func (c mariaDBConfig) args(s *Server) []string {
	args := append(slices.Clone(mariaDBFormat),
		"--datadir="+mariaDBFolder(s), "--port="+strconv.Itoa(s.ports[0]), "--bind-address=127.0.0.1",
		// Relative to the data folder: the path of a socket is limited to 107 bytes.
		"--socket=s", "--pid-file=pid",
		"--init-file="+filepath.Join(s.dir, "init.sql"),
		"--innodb-buffer-pool-size=64M", "--innodb-buffer-pool-load-at-startup=OFF",
		"--performance-schema=OFF", "--skip-log-bin",
	)
	return append(append(args, asRoot()...), c.extra...)
}

// asRoot is what mariadbd wants to hear before it runs as root.
func asRoot() []string {
	if os.Geteuid() == 0 {
		return []string{"--user=root"}
	}
	return nil
}

func mariaDBFolder(s *Server) string { return filepath.Join(s.data, "mariadb") }

// mariaDBPrepare gives a new server the data folder of a freshly installed one.
func mariaDBPrepare(s *Server) error {
	init := []byte("CREATE DATABASE IF NOT EXISTS tapedeck;\n")
	if err := os.WriteFile(filepath.Join(s.dir, "init.sql"), init, 0o600); err != nil {
		return err
	}
	dir := mariaDBFolder(s)
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	template, err := mariaDBTemplate()
	if err != nil {
		return err
	}
	// Renamed when it is whole: a folder that stays may be opened again after
	// a kill at any time.
	part := dir + ".part"
	if err := os.RemoveAll(part); err != nil {
		return err
	}
	if err := os.CopyFS(part, os.DirFS(template)); err != nil {
		return fmt.Errorf("copy %s: %w", template, err)
	}
	return os.Rename(part, dir)
}

// mariaDBTemplate returns an installed data folder. Installing takes seconds,
// so it is kept for all later servers of this version and format.
func mariaDBTemplate() (string, error) {
	server, err := binary("mariadbd", mariaDBInstall)()
	if err != nil {
		return "", err
	}
	version, err := exec.CommandContext(context.Background(), server, "--version").Output()
	if err != nil {
		return "", fmt.Errorf("%s --version: %w", server, err)
	}
	key := fnv.New64a()
	fmt.Fprintf(key, "%s %q", version, mariaDBFormat)
	return cached(fmt.Sprintf("mariadb-%x", key.Sum64()), func(dir string) error {
		installer, err := binary("mariadb-install-db", mariaDBInstall)()
		if err != nil {
			return err
		}
		args := append(slices.Clone(mariaDBFormat), "--datadir="+dir, "--auth-root-authentication-method=normal", "--skip-test-db")
		out, err := exec.CommandContext(context.Background(), installer, append(args, asRoot()...)...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%s: %w: %s", installer, err, out)
		}
		return nil
	})
}

func mariaDBConnection(addr, database string) *mysql.Config {
	config := mysql.NewConfig()
	config.User, config.Net, config.Addr, config.DBName = "root", "tcp", addr, database
	return config
}

// mariaDBReady waits for the answer of a server that works on our folder:
// another may have taken the port.
func mariaDBReady(ctx context.Context, s *Server) error {
	config := mariaDBConnection(s.Addr(), "")
	config.Logger = &mysql.NopLogger{} // dials until the server is ready are no news
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return err
	}
	db := sql.OpenDB(connector)
	defer db.Close()
	var dir string
	if err := db.QueryRowContext(ctx, "SELECT @@datadir").Scan(&dir); err != nil {
		return err
	}
	if strings.TrimSuffix(dir, "/") != mariaDBFolder(s) {
		return fmt.Errorf("another server answers on %s", s.Addr())
	}
	return nil
}
