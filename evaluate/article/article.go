// Package article makes the tables of the article (TAB, arXiv 2312.09480) on data and
// weights of one's own: it pre-trains what a table compares, fits the detectors, and writes
// the table with paired differences from the weights that all began with.
//
// Trainings (without a Trainer), text banks and classifiers of wafer maps are runs of the programs pretrain, bank
// and classify of this module. All tables may share one folder: what is done is not done again.
package article

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/evaluate"
	"github.com/gotab/gotab/evaluate/detectors"
	"github.com/gotab/gotab/evaluate/study"
	"github.com/gotab/gotab/internal/atomicfile"
	"github.com/gotab/gotab/tensor"
)

// Config says which table is made, and of what.
type Config struct {
	// Table is a number of the article: 1 detection, 2 localisation (both with few-shot
	// columns), 3 classification of wafer maps, 4 other data sets, 5 ways to pre-train, 6 kinds
	// of damaged twins, 7 what the loss aligns, 8 sentences.
	Table int
	// Data is one data set in a layout that dataset.Open knows, or a folder of several: BTAD,
	// KolektorSDD2 and MixedWM38 are what a network is carried over to, any other with test
	// images is what it is trained and tested on.
	Data string
	// Start is the file with the weights that all begin with, a ResNet-18's.
	Start string
	// Out is the folder of weights, logs, records and tables.
	Out string
	// Bank is the file of a text bank with the classes of the data; CLIP, in its place, the weights
	// of a CLIP model; Banks a folder of banks, one for each list of sentences of table 8.
	Bank, CLIP, Banks string
	// Recipe is that of pretrain for the column TAB: paper, official or amplify.
	Recipe string
	// Seeds is the number of trainings of each network, 1 to 100. Draws is that of the seeds
	// of each detector, up to 1000; 0 is one, PaDiM's the reference's draw of channels. Epochs are
	// those of detectors that train; 0 their articles'.
	Seeds, Draws, Epochs int
	// Methods are names of detectors, to leave out others of the table; none for all.
	Methods []string
	// Layers are what the detectors read, layer 4 for example, in place of each one's own; none for these.
	Layers []backbone.Layer
	// Small takes a few steps of each training: to try the whole way.
	Small bool
	// Tools is the folder of the programs; empty looks beside this one and in the PATH.
	Tools string
	// Trainer trains in the place of the program pretrain; nil for none.
	Trainer study.Trainer
	// Pretrain are further flags of pretrain, Machine those of every program about where it
	// runs, such as -threads. All get Device by -device before them.
	Pretrain, Machine []string
	Device            tensor.Device
	// Kinds are the detectors that are known, at least one.
	Kinds []detectors.Kind
	// Log gets a line for what is done; nil for nowhere.
	Log io.Writer

	programs map[string]string // files
}

// Default is the article's own recipe, trained once, with all detectors of this module.
func Default() Config { return Config{Recipe: "paper", Seeds: 1, Kinds: detectors.Kinds()} }

// ErrConfig reports settings that make no sense, or data that a table cannot be made of.
var ErrConfig = errors.New("wrong settings")

// Recipes are the values of Config.Recipe.
func Recipes() []string { return []string{"paper", "official", "amplify"} }

// Validate names the first field that makes no sense; the error wraps [ErrConfig].
func (o Config) Validate() error {
	wrong := func(format string, a ...any) error {
		return fmt.Errorf("article: %w: "+format, append([]any{ErrConfig}, a...)...)
	}
	switch {
	case o.Table < 1 || o.Table > 8:
		return wrong("Table is %d, want 1 to 8", o.Table)
	case o.Data == "" || o.Start == "" || o.Out == "":
		return wrong("Data, Start and Out are all needed")
	case o.Seeds < 1 || o.Seeds > 100 || o.Draws < 0 || o.Draws > 1000 || o.Epochs < 0:
		return wrong("Seeds is %d, Draws %d, Epochs %d: want 1 to 100, 0 to 1000, and 0 or more", o.Seeds, o.Draws, o.Epochs)
	case !slices.Contains(Recipes(), o.Recipe):
		return wrong("Recipe is %q, want one of %v", o.Recipe, Recipes())
	case len(o.Kinds) == 0:
		return wrong("Kinds is empty, the detectors that are known (detectors.Kinds)")
	case o.Table > 5 && o.Recipe != "paper":
		return wrong("Recipe is %q, and table %d takes the article's recipe apart", o.Recipe, o.Table)
	}
	if o.Table == 3 && len(o.Layers) > 0 {
		return wrong("Layers are of detectors, and table 3 has none")
	}
	for i, l := range o.Layers {
		if l < backbone.Stem || l > backbone.Layer4 || slices.Contains(o.Layers[:i], l) {
			return wrong("%w: Layers is %v, want stages from stem to layer4, none twice", backbone.ErrLayer, o.Layers)
		}
	}
	for _, m := range o.Methods {
		if !slices.ContainsFunc(o.Kinds, func(k detectors.Kind) bool { return k.Name == m }) {
			return wrong("Methods has %q, and Kinds has no such detector", m)
		}
	}
	return nil
}

// Run makes a table and returns it as Markdown; it also stands in Out as tableN.md, as it
// is by then, after each network. Fits and trainings that fail are noted in it and returned
// together in the end, with the table. Settings that make no sense are [ErrConfig].
func Run(ctx context.Context, o Config) (text string, err error) {
	if err := o.Validate(); err != nil {
		return "", err
	}
	if o.Log == nil {
		o.Log = io.Discard
	}
	t := tableOf(o)
	if err := o.findPrograms(t); err != nil {
		return "", err
	}
	d, err := openData(ctx, o.Data, o.Log)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	if err := os.MkdirAll(o.Out, 0o755); err != nil {
		return "", err
	}
	store, err := evaluate.OpenStore(filepath.Join(o.Out, "records.jsonl"), true)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	if err := store.Unlocked(); err != nil {
		fmt.Fprintf(o.Log, "note: two that write these results at once would not be kept apart: %v\n", err)
	}
	r := &runner{o: o, table: t, data: d, Runner: &study.Runner{Start: o.Start, Out: o.Out, Pretrain: o.programs["pretrain"], Trainer: o.Trainer, Device: o.Device, Store: store, Log: o.Log}}
	return r.all(ctx)
}

// write puts the table as it is by now into the folder.
func (r *runner) write(text string) error {
	return atomicfile.Write(filepath.Join(r.o.Out, fmt.Sprintf("table%d.md", r.o.Table)), func(w io.Writer) error {
		_, err := io.WriteString(w, text)
		return err
	})
}

// findPrograms looks for the programs that a table needs, before the first hour is spent.
func (o *Config) findPrograms(t table) error {
	o.programs = map[string]string{}
	for name, needed := range map[string]bool{"pretrain": o.Trainer == nil, "bank": o.CLIP != "", "classify": t.wafers} {
		if !needed {
			continue
		}
		var err error
		if o.Tools != "" {
			o.programs[name] = filepath.Join(o.Tools, name)
			if _, err = os.Stat(o.programs[name]); err != nil {
				return fmt.Errorf("article: %w: Tools: %w", ErrConfig, err)
			}
		} else if o.programs[name], err = study.FindProgram(name); err != nil {
			return fmt.Errorf("article: %w: Tools is empty: %w", ErrConfig, err)
		}
	}
	return nil
}
