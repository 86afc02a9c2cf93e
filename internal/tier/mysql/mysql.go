// Package mysql is the warm tier: accounts, strategies with their parameters,
// and users, in the tables that existing readers know, on MySQL 8.0 or MariaDB
// 10.6 and newer.
//
//	account            one row an account
//	strategy           one row a strategy
//	account_strategy   one row a binding
//	strategy_param     one row a key of a parameter version
//	user, user_role    one row a user, one a role of a user
//	role, permission, role_permission   predefined, see migrations
//	tapedeck_checkpoint, tapedeck_schema   how far the tier is, which migrations ran
//
// A batch is one transaction, checkpoint included. See DESIGN.md in this folder
// and deploy/mysql/init.sql for the columns.
package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	driver "github.com/go-sql-driver/mysql"

	"github.com/seed-744e3d1b/tapedeck/internal/book"
	"github.com/seed-744e3d1b/tapedeck/internal/projector"
)

var kinds = []book.Kind{
	book.KindAccount, book.KindStrategy, book.KindBinding, book.KindParam, book.KindUser, book.KindUserRole,
}

// Options says which database to use and how.
type Options struct {
	// DSN is user:password@tcp(host:port)/database, with the settings that
	// go-sql-driver/mysql knows, or mysql://user:password@host:port/database.
	DSN string
	// TakeOver allows to rename tables aside that have the names of ours and lie
	// in the database without a checkpoint of ours: <table> becomes
	// foreign_<table>. Rows without a checkpoint in tables of ours are deleted.
	TakeOver bool
}

// Tier is the live tier in one database.
type Tier struct {
	db, ddl  *sql.DB
	names    naming
	database string
	takeOver bool
	// schema is the newest that this program knows.
	schema int64
	// owner is what the checkpoint of a shadow must say to be this one.
	owner string
	// ready remembers that the schema was looked at and is as it should be.
	ready bool
}

var _ projector.Live = (*Tier)(nil)

// Open connects, and makes the database when there is none of that name. The
// error of a server that does not answer is transient; one about the DSN wraps
// projector.ErrRefused. No error contains the DSN. Tables are made, migrated and
// looked at by the first method that needs them.
func Open(ctx context.Context, o Options) (*Tier, error) {
	config, err := parseDSN(o.DSN)
	if err != nil {
		return nil, err
	}
	db, err := connect(config)
	if err != nil {
		return nil, err
	}
	op := "open " + config.Addr
	if err := db.PingContext(ctx); number(err) == errNoDatabase {
		err = makeDatabase(ctx, config)
		if err != nil {
			db.Close()
			return nil, wrap(op, err)
		}
	} else if err != nil {
		db.Close()
		return nil, wrap(op, err)
	}
	patient := config.Clone()
	patient.ReadTimeout = ddlTimeout
	patient.Params["lock_wait_timeout"] = "1"
	ddl, err := connect(patient)
	if err != nil {
		db.Close()
		return nil, err
	}
	return &Tier{db: db, ddl: ddl, names: live, database: config.DBName, takeOver: o.TakeOver, schema: newestMigration()}, nil
}

func connect(config *driver.Config) (*sql.DB, error) {
	connector, err := driver.NewConnector(config)
	if err != nil {
		return nil, errDSN
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(4)
	db.SetConnMaxIdleTime(30 * time.Second) // shorter than the session's wait_timeout
	return db, nil
}

func makeDatabase(ctx context.Context, config *driver.Config) error {
	server := config.Clone()
	server.DBName = ""
	db, err := connect(server)
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = db.ExecContext(ctx, "CREATE DATABASE IF NOT EXISTS `"+strings.ReplaceAll(config.DBName, "`", "``")+"` CHARACTER SET utf8mb4 COLLATE utf8mb4_bin")
	return err
}

// Name implements projector.Tier.
func (t *Tier) Name() string { return "mysql" }

// Kinds implements projector.Tier.
func (t *Tier) Kinds() []book.Kind { return slices.Clone(kinds) }

// Close implements projector.Tier. Closing twice does nothing.
func (t *Tier) Close() error {
	if err := errors.Join(t.db.Close(), t.ddl.Close()); err != nil {
		return fmt.Errorf("mysql: close: %w", err)
	}
	return nil
}
