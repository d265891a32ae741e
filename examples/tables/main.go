// Tables makes the tables of the article (TAB, arXiv 2312.09480) on data and weights of
// your own: it pre-trains what a table compares, fits the detectors, and writes the table
// with paired differences from the weights that all began with.
//
//	tables -table N -data ROOT -start FILE -out FOLDER (-bank FILE | -clip FILE | -banks FOLDER)
//	       [-recipe paper|official|amplify] [-seeds N] [-draws N] [-methods NAME,...] [-epochs N]
//	       [-small] [-tools FOLDER] [-device D] [-threads N] [-- FLAGS OF PRETRAIN]
//
// N is a table's number in the article: 1 detection, 2 localisation (both with few-shot
// columns), 3 classification of wafer maps, 4 other data sets, 5 ways to pre-train, 6 kinds of
// damaged twins, 7 what the loss aligns, 8 sentences.
//
// ROOT is one data set in a layout that dataset.Open knows, or a folder of several:
// BTAD, KolektorSDD2 and MixedWM38 are what a network is carried over to, any other with
// test images is what it is trained and tested on. README.md has the rest.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gotab/gotab/evaluate"
	"github.com/gotab/gotab/evaluate/detectors"
	"github.com/gotab/gotab/examples/internal/process"
	"github.com/gotab/gotab/examples/internal/study"
	"github.com/gotab/gotab/internal/atomicfile"
	"github.com/gotab/gotab/tensor"
)

func main() {
	process.Main("tables: ", errUsage, func(ctx context.Context, args []string, stdout, stderr io.Writer) error {
		return run(ctx, args, detectors.Kinds(), stdout, stderr)
	})
}

var errUsage = errors.New("wrong arguments")

// options are the flags.
type options struct {
	table                           int
	data, start, out, tools         string
	bank, banks, clip               string
	recipe                          string
	seeds, draws, epochs            int
	methods                         []string // nil: the table's own
	small                           bool
	device                          string
	threads                         int
	pretrain                        []string // further flags of it
	known                           []detectors.Kind
	pretrainFile, bankFile, clsFile string // programs
}

func parse(args []string, known []detectors.Kind, stderr io.Writer) (o options, err error) {
	o.known = known
	fs := flag.NewFlagSet("tables", flag.ContinueOnError)
	fs.SetOutput(stderr)
	methods := ""
	fs.IntVar(&o.table, "table", 0, "`number` of a table of the article, 1 to 8 (required)")
	fs.StringVar(&o.data, "data", "", "`folder` of a data set, or of several (required)")
	fs.StringVar(&o.start, "start", "", "`file` with the weights that all begin with, a ResNet-18's, such as ImageNet's (required)")
	fs.StringVar(&o.out, "out", "", "`folder` for weights, logs, records and tables; all tables may share one (required)")
	fs.StringVar(&o.bank, "bank", "", "`file` of a text bank with the classes of the data (examples/bank makes one)")
	fs.StringVar(&o.clip, "clip", "", "`file` or folder with a CLIP model's weights, in place of -bank")
	fs.StringVar(&o.banks, "banks", "", "`folder` of text banks, one for each list of sentences of table 8 (one-class.safetensors and so on), in place of -clip")
	fs.StringVar(&o.recipe, "recipe", "paper", "the `recipe` of pretrain for the column TAB: paper, official or amplify")
	fs.IntVar(&o.seeds, "seeds", 1, "`trainings` of each network")
	fs.IntVar(&o.draws, "draws", 0, "`seeds` of each detector; 0: one, PaDiM's the reference's draw of channels")
	fs.IntVar(&o.epochs, "epochs", 0, "`epochs` of detectors that train; 0: their articles'")
	fs.StringVar(&methods, "methods", "", "`names` of detectors with commas, to leave out others of the table")
	fs.BoolVar(&o.small, "small", false, "few steps of each training, whatever classes are there: to try the whole way")
	fs.StringVar(&o.tools, "tools", "", "`folder` of the programs pretrain, bank and classify; default: beside this one or in the PATH")
	fs.StringVar(&o.device, "device", "auto", "auto, cpu, cuda or cuda:N")
	fs.IntVar(&o.threads, "threads", 0, "largest `number` of threads; 0: as many as processors")
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return o, err
		}
		return o, fmt.Errorf("%w: %w", errUsage, err)
	}
	o.pretrain = fs.Args()
	wrong := func(format string, a ...any) (options, error) {
		return o, fmt.Errorf("%w: %s", errUsage, fmt.Sprintf(format, a...))
	}
	if methods != "" {
		o.methods = strings.Split(methods, ",")
	}
	switch {
	case len(o.pretrain) > 0 && !strings.HasPrefix(o.pretrain[0], "-"):
		return wrong("%q is not a flag", o.pretrain[0])
	case o.table < 1 || o.table > 8:
		return wrong("-table is %d, want 1 to 8", o.table)
	case o.data == "" || o.start == "" || o.out == "":
		return wrong("-data, -start and -out are all needed")
	case o.seeds < 1 || o.seeds > 100 || o.draws < 0 || o.draws > 1000 || o.epochs < 0 || o.threads < 0:
		return wrong("-seeds is %d, -draws %d, -epochs %d, -threads %d: want 1 to 100, 0 to 1000, and 0 or more", o.seeds, o.draws, o.epochs, o.threads)
	case !slices.Contains([]string{"paper", "official", "amplify"}, o.recipe):
		return wrong("-recipe is %q, want paper, official or amplify", o.recipe)
	case o.table > 5 && o.recipe != "paper":
		return wrong("-recipe is %q, and table %d takes the article's recipe apart", o.recipe, o.table)
	}
	return o, nil
}

// run is the program without the process around it.
func run(ctx context.Context, args []string, known []detectors.Kind, stdout, stderr io.Writer) (err error) {
	o, err := parse(args, known, stderr)
	if err != nil {
		return err
	}
	if o.threads > 0 {
		if err := tensor.SetThreads(tensor.Threads{Cores: o.threads, PerRun: o.threads}); err != nil {
			return err
		}
	}
	dev, err := tensor.ParseDevice(o.device)
	if err != nil {
		return err
	}
	t := tableOf(o)
	if err := o.findPrograms(t); err != nil {
		return err
	}
	d, err := openData(ctx, o.data, stderr)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	if err := os.MkdirAll(o.out, 0o755); err != nil {
		return err
	}
	store, err := evaluate.OpenStore(filepath.Join(o.out, "records.jsonl"), true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	r := &runner{o: o, table: t, data: d, Runner: &study.Runner{Start: o.start, Out: o.out, Pretrain: o.pretrainFile, Device: dev, Store: store, Log: stderr}}
	text, err := r.all(ctx)
	if text == "" {
		return err
	}
	if _, werr := io.WriteString(stdout, text); werr != nil {
		return errors.Join(err, werr)
	}
	return err
}

// write puts the table as it is by now into the folder.
func (r *runner) write(text string) error {
	return atomicfile.Write(filepath.Join(r.o.out, fmt.Sprintf("table%d.md", r.o.table)), func(w io.Writer) error {
		_, err := io.WriteString(w, text)
		return err
	})
}

// findPrograms looks for the programs that a table needs, before the first hour is spent.
func (o *options) findPrograms(t table) error {
	for _, p := range []struct {
		name   string
		needed bool
		to     *string
	}{{"pretrain", true, &o.pretrainFile}, {"bank", o.clip != "", &o.bankFile}, {"classify", t.wafers, &o.clsFile}} {
		if !p.needed {
			continue
		}
		if o.tools != "" {
			*p.to = filepath.Join(o.tools, p.name)
			if _, err := os.Stat(*p.to); err != nil {
				return fmt.Errorf("%w: -tools: %w", errUsage, err)
			}
			continue
		}
		var err error
		if *p.to, err = study.FindProgram(p.name); err != nil {
			return fmt.Errorf("%w: %w", errUsage, err)
		}
	}
	return nil
}
