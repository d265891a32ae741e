// Synth shows what each generator of defects makes of one's own good images,
// and how often it makes nothing that can be seen.
//
//	synth -data FOLDER -out FILE.png [-seed N] [-least F] [-exact]
//	      [-generators LIST] [-size N] [-rows N] [-images N] [-draws N]
//	      [-weights FILE] [-table FILE] [-bins] [-good N]
//
// FOLDER holds good images, or one folder a class with images in it or
// below it in train/good; folders named test or ground_truth are passed over.
// FILE.png gets a contact sheet: for some images of each class the original
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
	"strings"

	"github.com/gotab/gotab/examples/internal/inputs"
	"github.com/gotab/gotab/examples/internal/process"
	"github.com/gotab/gotab/internal/atomicfile"
	"github.com/gotab/gotab/synth"
	"github.com/gotab/gotab/synth/sheet"
)

func main() { process.Main("", errUsage, run) }

var (
	errUsage = errors.New("synth: wrong arguments")
	wrong    = process.Wrong(errUsage)
)

// options are the flags.
type options struct {
	sheet.Config
	data, out     string
	weights, json string // network and file of the table of twins
	bins          bool
	good          int
	reading       inputs.Flags
}

func parse(args []string, stderr io.Writer) (options, error) {
	o := options{Config: sheet.Default()}
	fs := flag.NewFlagSet("synth", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.StringVar(&o.data, "data", "", "`folder` of good images, or of class folders (required)")
	fs.StringVar(&o.out, "out", "", "`file` for the contact sheet, a PNG (required)")
	fs.Uint64Var(&o.Seed, "seed", 1, "seed of every draw")
	fs.Float64Var(&o.Least, "least", 6, "least mean change inside the mask, in `grey levels`, that counts as seen")
	fs.BoolVar(&o.Exact, "exact", false, "show the first draw that is placed, however faint")
	names := sheet.Names()
	generators := fs.String("generators", strings.Join(names[:len(o.Columns)], ","), "`list` with commas, of: "+strings.Join(names, " "))
	fs.IntVar(&o.Size, "size", 224, "side, in `pixels`, to which images are resized before they are damaged")
	fs.IntVar(&o.Rows, "rows", 1, "images of each class on the sheet")
	fs.IntVar(&o.Images, "images", 8, "images of each class that are read, evenly spread over its files")
	fs.IntVar(&o.Draws, "draws", 100, "draws of each generator and class behind the table")
	fs.StringVar(&o.weights, "weights", "", "`file` of a network's weights: measure what twins are to it")
	fs.StringVar(&o.json, "table", "", "`file` for that table as JSON")
	fs.BoolVar(&o.bins, "bins", false, "tell sizes and strengths apart in that table")
	fs.IntVar(&o.good, "good", 200, "good images of each class, at most, behind that table")
	o.reading.AddThreads(fs)
	if err := process.Parse(fs, args, errUsage); err != nil {
		return o, err
	}
	switch {
	case o.data == "":
		return o, wrong("-data is missing, a folder of good images")
	case o.out == "":
		return o, wrong("-out is missing, the PNG file to write")
	case !(o.Least >= 0 && o.Least <= 255):
		return o, wrong("-least is %g, want 0 to 255", o.Least)
	case o.Size < synth.MinSide || o.Size > 2048:
		return o, wrong("-size is %d, want %d to 2048", o.Size, synth.MinSide)
	case o.Rows < 1 || o.Images < o.Rows:
		return o, wrong("-rows is %d and -images %d, want 1 <= rows <= images", o.Rows, o.Images)
	case o.Draws < 1:
		return o, wrong("-draws is %d, want at least 1", o.Draws)
	case o.weights == "" && (o.json != "" || o.bins):
		return o, wrong("-table and -bins need -weights, the network to measure in")
	case o.good < 4:
		return o, wrong("-good is %d, want at least 4", o.good)
	case o.weights != "" && o.Size < 32:
		return o, wrong("-size is %d, a network takes images of 32 or more", o.Size)
	}
	var err error
	if o.Columns, err = sheet.Named(strings.Split(*generators, ",")...); err != nil {
		return o, wrong("-generators: %w", err)
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
		return wrong("%w", err)
	}
	all, err := sheet.Open(o.data)
	if err != nil {
		return fmt.Errorf("synth: %w", err)
	}
	blocks, err := sheet.SurveyAll(ctx, all, o.Config, stderr)
	if err != nil {
		return err
	}
	if err := sheet.WriteTable(stdout, blocks, o.Config); err != nil {
		return err
	}
	if err := atomicfile.Write(o.out, func(w io.Writer) error { return sheet.Write(w, blocks, o.Config) }); err != nil {
		return fmt.Errorf("synth: write the sheet: %w", err)
	}
	if _, err = fmt.Fprintf(stdout, "\nsheet: %s\n", o.out); err != nil || o.weights == "" {
		return err
	}
	return o.measure(ctx, all, stdout)
}
