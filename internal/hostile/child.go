package hostile

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	childEnv   = "GOTAB_HOSTILE_CHILD" // the journal's path, in the child alone
	childStart = "GOTAB_HOSTILE_START" // how many calls earlier children made
	finished   = "all calls have been made"
	maxDeaths  = 20
)

// InChild runs body in a process of its own, this test run again, because native
// code that is called with hostile values may end the process. body asks step
// before each call and leaves the call out where step says no. What ends the
// process is named, and a new process goes on behind it. In the child body reports
// its own failures to t.
func InChild(t *testing.T, body func(step func(call string) bool)) {
	t.Helper()
	if journal := os.Getenv(childEnv); journal != "" {
		follow(t, journal, body)
		return
	}
	journal := filepath.Join(t.TempDir(), "journal")
	start := 0
	for range maxDeaths {
		cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=20m")
		cmd.Env = append(os.Environ(), childEnv+"="+journal, childStart+"="+strconv.Itoa(start))
		out, err := cmd.CombinedOutput()
		last, rerr := os.ReadFile(journal)
		if rerr != nil {
			t.Fatalf("the child has called nothing: %v, %v\n%s", err, rerr, tail(out))
		}
		at, call, _ := strings.Cut(string(last), " ")
		if call == finished {
			if err != nil {
				t.Errorf("%v\n%s", err, tail(out))
			}
			t.Logf("%s calls", at)
			return
		}
		t.Errorf("the process ends (%v) in %s\n%s", err, call, tail(out))
		n, err := strconv.Atoi(at)
		if err != nil {
			t.Fatal(err)
		}
		start = n
	}
	t.Error("and so on")
}

// follow is InChild in the child. The journal has the number and the name of the
// call that goes on.
func follow(t *testing.T, journal string, body func(step func(call string) bool)) {
	t.Helper()
	start, err := strconv.Atoi(os.Getenv(childStart))
	if err != nil {
		t.Fatal(err)
	}
	n, now := 0, ""
	watch := time.AfterFunc(maxTime, func() {
		fmt.Fprintf(os.Stderr, "hostile: %s hangs\n", now)
		os.Exit(2)
	})
	defer watch.Stop()
	write := func(call string) {
		if err := os.WriteFile(journal, fmt.Appendf(nil, "%d %s", n, call), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	body(func(call string) bool {
		if n++; n <= start {
			return false
		}
		watch.Reset(maxTime)
		now = call
		write(call)
		return true
	})
	write(finished)
}

func tail(out []byte) string {
	const most = 20000
	if len(out) > most {
		return "..." + string(out[len(out)-most:])
	}
	return string(out)
}
