package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"github.com/seed-744e3d1b/tapedeck/internal/testserver"
)

// run starts the servers and returns the exit code of what ran beside them.
func (c *cli) run(o *owner, interrupts <-chan os.Signal) int {
	at := func(name string) testserver.Option { return testserver.Folder(filepath.Join(c.Dir, name)) }
	redis := testserver.Redis(o, at("redis"), testserver.Ports(c.RedisPort), testserver.AOF("everysec"))
	o.Cleanup(redis.Stop)
	mariaDB := testserver.MariaDB(o, at("mariadb"), testserver.Ports(c.MysqlPort))
	o.Cleanup(mariaDB.Stop)
	clickHouse := testserver.ClickHouse(o, at("clickhouse"), testserver.Ports(c.ClickhousePort, c.HTTPPort))
	o.Cleanup(clickHouse.Stop)
	for name, value := range map[string]string{
		"TAPEDECK_REDIS_URL":      redis.URL(),
		"TAPEDECK_MYSQL_DSN":      mariaDB.URL(),
		"TAPEDECK_CLICKHOUSE_DSN": clickHouse.URL(),
		"TAPEDECK_LOOK":           c.look(),
	} {
		if err := os.Setenv(name, value); err != nil {
			o.Fatalf("%v", err)
		}
	}
	fmt.Printf("export TAPEDECK_REDIS_URL='%s'\nexport TAPEDECK_MYSQL_DSN='%s'\nexport TAPEDECK_CLICKHOUSE_DSN='%s'\n",
		redis.URL(), mariaDB.URL(), clickHouse.URL())
	if len(c.Command) == 0 {
		<-interrupts
		return 0
	}
	select {
	case <-interrupts: // while the servers started
		return 130
	default:
		return runBeside(c.Command, interrupts)
	}
}

// look is what a visitor types to see the tiers for themselves.
func (c *cli) look() string {
	return fmt.Sprintf(`  redis-cli -p %d HGETALL held_days:55009728
  mariadb --protocol=tcp -h 127.0.0.1 -P %d -u root tapedeck -e 'SELECT account_id, broker, total_assets FROM account'
  curl -s 'http://127.0.0.1:%d/?database=tapedeck' -d 'SELECT order_type, count(), sum(amount) FROM trade GROUP BY order_type ORDER BY order_type'`,
		c.RedisPort, c.MysqlPort, c.HTTPPort)
}

// runBeside runs the command and returns its exit code. It passes on a request
// to terminate, but no Ctrl-C: that one it has already.
func runBeside(command []string, interrupts <-chan os.Signal) int {
	cmd := exec.CommandContext(context.Background(), command[0], command[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		fmt.Fprintln(os.Stderr, "servers:", err)
		return 1
	}
	go func() {
		for s := range interrupts {
			if s == syscall.SIGTERM {
				_ = cmd.Process.Signal(s) // it may have ended by itself
			}
		}
	}()
	_ = cmd.Wait() // told by the exit code
	return cmd.ProcessState.ExitCode()
}
