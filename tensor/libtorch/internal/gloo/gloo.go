// Package gloo puts the headers of gloo into the cache folder. libtorch carries gloo
// itself and, in its wheel, the headers of c10d, which include gloo's; those are in
// Debian's package libgloo-dev, of which nothing but the headers is used.
package gloo

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/gotab/gotab/tensor/libtorch/internal/wheels"
)

// ErrHeaders reports that the headers are not to be had.
var ErrHeaders = errors.New("gloo's headers are missing")

// Pin is a package to fetch.
type Pin struct{ Name, Version, SHA256 string }

// Headers are those of May 2022, of Debian 12: the classes that c10d of libtorch 2.1 shares with gloo
// are as they are in the gloo that it carries.
var Headers = Pin{"libgloo-dev", "0.0~git20220518.5b14351-3", "80529c9fd8af452faf489e686b94bf87075965c40673803810c4f41634b1e299"}

// remedy is what helps where they cannot be fetched.
const remedy = "on Debian 12 `apt-get update` may help; elsewhere unpack the headers of " +
	"https://packages.debian.org/bookworm/libgloo-dev and set TAB_GLOO to the folder that holds gloo/"

// Fetcher fetches a package into the cache folder.
type Fetcher struct {
	Root string // cache folder; created where missing
	Pin  Pin
	Log  io.Writer // lines for people
}

// Given returns the folder that TAB_GLOO names, if it holds the headers.
func Given(dir string) (include string, err error) {
	if include, err = filepath.Abs(dir); err != nil {
		return "", fmt.Errorf("TAB_GLOO: %w", err)
	}
	if _, err := os.Stat(filepath.Join(include, "gloo", "config.h")); err != nil {
		return "", fmt.Errorf("TAB_GLOO: %w: %w; it names the folder that holds gloo/", ErrHeaders, err)
	}
	return include, nil
}

// Fetch returns the folder that holds gloo/, after it has made it where it was not
// there. It asks apt for the package, which needs no root, and unpacks it by dpkg.
func (f Fetcher) Fetch(ctx context.Context) (include string, err error) {
	dir := filepath.Join(f.Root, "gloo-"+strings.NewReplacer("~", "-", ":", "-").Replace(f.Pin.Version))
	include = filepath.Join(dir, "usr", "include")
	have := func() bool { _, err := os.Stat(filepath.Join(include, "gloo", "config.h")); return err == nil }
	if have() {
		return include, nil
	}
	unlock, err := wheels.Lock(ctx, f.Root, f.Log)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if have() { // another run has made it
		return include, nil
	}
	tmp, err := os.MkdirTemp(f.Root, "tmp-gloo-")
	if err != nil {
		return "", fmt.Errorf("gloo: %w; set TAB_CACHE to a folder that you can write", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	fmt.Fprintf(f.Log, "libtorch: fetching gloo's headers, %s %s (once; needs a network)\n", f.Pin.Name, f.Pin.Version)
	if err := run(ctx, tmp, "apt-get", "download", f.Pin.Name+"="+f.Pin.Version); err != nil {
		return "", err
	}
	files, err := filepath.Glob(filepath.Join(tmp, "*.deb"))
	if err != nil || len(files) != 1 {
		return "", fmt.Errorf("gloo: %w: apt-get has fetched %d packages, want one; %s", ErrHeaders, len(files), remedy)
	}
	if err := verify(files[0], f.Pin.SHA256); err != nil {
		return "", err
	}
	out := filepath.Join(tmp, "out")
	if err := run(ctx, tmp, "dpkg-deb", "-x", files[0], out); err != nil {
		return "", err
	}
	if _, err := os.Stat(filepath.Join(out, "usr", "include", "gloo", "config.h")); err != nil {
		return "", fmt.Errorf("gloo: %w: the package holds none: %w", ErrHeaders, err)
	}
	if err := os.RemoveAll(dir); err != nil { // without the headers it is no whole copy
		return "", fmt.Errorf("gloo: %w", err)
	}
	if err := os.Rename(out, dir); err != nil {
		return "", fmt.Errorf("gloo: %w", err)
	}
	return include, nil
}

// run runs a program of the system in a folder.
func run(ctx context.Context, dir, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	said, err := cmd.CombinedOutput()
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if len(said) > 2000 {
		said = said[len(said)-2000:]
	}
	return fmt.Errorf("gloo: %w: %s %s: %w: %s; %s", ErrHeaders, name, strings.Join(args, " "), err, strings.TrimSpace(string(said)), remedy)
}

// verify compares a file, which is 50 KB long, with its hash.
func verify(path, want string) (err error) {
	in, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("gloo: %w", err)
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	h := sha256.New()
	if _, err := io.Copy(h, in); err != nil {
		return fmt.Errorf("gloo: %w", err)
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != want {
		return fmt.Errorf("gloo: %w: %s has %s, not %s", wheels.ErrHash, filepath.Base(path), got, want)
	}
	return nil
}
