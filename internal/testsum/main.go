// Testsum reads what `go test -json` writes from its standard input. It prints the lines that the go command prints
// without -json, the whole output of what failed, and at the end every test that was skipped with its reason. A skipped
// test is otherwise invisible, so a machine without the data or the device of a test looks as green as one with them.
//
// The exit status is 1 if a test, a package or a build failed or no test ran, and 2 if the input is no such stream.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

func main() {
	s, err := summarize(os.Stdin, os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "testsum:", err)
		os.Exit(2)
	}
	if s.failed() {
		os.Exit(1)
	}
}

// event is one line of the stream (go doc cmd/test2json).
type event struct {
	Action, Package, Test, Output, ImportPath string
}

// skip is a test that did not run.
type skip struct{ pkg, test, reason string }

// summary counts tests, subtests included, and packages.
type summary struct {
	passed, failedTests, failedPackages int
	skips                               []skip
}

func (s summary) failed() bool {
	return s.failedTests > 0 || s.failedPackages > 0 || s.passed == 0
}

// summarize copies the stream of in to out in short form.
func summarize(in io.Reader, out io.Writer) (summary, error) {
	var s summary
	w := bufio.NewWriter(out)
	output := map[[2]string][]string{} // of each package and test that has not ended
	d := json.NewDecoder(in)
	for {
		var e event
		if err := d.Decode(&e); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return s, errors.Join(fmt.Errorf("the input is not a stream of `go test -json`: %w", err), w.Flush())
		}
		if err := s.add(e, output, w); err != nil {
			return s, err
		}
	}
	s.close(w)
	return s, w.Flush()
}

// add takes one event. A package's lines appear when the package ends, as the go command prints them.
func (s *summary) add(e event, output map[[2]string][]string, w *bufio.Writer) error {
	at := [2]string{e.Package, e.Test}
	switch e.Action {
	case "build-output":
		fmt.Fprint(w, e.Output)
		return nil
	case "output":
		output[at] = append(output[at], e.Output)
		return nil
	case "pass", "fail", "skip":
	default:
		return nil
	}
	lines := output[at]
	delete(output, at)
	if e.Test == "" {
		for _, l := range lines {
			if l != "PASS\n" && l != "FAIL\n" {
				fmt.Fprint(w, l)
			}
		}
		if e.Action == "fail" {
			s.failedPackages++
		}
		return w.Flush()
	}
	switch e.Action {
	case "pass":
		s.passed++
	case "fail":
		s.failedTests++
		for _, l := range lines {
			fmt.Fprint(w, l)
		}
	case "skip":
		s.skips = append(s.skips, skip{e.Package, e.Test, reason(lines)})
	}
	return nil
}

// reason is the message of a skipped test: what testing printed between the frame lines, without the file and line
// before it.
func reason(lines []string) string {
	var out []string
	for _, l := range lines {
		l = strings.TrimSpace(l)
		if l == "" || strings.HasPrefix(l, "=== ") || strings.HasPrefix(l, "--- ") {
			continue
		}
		if file, rest, ok := strings.Cut(l, ": "); ok && strings.Contains(file, ".go:") {
			l = rest
		}
		out = append(out, l)
	}
	if len(out) == 0 {
		return "no reason given"
	}
	return strings.Join(out, " ")
}

// close prints the skipped tests and the counts.
func (s *summary) close(w io.Writer) {
	slices.SortFunc(s.skips, func(a, b skip) int {
		return strings.Compare(a.pkg+" "+a.test, b.pkg+" "+b.test)
	})
	if len(s.skips) > 0 {
		fmt.Fprintln(w, "Skipped:")
	}
	for _, k := range s.skips {
		fmt.Fprintf(w, "  %s %s: %s\n", k.pkg, k.test, k.reason)
	}
	if s.failedPackages > 0 {
		fmt.Fprintf(w, "%d packages failed\n", s.failedPackages)
	}
	fmt.Fprintf(w, "%d passed, %d failed, %d skipped\n", s.passed, s.failedTests, len(s.skips))
}
