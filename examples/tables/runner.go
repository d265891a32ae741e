package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gotab/gotab/evaluate"
	"github.com/gotab/gotab/examples/internal/study"
)

// runner makes one table.
type runner struct {
	o     options
	table table
	data  data
	*study.Runner

	held     []string // classes that are kept out of training, for want of other data
	judged   []study.Judged
	failures []string
}

// all trains, judges and prints. The table is written after each network.
func (r *runner) all(ctx context.Context) (text string, err error) {
	if err := r.holdOut(); err != nil {
		return "", err
	}
	if r.table.wafers && r.data.wafer == "" {
		return "", fmt.Errorf("%w: table %d needs wafer maps: -data has no file *.npz in MixedWM38's format", errUsage, r.o.table)
	}
	if len(r.data.own) == 0 {
		return "", fmt.Errorf("%w: -data holds nothing to train on", errUsage)
	}
	columns := []column{{"start", study.Start}}
	variants := []study.Variant{study.StartOf(r.o.start)}
	var failed error
	for _, n := range r.table.networks {
		args, name, err := r.training(ctx, n)
		if err != nil {
			return "", err
		}
		columns = append(columns, column{n.label, name})
		for seed := range uint64(r.o.seeds) {
			v := study.Variant{Training: evaluate.Training{Name: name, Seed: seed + 1, Share: 1}, File: r.Weights(name, seed+1)}
			if err := r.Train(ctx, v, args); ctx.Err() != nil {
				return "", fmt.Errorf("stopped: %w", ctx.Err())
			} else if err != nil {
				failed = errors.Join(failed, err)
				r.failures = append(r.failures, err.Error())
				fmt.Fprintln(r.Log, err)
				continue
			}
			variants = append(variants, v)
		}
	}
	if r.table.wafers {
		text, err = r.classify(ctx, columns, variants)
	} else {
		text, err = r.detect(ctx, columns, variants)
	}
	return text, errors.Join(failed, err)
}

// detect fits and scores on all networks, and prints.
func (r *runner) detect(ctx context.Context, columns []column, variants []study.Variant) (text string, err error) {
	of, keep := r.data.own, func(string) bool { return true }
	if r.table.cross {
		of = r.data.other
		if r.held != nil {
			of, keep = r.data.own, func(c string) bool { return slices.Contains(r.held, c) }
		}
	}
	tested := sets(of, keep, r.Log)
	if len(tested) == 0 {
		return "", fmt.Errorf("%w: no class of -data has good images for training and test images of both kinds", errUsage)
	}
	var fits []study.Fit
	for _, m := range r.table.methods {
		if !r.o.wanted(m) {
			continue
		}
		more, err := r.o.fits(m)
		if err != nil {
			return "", err
		}
		fits = append(fits, more...)
	}
	if len(fits) == 0 {
		return "", fmt.Errorf("%w: -methods leaves none of the table's out, which has %v", errUsage, r.table.methods)
	}
	var failed error
	for _, v := range variants {
		found, err := r.Judge(ctx, v, tested, fits)
		r.judged = append(r.judged, found...)
		if errors.Is(err, study.ErrTrials) {
			failed = errors.Join(failed, err)
		} else if err != nil {
			return text, err
		}
		if text, err = r.print(ctx, columns, tested); err != nil {
			return text, err
		}
		if err := r.write(text); err != nil {
			return text, err
		}
	}
	return text, failed
}

// holdOut keeps every second class out of the training of a table about other data, where
// the root has none.
func (r *runner) holdOut() error {
	if !r.table.cross || len(r.data.other) > 0 {
		return nil
	}
	var all []string
	for _, s := range r.data.own {
		all = append(all, s.Classes()...)
	}
	slices.Sort(all)
	for i, c := range all {
		if i%2 == 1 {
			r.held = append(r.held, c)
		}
	}
	if len(r.held) == 0 {
		return fmt.Errorf("%w: table %d needs other data than is trained on: BTAD or KolektorSDD2 beside another data set below -data, or a data set of two classes or more, half of which are kept out of training", errUsage, r.o.table)
	}
	return nil
}

// training makes the flags of a training, and its name, which depends on all of them and
// on the start: a folder may hold the trainings of several tables and settings.
func (r *runner) training(ctx context.Context, n network) (args []string, name string, err error) {
	dir := filepath.Join(r.o.out, "data", "good")
	if r.held != nil {
		dir = filepath.Join(r.o.out, "data", "without-"+strings.Join(r.held, "-"))
	}
	folders, err := trainFolders(ctx, r.data.own, dir, r.held == nil, func(c string) bool { return !slices.Contains(r.held, c) })
	if err != nil {
		return nil, "", err
	}
	args = r.o.flags(n)
	if n.prompts != "" {
		bank, err := r.bank(ctx, n.prompts, folders)
		if err != nil {
			return nil, "", err
		}
		args = append(args, "-bank", bank)
	}
	for _, f := range folders {
		args = append(args, "-data", f)
	}
	start, err := r.startSum()
	if err != nil {
		return nil, "", err
	}
	b, err := json.Marshal([]any{args, start})
	if err != nil {
		return nil, "", err
	}
	words := strings.FieldsFunc(strings.ToLower(n.label), func(c rune) bool { return (c < 'a' || c > 'z') && (c < '0' || c > '9') })
	sum := sha256.Sum256(b)
	return append(args, r.o.machine()...), fmt.Sprintf("%s-%x", strings.Join(words, "-"), sum[:4]), nil
}

// bank is the text bank of a list of sentences; the program bank makes it where a CLIP
// model is at hand.
func (r *runner) bank(ctx context.Context, prompts string, folders []string) (string, error) {
	o := r.o
	switch {
	case o.table == 8 && o.bank != "":
		return "", fmt.Errorf("%w: table 8 compares lists of sentences, so that one -bank is not enough: give -clip, or -banks with a bank for each list", errUsage)
	case o.banks != "":
		file := filepath.Join(o.banks, prompts+".safetensors")
		if _, err := os.Stat(file); err != nil {
			return "", fmt.Errorf("%w: -banks: %w", errUsage, err)
		}
		return file, nil
	case o.bank != "":
		return o.bank, nil
	case o.clip == "":
		return "", fmt.Errorf("%w: text anchors are needed: give -bank, -banks or -clip", errUsage)
	}
	file := filepath.Join(o.out, "banks", prompts+".safetensors")
	if _, err := os.Stat(file); err == nil {
		return file, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return "", err
	}
	args := []string{"-clip", o.clip, "-prompts", prompts, "-out", file}
	for _, f := range folders {
		args = append(args, "-data", f)
	}
	if err := r.Program(ctx, o.bankFile, args, file+".log"); err != nil {
		return "", fmt.Errorf("bank of %s: %w", prompts, err)
	}
	return file, nil
}
