package article

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gotab/gotab/downstream/classify/compare"
	"github.com/gotab/gotab/evaluate"
	"github.com/gotab/gotab/evaluate/study"
	"github.com/gotab/gotab/tab/card"
)

// runner makes one table.
type runner struct {
	o     Config
	table table
	data  data
	*study.Runner

	sums     map[string]string // of images, by the classes that are kept out
	held     []string          // classes that are kept out of training, for want of other data
	columns  []column
	failures []string // of trainings and programs
}

// all trains, judges and prints. The start comes first, then each network as it is
// trained; the table is written after each.
func (r *runner) all(ctx context.Context) (text string, err error) {
	if len(r.data.own) == 0 {
		return "", fmt.Errorf("%w: Data holds nothing to train on", ErrConfig)
	}
	if err := r.holdOut(); err != nil {
		return "", err
	}
	j, err := r.judge()
	if err != nil {
		return "", err
	}
	r.columns = []column{{"start", study.Start}}
	var trainings [][]string
	for _, n := range r.table.networks { // what is missing is found before the first hour
		args, name, err := r.training(ctx, n)
		if err != nil {
			return "", err
		}
		trainings = append(trainings, args)
		r.columns = append(r.columns, column{n.label, name})
	}
	var failed error
	step := func(v study.Variant, args []string) error {
		if args != nil {
			if err := r.Train(ctx, v, args); ctx.Err() != nil {
				return fmt.Errorf("stopped: %w", ctx.Err())
			} else if err != nil {
				failed = errors.Join(failed, err)
				r.failures = append(r.failures, err.Error())
				fmt.Fprintln(r.Log, err)
				return r.print(ctx, j, &text)
			}
		}
		if err := j.judge(ctx, v); errors.Is(err, study.ErrTrials) {
			failed = errors.Join(failed, err)
		} else if err != nil {
			return err
		}
		return r.print(ctx, j, &text)
	}
	if err := step(study.StartOf(r.o.Start), nil); err != nil {
		return text, err
	}
	for i, args := range trainings {
		for seed := range uint64(r.o.Seeds) {
			name := r.columns[i+1].name
			v := study.Variant{Training: evaluate.Training{Name: name, Seed: seed + 1, Share: 1}, File: r.Weights(name, seed+1)}
			if err := step(v, args); err != nil {
				return text, errors.Join(failed, err)
			}
		}
	}
	return text, failed
}

// judge is what one set of weights is put to, and the table of it.
type judge interface {
	// judge returns study.ErrTrials for what failed and was noted.
	judge(ctx context.Context, v study.Variant) error
	body(ctx context.Context, b *strings.Builder) error
}

func (r *runner) judge() (judge, error) {
	if r.table.wafers {
		if r.data.wafer == "" {
			return nil, fmt.Errorf("%w: table %d needs wafer maps: Data has no file *.npz in MixedWM38's format", ErrConfig, r.o.Table)
		}
		return &classifying{r, map[string][]compare.Report{}}, nil
	}
	d := &detecting{runner: r}
	of, keep := r.data.own, func(string) bool { return true }
	if r.table.cross {
		of = r.data.other
		if r.held != nil {
			of, keep = r.data.own, func(c string) bool { return slices.Contains(r.held, c) }
		}
	}
	if d.tested = sets(of, keep, r.Log); len(d.tested) == 0 {
		return nil, fmt.Errorf("%w: no class of Data has good images for training and test images of both kinds", ErrConfig)
	}
	for _, m := range r.table.methods {
		if !r.o.wanted(m) {
			continue
		}
		fits, err := r.o.fits(m)
		if err != nil {
			return nil, err
		}
		d.methods, d.fits = append(d.methods, m), append(d.fits, fits...)
	}
	if len(d.fits) == 0 {
		return nil, fmt.Errorf("%w: Methods names none of the table's: %v", ErrConfig, r.table.methods)
	}
	return d, nil
}

// detecting fits detectors.
type detecting struct {
	*runner
	tested  []study.Set
	methods []method
	fits    []study.Fit
	judged  []study.Judged
}

func (d *detecting) judge(ctx context.Context, v study.Variant) error {
	found, err := d.Judge(ctx, v, d.tested, d.fits)
	d.judged = append(d.judged, found...)
	return err
}

// print makes the table as it is by now and writes it.
func (r *runner) print(ctx context.Context, j judge, text *string) error {
	var b strings.Builder
	if err := r.head(&b); err != nil {
		return err
	}
	if err := j.body(ctx, &b); err != nil {
		return err
	}
	r.foot(&b)
	*text = b.String()
	return r.write(*text)
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
		return fmt.Errorf("%w: table %d needs other data than is trained on: BTAD or KolektorSDD2 beside another data set below Data, or a data set of two classes or more, half of which are kept out of training", ErrConfig, r.o.Table)
	}
	return nil
}

// training makes the flags of a training, and its name, which depends on all of them and
// on the start: a folder may hold the trainings of several tables and settings.
func (r *runner) training(ctx context.Context, n network) (args []string, name string, err error) {
	keep := func(c string) bool { return !slices.Contains(r.held, c) }
	images, err := r.imagesSum(ctx, keep)
	if err != nil {
		return nil, "", err
	}
	// Copies of other data, or of fewer classes, have a folder of their own.
	dir := filepath.Join(r.o.Out, "data", "good-"+images[:8])
	folders, err := trainFolders(ctx, r.data.own, dir, r.held == nil, keep)
	if err != nil {
		return nil, "", err
	}
	args = r.o.flags(n)
	anchors := ""
	flags := slices.Clone(args)
	if n.prompts != "" {
		bank, err := r.bank(ctx, n.prompts, images, folders)
		if err != nil {
			return nil, "", err
		}
		file, err := card.FileAt(bank)
		if err != nil {
			return nil, "", err
		}
		anchors = file.SHA256
		args = append(args, "-bank", bank)
	}
	for _, f := range folders {
		args = append(args, "-data", f)
	}
	start, err := r.startSum()
	if err != nil {
		return nil, "", err
	}
	b, err := json.Marshal([]any{flags, anchors, images, start})
	if err != nil {
		return nil, "", err
	}
	label := n.label
	if n.prompts == fullPrompts && slices.Equal(n.flags, []string{"-recipe", r.o.Recipe}) {
		label = "TAB" // the same training, whatever a table calls it
	}
	words := strings.FieldsFunc(strings.ToLower(label), func(c rune) bool { return (c < 'a' || c > 'z') && (c < '0' || c > '9') })
	sum := sha256.Sum256(b)
	return append(args, r.o.Machine...), fmt.Sprintf("%s-%x", strings.Join(words, "-"), sum[:4]), nil
}

// imagesSum is the sum of the images that a training reads, in hexadecimal: their classes,
// names and contents. It is computed once for each choice of classes.
func (r *runner) imagesSum(ctx context.Context, keep func(class string) bool) (string, error) {
	held := strings.Join(r.held, "\x00")
	if sum, ok := r.sums[held]; ok {
		return sum, nil
	}
	var images []card.Image
	for _, s := range r.data.own {
		for i := range s.Len() {
			if it := s.Item(i); trains(it) && keep(it.Class) {
				images = append(images, card.Image{Class: s.name + "/" + it.Class, Name: it.Name, Open: func() (io.ReadCloser, error) { return s.contents(ctx, i) }})
			}
		}
	}
	classes, err := card.Data(ctx, images)
	if err != nil {
		return "", err
	}
	b, err := json.Marshal(classes)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(b)
	if r.sums == nil {
		r.sums = map[string]string{}
	}
	r.sums[held] = hex.EncodeToString(sum[:])
	return r.sums[held], nil
}

// bank is the text bank of a list of sentences; the program bank makes it where a CLIP
// model is at hand.
func (r *runner) bank(ctx context.Context, prompts, images string, folders []string) (string, error) {
	o := r.o
	switch {
	case o.Table == 8 && o.Bank != "":
		return "", fmt.Errorf("%w: table 8 compares lists of sentences, so that one Bank is not enough: give CLIP, or Banks with a bank for each list", ErrConfig)
	case o.Banks != "":
		file := filepath.Join(o.Banks, prompts+".safetensors")
		if _, err := os.Stat(file); err != nil {
			return "", fmt.Errorf("%w: Banks: %w", ErrConfig, err)
		}
		return file, nil
	case o.Bank != "":
		return o.Bank, nil
	case o.CLIP == "":
		return "", fmt.Errorf("%w: text anchors are needed: give Bank, Banks or CLIP", ErrConfig)
	}
	clip, err := sumOfPath(o.CLIP)
	if err != nil {
		return "", err
	}
	// A bank is of the classes and of the model that it was made of.
	file := filepath.Join(o.Out, "banks", fmt.Sprintf("%s-%s-%s.safetensors", prompts, images[:8], clip[:8]))
	if _, err := os.Stat(file); err == nil {
		return file, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return "", err
	}
	args := append([]string{"-clip", o.CLIP, "-prompts", prompts, "-out", file}, o.machine()...)
	for _, f := range folders {
		args = append(args, "-data", f)
	}
	if err := r.Program(ctx, o.programs["bank"], args, file+".log"); err != nil {
		return "", fmt.Errorf("bank of %s: %w", prompts, err)
	}
	return file, nil
}

// sumOfPath is the sum of a file, or of the names and sizes of the files in a folder,
// whose contents may be gigabytes.
func sumOfPath(path string) (string, error) {
	st, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if !st.IsDir() {
		file, err := card.FileAt(path)
		if err != nil {
			return "", err
		}
		return file.SHA256, nil
	}
	h := sha256.New()
	entries, err := os.ReadDir(path)
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			return "", err
		}
		fmt.Fprintf(h, "%q %d %d\n", e.Name(), info.Size(), info.ModTime().UnixNano())
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
