package evaluate

import (
	"fmt"
	"strconv"
	"strings"
)

// Part is one of several processes that share work out among them, on one machine or many: the
// units i, i+Count, i+2 Count and so on are Index's, from 0. All parts must see the same units in the same
// order. Each has a [Store] of its own ([Part.Path]), so that none waits for another, and
// [MergeRecords] puts these together. The zero value is all of the work.
type Part struct{ Index, Count int }

// auto is the text for what the starter of jobs says.
const auto = "auto"

// starters are who starts many processes, and how they number them from 0 and count
// them. A Slurm array begins where its user says, and its count is that of the tasks that were
// submitted, which is another one when a few of them are submitted again.
func starters() []struct{ name, index, count string } {
	return []struct{ name, index, count string }{
		{"a Slurm array", "SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT"},
		{"an indexed job of Kubernetes", "JOB_COMPLETION_INDEX", ""},
		{"torchrun", "RANK", "WORLD_SIZE"},
		{"Slurm", "SLURM_PROCID", "SLURM_NTASKS"},
	}
}

// ParsePart reads "I/N", part I of N from 0; "auto/N", whose I is in the environment
// (SLURM_ARRAY_TASK_ID, JOB_COMPLETION_INDEX, RANK, SLURM_PROCID: the first one there);
// or "auto", where N is there too (SLURM_ARRAY_TASK_COUNT of an array that begins at 0,
// WORLD_SIZE, SLURM_NTASKS). Give N, so that tasks which are submitted again are the same parts
// as before. getenv is os.Getenv. It returns [ErrPart] for anything else.
func ParsePart(text string, getenv func(string) string) (Part, error) {
	fail := func(format string, args ...any) (Part, error) {
		return Part{}, fmt.Errorf("evaluate: %w: %q: %s", ErrPart, text, fmt.Sprintf(format, args...))
	}
	index, count, counted := strings.Cut(text, "/")
	if index != auto && !counted {
		return fail("want I/N, auto/N or auto")
	}
	if index == auto {
		if getenv == nil {
			return fail("there is no environment")
		}
		found := false
		for _, s := range starters() {
			v := getenv(s.index)
			if v == "" {
				continue
			}
			index, found = v, true
			if counted {
				break
			}
			if s.count == "" || getenv(s.count) == "" {
				return fail("%s says which part this is (%s=%s) and not of how many: give auto/N", s.name, s.index, v)
			}
			if first := getenv("SLURM_ARRAY_TASK_MIN"); s.index == "SLURM_ARRAY_TASK_ID" && first != "0" {
				return fail("the Slurm array begins at %q, and parts are counted from 0: submit --array=0-%s, or give auto/N", first, "N-1")
			}
			count = getenv(s.count)
			break
		}
		if !found {
			return fail("nothing in the environment says which part this is")
		}
	}
	p := Part{}
	var err error
	if p.Index, err = strconv.Atoi(index); err != nil {
		return fail("the part is %q, want a whole number", index)
	}
	if p.Count, err = strconv.Atoi(count); err != nil {
		return fail("the number of parts is %q, want a whole number", count)
	}
	if err := p.Validate(); err != nil || p.Count == 0 {
		return fail("part %d of %d: want 0 to N-1 of 1 or more", p.Index, p.Count)
	}
	return p, nil
}

// Validate returns [ErrPart] for a part that there is not.
func (p Part) Validate() error {
	if p == (Part{}) || p.Count >= 1 && p.Index >= 0 && p.Index < p.Count {
		return nil
	}
	return fmt.Errorf("evaluate: %w: part %d of %d", ErrPart, p.Index, p.Count)
}

// Has says whether unit i is this part's.
func (p Part) Has(i int) bool { return p.Count <= 1 || i >= 0 && i%p.Count == p.Index }

// String returns "I/N".
func (p Part) String() string { return fmt.Sprintf("%d/%d", p.Index, p.Count) }

// Path is the file of this part: "results.jsonl" becomes "results.3-of-8.jsonl". All of the
// work has the path as it is.
func (p Part) Path(path string) string {
	if p.Count == 0 || path == "" {
		return path
	}
	at := len(path)
	if dot := strings.LastIndexByte(path, '.'); dot > strings.LastIndexAny(path, `/\`)+1 {
		at = dot
	}
	return fmt.Sprintf("%s.%d-of-%d%s", path[:at], p.Index, p.Count, path[at:])
}
