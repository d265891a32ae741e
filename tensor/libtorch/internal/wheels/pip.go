package wheels

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// FindPip returns the command that runs pip: that of a Python on the PATH, else pip itself. Each is tried, since a
// Python without pip is common. python, if not empty, is tried alone.
func FindPip(ctx context.Context, python string) ([]string, error) {
	tries := [][]string{{"python3", "-m", "pip"}, {"pip3"}, {"pip"}, {"python", "-m", "pip"}}
	if python != "" {
		tries = [][]string{{python, "-m", "pip"}}
	}
	var failed []string
	for _, t := range tries {
		path, err := exec.LookPath(t[0])
		if err != nil {
			failed = append(failed, t[0]+" is not on the PATH")
			continue
		}
		cmd := append([]string{path}, t[1:]...)
		out, err := exec.CommandContext(ctx, path, append(t[1:len(t):len(t)], "--version")...).CombinedOutput()
		if err == nil {
			return cmd, nil
		}
		failed = append(failed, strings.Join(t, " ")+": "+lastLines(out, 1))
	}
	return nil, fmt.Errorf("wheels: %w (%s); install Python 3 with pip (Debian, Ubuntu: apt install python3-pip; "+
		"Fedora: dnf install python3-pip), or set TAB_LIBTORCH to an existing libtorch 2.1", ErrPip, strings.Join(failed, "; "))
}

// download lets pip fetch the wheel of pin into dir, showing progress on log, and returns the path of the wheel. dir
// also takes pip's own temporary files, so that removing it removes every trace.
func download(ctx context.Context, pip []string, pin Pin, dir string, log io.Writer, tty bool) (string, error) {
	req := filepath.Join(dir, "requirements.txt")
	line := fmt.Sprintf("%s==%s --hash=sha256:%s\n", pin.Name, pin.Version, pin.SHA256)
	if err := os.WriteFile(req, []byte(line), 0o644); err != nil {
		return "", cacheError(dir, err)
	}
	tmp := filepath.Join(dir, "tmp")
	if err := os.MkdirAll(tmp, 0o755); err != nil {
		return "", cacheError(dir, err)
	}
	// The tags are named, so that the pip of any Python, also of one that this torch knows nothing of, takes the wheel.
	args := append(pip[1:len(pip):len(pip)], "download", "--no-deps", "--no-cache-dir", "--only-binary=:all:", "--require-hashes",
		"--implementation", "cp", "--python-version", "311", "--abi", "cp311",
		"--progress-bar", "off", "-d", dir, "-r", req)
	for _, platform := range pin.platforms() {
		args = append(args, "--platform", platform)
	}
	cmd := exec.CommandContext(ctx, pip[0], args...)
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp, "PIP_REQUIRE_VIRTUALENV=0", "PIP_DISABLE_PIP_VERSION_CHECK=1", "PIP_NO_INPUT=1")
	// Asked to stop, pip gets the chance to clean up, and is killed if it does not.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		return "", fmt.Errorf("wheels: %w: start %s: %v", ErrPip, pip[0], err)
	}
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		watch(stop, dir, pin, log, tty)
	}()
	err := cmd.Wait()
	close(stop)
	<-done
	if ctxErr := ctx.Err(); ctxErr != nil {
		return "", fmt.Errorf("wheels: download %s: %w", pin.File, ctxErr)
	}
	if err != nil {
		return "", pipError(pin, err, out.Bytes())
	}
	found, err := filepath.Glob(filepath.Join(dir, "*.whl"))
	if err != nil || len(found) != 1 {
		return "", fmt.Errorf("wheels: download %s: %w: pip reported success but left %d wheels: %s", pin.File, ErrDownload, len(found), lastLines(out.Bytes(), 5))
	}
	return found[0], nil
}

// pipError turns what pip printed into a sentence that says what to do.
func pipError(pin Pin, err error, out []byte) error {
	text := string(out)
	has := func(parts ...string) bool {
		for _, p := range parts {
			if strings.Contains(text, p) {
				return true
			}
		}
		return false
	}
	kind, advice := ErrDownload, "see what pip says above, or set TAB_LIBTORCH to an existing libtorch 2.1"
	switch {
	case has("No space left on device", "Disk quota exceeded"):
		kind, advice = ErrSpace, "free some, or set TAB_CACHE to a folder on another disk"
	case has("DO NOT MATCH THE HASHES", "HashMismatch"):
		kind, advice = ErrHash, "the package source that pip is set up with serves another file; run again, and if it stays so use another source"
	case has("no such option"):
		advice = "this pip is too old; update it (python3 -m pip install --upgrade pip) and run again"
	case has("No matching distribution", "Could not find a version"):
		advice = "pip's package source does not offer it, or cannot be reached; check the network and pip's settings (pip config list), or set TAB_LIBTORCH"
	case has("Connection", "Max retries", "timed out", "Timeout", "resolve", "SSLError", "ProxyError"):
		advice = "check the network, the proxy and pip's settings (pip config list), then run again: wheels that are complete are not fetched twice"
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return fmt.Errorf("wheels: download %s: %w: %v: %s", pin.File, kind, err, lastLines(out, 6))
	}
	return fmt.Errorf("wheels: download %s: %w; %s\npip said:\n%s", pin.File, kind, advice, lastLines(out, 6))
}

// watch prints how much of the wheel has arrived until stop is closed. pip shows nothing where its output is no
// terminal, so the growing files below dir are measured.
func watch(stop <-chan struct{}, dir string, pin Pin, log io.Writer, tty bool) {
	start, every := time.Now(), 10*time.Second
	if tty {
		every = 500 * time.Millisecond
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			if tty {
				fmt.Fprint(log, "\r\x1b[K")
			}
			return
		case <-tick.C:
		}
		n := min(treeSize(dir), pin.Size) // pip may hold it twice at the end
		rate := float64(n) / time.Since(start).Seconds() / 1e6
		line := fmt.Sprintf("libtorch:   %s %s: %d of %d MB, %.0f %%, %.1f MB/s", pin.Name, pin.Version, n/1e6, pin.Size/1e6,
			100*min(1, float64(n)/float64(max(1, pin.Size))), rate)
		if tty {
			fmt.Fprint(log, "\r\x1b[K", line)
		} else {
			fmt.Fprintln(log, line)
		}
	}
}

// treeSize adds up the files below dir. Files that vanish meanwhile are pip's own affair and count nothing.
func treeSize(dir string) int64 {
	var n int64
	_ = filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil
		}
		if info, err := d.Info(); err == nil {
			n += info.Size()
		}
		return nil
	})
	return n
}

func lastLines(out []byte, n int) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	return strings.TrimSpace(strings.Join(lines, "\n"))
}
