// Figures draws the article's two pictures of what pre-training changes, with numbers beside
// them (TAB, arXiv 2312.09480, figures 5 and 6).
//
//	figures points -data ROOT -weights FILE -compare FILE -out FILE.png [-class A,B]
//	        [-layers L,L] [-twins] [-most N] [-perplexity F] [-seed N] ...
//	figures maps   -data ROOT -weights FILE -compare FILE -out FILE.png [-class A,B]
//	        [-method padim|patchcore] [-rows N] [-same-scale] ...
//
// ROOT holds one folder a class in MVTec AD's layout. -weights and -compare are files with a
// ResNet's weights under torchvision's names, or "random"; the first is what the second is
// held against, ImageNet's weights for example.
//
// points puts good and damaged images on a plane by t-SNE, for each network: the features are
// the means over the image of -layers, layer1 to layer3 unless others are named ("pooled" is
// the article's). Images are the test set's, or with -twins good training images and a
// damaged twin of each. Under each picture stand numbers that do not come from the plane, but for
// the first: trustworthiness (how far neighbours on the plane are neighbours in truth), the
// share of images whose 5 nearest of their class tell good from damaged (0.5 by guessing), and
// the silhouette of the two. Sizes and distances of groups on the plane mean nothing.
//
// maps fits a detector on each network and shows images of the test set, evenly spaced over the
// damaged ones in the order of their names, with both maps and the truth: none is chosen by what it
// shows. Colours begin at what good parts have; each network has the scale of its own good
// test images, or with -same-scale the first one's.
package main

import (
	"context"
	"errors"
	"flag"
	"image"
	"image/png"
	"io"
	"strings"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/evaluate/figures"
	"github.com/gotab/gotab/examples/internal/inputs"
	"github.com/gotab/gotab/examples/internal/process"
	"github.com/gotab/gotab/internal/atomicfile"
)

func main() { process.Main("figures: ", errUsage, run) }

var (
	errUsage = errors.New("wrong arguments")
	wrong    = process.Wrong(errUsage)
)

// options are the flags of both figures.
type options struct {
	figures.Config
	weights [2]string
	out     string
	reading inputs.Flags
}

// run is the program without the process around it.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	draw := map[string]func(context.Context, figures.Config) (*image.RGBA, error){"points": figures.Points, "maps": figures.Maps}
	if len(args) == 0 || draw[args[0]] == nil {
		return wrong("begin with points or maps")
	}
	o, err := parse(args[0], args[1:], stderr)
	if err != nil {
		return err
	}
	dev, err := o.reading.Start()
	if err != nil {
		return err
	}
	if err := atomicfile.Try(o.out); err != nil { // before the minutes that lead to it
		return err
	}
	if o.Nets, err = figures.Open(o.weights, o.reading.Prefix, o.Seed, dev); err != nil {
		return err
	}
	o.Print, o.Log = stdout, stderr
	picture, err := draw[args[0]](ctx, o.Config)
	if err = errors.Join(err, o.Nets[0].Close(), o.Nets[1].Close()); err != nil {
		return err
	}
	return atomicfile.Write(o.out, func(w io.Writer) error { return png.Encode(w, picture) })
}

func parse(figure string, args []string, stderr io.Writer) (o options, err error) {
	o.Config = figures.Default()
	fs := flag.NewFlagSet("figures "+figure, flag.ContinueOnError)
	fs.SetOutput(stderr)
	layers, classes := "layer1,layer2,layer3", ""
	fs.StringVar(&o.Data, "data", "", "`folder` of class folders in MVTec AD's layout (required)")
	fs.StringVar(&classes, "class", "", "class `names`, with commas; all without")
	fs.StringVar(&o.weights[0], "weights", "", "`file` with the first network's weights, or random (required)")
	fs.StringVar(&o.weights[1], "compare", "", "`file` with the second network's weights, or random (required)")
	fs.StringVar(&o.out, "out", "", "`file` for the picture, a PNG (required)")
	o.reading.AddDevice(fs)
	fs.Uint64Var(&o.Seed, "seed", 1, "`seed` of what is drawn at random")
	if figure == "points" {
		fs.StringVar(&layers, "layers", layers, "`layers` whose means are the features; pooled is the article's")
		fs.BoolVar(&o.Twins, "twins", false, "good training images and their damaged twins in place of the test set")
		fs.IntVar(&o.Most, "most", 150, "`images` a class that are shown, good and damaged each")
		fs.Float64Var(&o.Perplexity, "perplexity", 0, "how many `neighbours` count; 0: 30, or a third of the images where they are few")
	} else {
		fs.StringVar(&o.Method, "method", "padim", "detector: padim or patchcore")
		fs.IntVar(&o.Rows, "rows", 2, "damaged `images` a class that are shown")
		fs.BoolVar(&o.SameScale, "same-scale", false, "draw the second network's maps on the scale of the first one's good parts")
	}
	o.reading.AddReading(fs)
	o.reading.AddPrefix(fs)
	o.reading.AddTransform(fs)
	if err := process.Parse(fs, args, errUsage); err != nil {
		return o, err
	}
	if err := o.reading.Validate(); err != nil {
		return o, wrong("%v", err)
	}
	o.Reading = o.reading.Reading
	if _, tiled := o.Reading.View.Tiles(); tiled {
		return o, wrong("-transform tiles shows no whole image; take centre, square or a size")
	}
	if o.Layers, err = backbone.ParseLayers(strings.Split(layers, ",")...); err != nil {
		return o, wrong("-layers: %v", err)
	}
	if classes != "" {
		o.Classes = strings.Split(classes, ",")
	}
	switch {
	case o.Data == "" || o.weights[0] == "" || o.weights[1] == "" || o.out == "":
		return o, wrong("-data, -weights, -compare and -out are needed")
	case figure == "points" && o.Most < 2:
		return o, wrong("-most is %d, want 2 or more", o.Most)
	case figure == "points" && !(o.Perplexity == 0 || o.Perplexity > 1):
		return o, wrong("-perplexity is %g, want more than 1, or 0", o.Perplexity)
	case figure == "maps" && o.Rows < 1:
		return o, wrong("-rows is %d, want 1 or more", o.Rows)
	case figure == "maps" && o.Method != "padim" && o.Method != "patchcore":
		return o, wrong("-method is %q, want padim or patchcore", o.Method)
	}
	return o, nil
}
