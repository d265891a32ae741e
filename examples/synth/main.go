// Synth shows what each generator of defects makes of one's own good pictures,
// and how often it makes nothing that can be seen.
//
//	synth -data FOLDER -out FILE.png [-seed N] [-least F] [-exact]
//	      [-generators LIST] [-size N] [-rows N] [-images N] [-draws N]
//	      [-weights FILE] [-table FILE] [-bins] [-good N]
//
// FOLDER holds good pictures, or one folder a class with pictures in it or
// below it in train/good; folders named test or ground_truth are passed over.
// FILE.png gets a contact sheet: for some pictures of each class the original
// and, side by side for all generators, the damaged twin, the mask of what
// changed, and the difference (four times as strong).
//
// A table on the standard output says, class by class, which share of draws
// made nothing to be seen: not placed at all, or changed by less than -least
// grey levels on average inside their mask. In the sheet each generator draws
// again, up to twenty times, until it is seen; -exact shows the first draw that
// is placed, as the articles use it. The same seed gives the same sheet.
//
// With -weights, a network as torchvision saves it (safetensors or .pth), a
// second table says what the twins of each kind in the mixture are to each class
// in that network: within the spread of good parts, where they count as normal;
// far outside, where they are seen already; or between, where there is something
// to learn. It also gives the weights that a mixture for the class would have.
// -bins tells sizes and strengths apart, -table writes the whole as JSON.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/examples/internal/inputs"
	"github.com/gotab/gotab/examples/internal/process"
	"github.com/gotab/gotab/internal/atomicfile"
	"github.com/gotab/gotab/synth"
)

func main() { process.Main("", errUsage, run) }

var errUsage = errors.New("synth: wrong arguments")

// options are the flags.
type options struct {
	data, out                 string
	seed                      uint64
	least                     float64
	exact                     bool
	generators                []generator
	size, rows, images, draws int
	weights, json             string // network and file of the table of twins
	bins                      bool
	good                      int
	reading                   inputs.Flags
}

// generator is one column of the sheet.
type generator struct {
	name string
	gen  synth.Generator
}

// known are the generators that can be asked for, in the order of the sheet: the
// kinds of the mixture that pre-training draws from, one by one and together, and
// the generators of articles and of their released code.
func known() []generator {
	var all []generator
	mixture := synth.DefaultMixture()
	for _, list := range [][]synth.Ingredient{mixture.Kinds, mixture.Normal} {
		for _, g := range list {
			all = append(all, generator{"mix-" + g.Kind.Short(), g.Generator})
		}
	}
	return append(all, []generator{
		{"mixture", mixture},
		{"nsa", synth.DefaultNSA()},
		{"nsa-texture", synth.TextureNSA()},
		{"nsa-ellipse", synth.EllipseShapes(synth.ObjectNSA())},
		{"cutpaste", synth.DefaultCutPaste()},
		{"scar", synth.ScarCutPaste()},
		{"perlin", synth.DefaultPerlin()},
		{"mask", synth.DefaultMask()},
		{"tab", synth.OfficialTAB()},
		{"tab-cutpaste", synth.OfficialTABCutPaste()},
		{"tab-perlin", synth.OfficialTABPerlin()},
		{"draem", synth.DRAEMPerlin()},
		{"riad", synth.RIADMask()},
	}...)
}

const defaultGenerators = "mix-nsa,mix-patch,mix-scar,mix-texture,mix-noise,mix-stain,mix-warp,mix-unchanged,mix-seam"

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	var list string
	var names []string
	for _, g := range known() {
		names = append(names, g.name)
	}
	fs := flag.NewFlagSet("synth", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.StringVar(&o.data, "data", "", "`folder` of good pictures, or of class folders (required)")
	fs.StringVar(&o.out, "out", "", "`file` for the contact sheet, a PNG (required)")
	fs.Uint64Var(&o.seed, "seed", 1, "seed of every draw")
	fs.Float64Var(&o.least, "least", 6, "least mean change inside the mask, in `grey levels`, that counts as seen")
	fs.BoolVar(&o.exact, "exact", false, "show the first draw that is placed, however faint")
	fs.StringVar(&list, "generators", defaultGenerators, "`list` with commas, of: "+strings.Join(names, " "))
	fs.IntVar(&o.size, "size", 224, "side, in `pixels`, to which pictures are resized before they are damaged")
	fs.IntVar(&o.rows, "rows", 1, "pictures of each class on the sheet")
	fs.IntVar(&o.images, "images", 8, "pictures of each class that are read, evenly spread over its files")
	fs.IntVar(&o.draws, "draws", 100, "draws of each generator and class behind the table")
	fs.StringVar(&o.weights, "weights", "", "`file` of a network's weights: measure what twins are to it")
	fs.StringVar(&o.json, "table", "", "`file` for that table as JSON")
	fs.BoolVar(&o.bins, "bins", false, "tell sizes and strengths apart in that table")
	fs.IntVar(&o.good, "good", 200, "good pictures of each class, at most, behind that table")
	o.reading.AddThreads(fs)
	if err := process.Parse(fs, args, errUsage); err != nil {
		return o, err
	}
	switch {
	case o.data == "":
		return o, fmt.Errorf("%w: -data is missing, a folder of good pictures", errUsage)
	case o.out == "":
		return o, fmt.Errorf("%w: -out is missing, the PNG file to write", errUsage)
	case !(o.least >= 0 && o.least <= 255):
		return o, fmt.Errorf("%w: -least is %g, want 0 to 255", errUsage, o.least)
	case o.size < synth.MinSide || o.size > 2048:
		return o, fmt.Errorf("%w: -size is %d, want %d to 2048", errUsage, o.size, synth.MinSide)
	case o.rows < 1 || o.images < o.rows:
		return o, fmt.Errorf("%w: -rows is %d and -images %d, want 1 <= rows <= images", errUsage, o.rows, o.images)
	case o.draws < 1:
		return o, fmt.Errorf("%w: -draws is %d, want at least 1", errUsage, o.draws)
	case o.weights == "" && (o.json != "" || o.bins):
		return o, fmt.Errorf("%w: -table and -bins need -weights, the network to measure in", errUsage)
	case o.good < 4:
		return o, fmt.Errorf("%w: -good is %d, want at least 4", errUsage, o.good)
	case o.weights != "" && o.size < 32:
		return o, fmt.Errorf("%w: -size is %d, a network takes pictures of 32 or more", errUsage, o.size)
	}
	for _, name := range strings.Split(list, ",") {
		i := slices.Index(names, strings.TrimSpace(name))
		if i < 0 {
			return o, fmt.Errorf("%w: -generators: %q is not known, want some of %s", errUsage, name, strings.Join(names, ", "))
		}
		o.generators = append(o.generators, known()[i])
	}
	return o, nil
}

// run is the program without the process around it.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	if err := o.reading.UseThreads(); err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	all, err := find(o.data)
	if err != nil {
		return err
	}
	var blocks []block
	for _, class := range all.Classes() {
		fmt.Fprintf(stderr, "%s: %d pictures\n", class, dataset.Only(all, class, "").Len())
		b, err := o.block(ctx, all, class)
		if err != nil {
			return err
		}
		blocks = append(blocks, b)
	}
	if err := o.table(stdout, blocks); err != nil {
		return err
	}
	if err := atomicfile.Write(o.out, func(w io.Writer) error { return o.sheet(w, blocks) }); err != nil {
		return fmt.Errorf("synth: write the sheet: %w", err)
	}
	if _, err = fmt.Fprintf(stdout, "\nsheet: %s\n", o.out); err != nil || o.weights == "" {
		return err
	}
	return o.measure(ctx, all, stdout)
}

// table prints the rates.
func (o options) table(w io.Writer, blocks []block) error {
	fmt.Fprintf(w, "Share of %d draws with nothing to be seen: not placed, or below %g grey levels on average.\n", o.draws, o.least)
	fmt.Fprintf(w, "In brackets the median change of the draws that were placed, in grey levels. \"apart\" is how far two good\n"+
		"pictures are from each other: on uneven material a change well below it looks like good material.\n\n")
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprint(t, "class\tapart")
	for _, g := range o.generators {
		fmt.Fprintf(t, "\t%s", g.name)
	}
	fmt.Fprintln(t)
	for _, b := range blocks {
		fmt.Fprintf(t, "%s\t%.1f", b.class, b.apart)
		for _, r := range b.rates {
			fmt.Fprintf(t, "\t%s (%.1f)", unseen(r), r.Median)
		}
		fmt.Fprintln(t)
	}
	return t.Flush()
}

// unseen says which share of draws shows nothing, or that they are not meant to.
func unseen(r synth.Rate) string {
	if r.Normal > 0 && r.Normal == r.Draws-r.Unplaced {
		return "normal"
	}
	return fmt.Sprintf("%.0f %%", 100*r.Share())
}
