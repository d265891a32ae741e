package training

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"

	"github.com/gotab/gotab/internal/atomicfile"
	"github.com/gotab/gotab/tab"
)

// Start is what a process knows of how it was started.
type Start struct {
	// Continue goes on from a checkpoint, whoever wrote it, where there is one.
	Continue bool `json:"continue"`
	// Starter names what has started this process and starts it again, as an agent of
	// torchrun does: the same for all attempts of a job, another one in another job. ""
	// where it is not known.
	Starter string `json:"starter"`
	// Attempt counts the restarts, from 0. It decides where no rank knows its starter.
	Attempt int `json:"attempt"`
}

// GoesOn says whether the run of the weights out goes on from its checkpoint: where there
// is one, and a rank asks for it (Start.Continue) or the run has been started again. A run
// has been started again where one of the present starters began it or went on with it, as
// FILE.ckpt.run says: starters outlive their processes, their counts differ, and a
// checkpoint that is there may be of an older run. Without starters it is where a count is
// not 0.
//
// g is the group of the ranks, all of which call GoesOn and get one answer, that of rank 0,
// which alone looks at the files; nil is a process by itself. Where there are starters, it notes them, and puts
// the checkpoint of another run aside as FILE.ckpt.old. Errors: those of the group, of
// files, and [tab.ErrCheckpoint] for a note that is none.
func GoesOn(ctx context.Context, g tab.Group, out string, s Start) (bool, error) {
	if out == "" {
		return false, fmt.Errorf("training: go on: %w: the name of the weights is empty", ErrConfig)
	}
	if !many(g) {
		return goesOn(out, []Start{s})
	}
	own, err := json.Marshal(s)
	if err != nil {
		return false, err
	}
	given, err := gather(ctx, g, own)
	if err != nil {
		return false, err
	}
	var a answer
	if first(g) {
		all, err := starts(given)
		if err == nil {
			a.GoesOn, err = goesOn(out, all)
		}
		if err != nil {
			a.Failed = err.Error()
			_, told := gather(ctx, g, a.encode())
			return false, errors.Join(err, told)
		}
	}
	if given, err = gather(ctx, g, a.encode()); err != nil {
		return false, err
	}
	if err := json.Unmarshal(given[0], &a); err != nil {
		return false, fmt.Errorf("training: go on: %w: rank 0 gives no answer; all ranks must be the same program", tab.ErrPeer)
	}
	if a.Failed != "" {
		return false, &tab.PeerError{Message: a.Failed}
	}
	return a.GoesOn, nil
}

// gather is that of a group which gives as many answers as it has ranks.
func gather(ctx context.Context, g tab.Group, own []byte) ([][]byte, error) {
	all, err := g.Gather(ctx, own)
	if err == nil && len(all) != g.Size() {
		err = fmt.Errorf("%w: %d answers of %d ranks", tab.ErrPeer, len(all), g.Size())
	}
	if err != nil {
		return nil, fmt.Errorf("training: go on: %w", err)
	}
	return all, nil
}

// answer is what rank 0 tells the others.
type answer struct {
	GoesOn bool   `json:"goes_on"`
	Failed string `json:"failed,omitempty"`
}

func (a answer) encode() []byte {
	b, _ := json.Marshal(a) // a bool and a string
	return b
}

// starts reads what the ranks give.
func starts(given [][]byte) ([]Start, error) {
	out := make([]Start, len(given))
	for i, b := range given {
		if err := json.Unmarshal(b, &out[i]); err != nil {
			return nil, fmt.Errorf("training: go on: %w: rank %d says what nobody understands; all ranks must be the same program", tab.ErrPeer, i)
		}
	}
	return out, nil
}

// goesOn decides for all ranks and leaves the note of their starters.
func goesOn(out string, all []Start) (bool, error) {
	asked, again := false, false
	var present []string
	for _, s := range all {
		asked, again = asked || s.Continue, again || s.Attempt > 0
		if s.Starter != "" {
			present = append(present, s.Starter)
		}
	}
	slices.Sort(present)
	present = slices.Compact(present)
	noted, err := readStarters(starters(out))
	if err != nil && !asked { // who asks needs no note
		return false, err
	}
	if len(present) > 0 {
		again = slices.ContainsFunc(present, func(s string) bool { return slices.Contains(noted, s) })
	}
	switch _, err := os.Stat(Checkpoint(out)); {
	case errors.Is(err, fs.ErrNotExist):
		asked, again = false, false
	case err != nil:
		return false, err
	}
	if len(present) == 0 {
		return asked || again, nil
	}
	// First it is put aside: else a note without it would make an older one this run's.
	if !asked && !again {
		if err := setAside(out); err != nil {
			return false, err
		}
	}
	return asked || again, writeStarters(starters(out), present)
}

// starters is the file that names who has started the run of some weights.
func starters(out string) string { return Checkpoint(out) + ".run" }

// note is that file.
type note struct {
	Kind     string   `json:"kind"`
	Version  int      `json:"version"`
	Starters []string `json:"starters"`
}

const (
	noteKind    = "gotab starters of a run"
	noteVersion = 1
	// maxNote is enough for one starter of 32 letters a rank, with what JSON puts around.
	maxNote = 4 << 20 // bytes
)

// readStarters returns the names that a file notes, none where there is no file.
func readStarters(path string) (names []string, err error) {
	f, err := os.Open(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	b, err := io.ReadAll(io.LimitReader(f, maxNote+1))
	if err != nil {
		return nil, err
	}
	var n note
	switch err := json.Unmarshal(b, &n); {
	case err != nil || len(b) > maxNote || n.Kind != noteKind:
		return nil, fmt.Errorf("training: go on: %w: %s does not note who started a run; remove it, and ask to continue where the checkpoint is of this run", tab.ErrCheckpoint, path)
	case n.Version != noteVersion:
		return nil, fmt.Errorf("training: go on: %w: %s has version %d, this program reads %d", tab.ErrCheckpoint, path, n.Version, noteVersion)
	}
	return n.Starters, nil
}

func writeStarters(path string, names []string) error {
	b, err := json.Marshal(note{noteKind, noteVersion, names})
	if err == nil && len(b) > maxNote {
		err = fmt.Errorf("training: go on: %w: the names of %d starters take %d bytes, want %d at most", ErrConfig, len(names), len(b), maxNote)
	}
	if err != nil {
		return err
	}
	return atomicfile.Write(path, func(w io.Writer) error {
		_, err := w.Write(append(b, '\n'))
		return err
	})
}
