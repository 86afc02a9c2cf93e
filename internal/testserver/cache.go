package testserver

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// cacheFolder is where deploy/install-servers.sh puts what it fetches, and
// where things that take seconds to make are kept between test runs.
func cacheFolder() (string, error) {
	if dir := os.Getenv("TAPEDECK_SERVERS"); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.UserCacheDir()
	return filepath.Join(dir, "tapedeck"), err
}

// cached returns the folder of that name in the cache, made by fill when it is
// not there. Several processes may ask at once: each fills a folder of its own
// and the first to finish gives it the name, so a folder with the name is whole.
func cached(name string, fill func(dir string) error) (string, error) {
	cache, err := cacheFolder()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, name)
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	part, err := os.MkdirTemp(cache, "part.")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(part) // gone by then when all went well
	if err := fill(part); err != nil {
		return "", err
	}
	if err := os.Rename(part, dir); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", err
	}
	return dir, nil
}
