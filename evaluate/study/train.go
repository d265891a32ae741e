package study

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/evaluate"
	"github.com/gotab/gotab/internal/atomicfile"
)

// Start is what the weights of the start are called, as a recipe.
const Start = "start"

// Variant is one set of weights: a training and a share of it.
type Variant struct {
	evaluate.Training
	File string // that holds the trained weights
}

// StartOf are the weights of a file as those that all begin with.
func StartOf(file string) Variant {
	return Variant{evaluate.Training{Name: Start, Share: 1}, file}
}

// String tells a variant from all others.
func (v Variant) String() string {
	text := v.Name
	if v.Seed != 0 {
		text += fmt.Sprintf(" seed %d", v.Seed)
	}
	if v.Share != 1 {
		text += fmt.Sprintf(" a=%g", v.Share)
	}
	return text
}

// Group is what variants have in common that differ in the seed alone.
func (v Variant) Group() string { v.Seed = 0; return v.String() }

// GroupOf is the group of a record; empty where no study made it.
func GroupOf(r evaluate.Record) string {
	if r.Training == nil {
		return ""
	}
	return Variant{Training: *r.Training}.Group()
}

// Weights is the file of a training.
func (r *Runner) Weights(name string, seed uint64) string {
	return filepath.Join(r.Out, "weights", fmt.Sprintf("%s-%d.safetensors", name, seed))
}

// Trainer trains a variant in the place of the program pretrain and writes its weights to
// v.File. flags are that program's arguments, and the Trainer must parse them: those that the caller of
// [Runner.Train] gave, behind -device, and before -init, -seed, -out and -log. What is at v.File + ".ckpt" is
// its own, and -resume among the flags says that it is there.
type Trainer func(ctx context.Context, v Variant, flags []string) error

// ErrProgram reports a program that was not found.
var ErrProgram = errors.New("the program was not found")

// FindPretrain looks for the program pretrain, beside this one and in the PATH, before
// the first hour is spent.
func (r *Runner) FindPretrain() (err error) {
	if r.Pretrain == "" && r.Trainer == nil {
		r.Pretrain, err = FindProgram("pretrain")
	}
	return err
}

// FindProgram looks for a program of this repository beside the one that runs and in the
// PATH. It returns [ErrProgram] if there is none.
func FindProgram(name string) (string, error) {
	if own, err := os.Executable(); err == nil {
		beside := filepath.Join(filepath.Dir(own), name)
		if st, err := os.Stat(beside); err == nil && st.Mode().IsRegular() {
			return beside, nil
		}
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("%w: %s is neither beside this program nor in the PATH: build both into one folder (go build -o FOLDER ./examples/...): %w", ErrProgram, name, err)
	}
	return path, nil
}

// recipe is the value of the last -recipe among flags.
func recipe(flags []string) (name string) {
	for i, f := range flags {
		if f == "-recipe" && i+1 < len(flags) {
			name = flags[i+1]
		} else if v, ok := strings.CutPrefix(f, "-recipe="); ok {
			name = v
		}
	}
	return name
}

// Train runs the program pretrain, or the Trainer, with the flags, -device before them and -init, -seed, -out
// and, but for a -recipe none, which takes no step, -log behind, unless the weights of v are there; a training that was stopped goes on from its
// checkpoint. One that leaves no weights has failed, whatever it says. Why it failed is kept beside the weights,
// see [Failure].
func (r *Runner) Train(ctx context.Context, v Variant, flags []string) error {
	if _, err := os.Stat(v.File); err == nil {
		return nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(v.File), 0o755); err != nil {
		return err
	}
	args := append([]string{"-device", r.Device.String()}, flags...)
	args = append(args, "-init", r.Start, "-seed", fmt.Sprint(v.Seed), "-out", v.File)
	if recipe(flags) != "none" {
		args = append(args, "-log", v.File+".jsonl")
	}
	if _, err := os.Stat(v.File + ".ckpt"); err == nil {
		args = append(args, "-resume")
	}
	begin := time.Now()
	var err error
	if r.Trainer != nil {
		err = r.Trainer(ctx, v, args)
	} else {
		err = r.Program(ctx, r.Pretrain, args, v.File+".log")
	}
	if err == nil {
		err = written(v.File)
	}
	if err != nil {
		err = fmt.Errorf("%s seed %d: pretrain: %w", v.Name, v.Seed, err)
	}
	if err = Note(ctx, v, err); err == nil {
		fmt.Fprintf(r.log(), "%s seed %d: trained in %s\n", v.Name, v.Seed, time.Since(begin).Round(time.Second))
	}
	return err
}

// written says whether a training has left its weights.
func written(file string) error {
	st, err := os.Stat(file)
	if err == nil && !st.Mode().IsRegular() {
		err = fmt.Errorf("%s is no file: %w", file, fs.ErrInvalid)
	}
	if err != nil {
		return fmt.Errorf("it ended without an error and left no weights: %w", err)
	}
	return nil
}

// Note keeps why the weights of a variant could not be made, for [Failure], and forgets
// an older reason where err is nil. What failed because ctx ended has no reason of its
// own. It returns err, joined with that of writing. The folder of v.File must be there.
func Note(ctx context.Context, v Variant, err error) error {
	switch {
	case err == nil:
		if err := os.Remove(failureFile(v)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	case ctx.Err() != nil:
		return err
	}
	return errors.Join(err, atomicfile.Write(failureFile(v), func(w io.Writer) error {
		_, err := io.WriteString(w, err.Error()+"\n")
		return err
	}))
}

// Program runs a program whose output goes to the end of a log file. When ctx ends it is
// interrupted, so that it can keep a checkpoint, and killed a minute later.
func (r *Runner) Program(ctx context.Context, program string, args []string, logFile string) error {
	log, err := os.OpenFile(logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	fmt.Fprintf(r.log(), "%s %q\n", filepath.Base(program), args)
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
	cmd.WaitDelay = time.Minute
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%w; see %s", err, logFile)
	}
	return nil
}

func failureFile(v Variant) string { return v.File + ".failed" }

// Failure is why the last training of a variant failed; empty where none did.
func Failure(v Variant) (string, error) {
	f, err := os.Open(failureFile(v))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer f.Close()
	const most = 4096
	b, err := io.ReadAll(io.LimitReader(f, most))
	return string(b), err
}

// CopyGood copies images of MVTec AD's layout below root to another folder of that
// layout, those of train/good whose class and place among its good images keep tells
// of. It returns the classes that it met.
func CopyGood(ctx context.Context, root, to string, keep func(class string, good dataset.Dataset) []int) ([]string, error) {
	all, err := dataset.OpenMVTecAD(root, "", dataset.Train)
	if err != nil {
		return nil, err
	}
	for _, class := range all.Classes() {
		good, err := dataset.OpenMVTecAD(root, class, dataset.Train)
		if err != nil {
			return nil, err
		}
		for _, i := range keep(class, good) {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			name := filepath.FromSlash(good.Item(i).Name)
			out := filepath.Join(to, class, "train", "good", filepath.Base(name))
			if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
				return nil, err
			}
			if err := copyFile(out, filepath.Join(root, class, name), filepath.Join(root, name)); err != nil {
				return nil, err
			}
		}
	}
	return all.Classes(), nil
}

// copyFile copies the first file that is there: names are relative to the class or to the
// root.
func copyFile(to string, from ...string) error {
	for _, name := range from {
		f, err := os.Open(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		defer f.Close()
		return atomicfile.Write(to, func(w io.Writer) error {
			_, err := io.Copy(w, f)
			return err
		})
	}
	return fmt.Errorf("%s: %w", from, fs.ErrNotExist)
}
