package main

import (
	"flag"
	"fmt"
	"io"
	"strings"

	"github.com/gotab/gotab/clipenc"
	"github.com/gotab/gotab/dataset/drawn"
	"github.com/gotab/gotab/evaluate/beforeafter"
	"github.com/gotab/gotab/examples/internal/inputs"
	"github.com/gotab/gotab/tab/clipbank"
	"github.com/gotab/gotab/tab/training"
	"github.com/gotab/gotab/tensor"
)

// settings are the program's flags.
type settings struct {
	clip      string
	clipModel string
	out       string
	keep      string
	seed      uint64
	size      int // side of an image in pixels
	recipe    string
	short     training.Short // of recipe and epochs
	epochs    int
	good      int // good images of each product to learn from
	reading   inputs.Flags
	tests     int // damaged test images of each kind of defect; as many good ones in all
}

// minSize is the least side of an image: the patches of synth.DefaultNSA are a
// tenth of it and need some pixels to show.
const minSize = 64

func parse(args []string, stderr io.Writer) (settings, error) {
	var s settings
	var names, about []string // of recipes, the default first
	for _, r := range training.Shorts(0) {
		names, about = append(names, r.Name), append(about, r.Name+" ("+r.About+")")
	}
	fs := flag.NewFlagSet("quickstart", flag.ContinueOnError)
	fs.SetOutput(stderr)
	s.reading.AddDevice(fs)
	fs.StringVar(&s.clip, "clip", "", "`FILE` or folder of CLIP weights in safetensors, its vocabulary beside it (default: the built-in text bank)")
	fs.StringVar(&s.clipModel, "clip-model", "b", "`KIND` of that CLIP: b (ViT-B/32 and B/16) or l (ViT-L/14) of OpenAI, b-gelu or l-gelu of OpenCLIP's LAION and DataComp models")
	fs.StringVar(&s.out, "out", "", "`DIR` for the page of heat maps (default: a new folder among the temporary files)")
	fs.StringVar(&s.keep, "keep", "", "`DIR` for the drawn images and the trained network, for other programs (default: they are not kept)")
	fs.Uint64Var(&s.seed, "seed", 1, "seed of drawings, weights and training")
	fs.IntVar(&s.size, "size", 128, "side of the images in pixels")
	fs.StringVar(&s.recipe, "recipe", names[0], "`NAME` of what pre-training does: "+strings.Join(about, ", "))
	fs.IntVar(&s.epochs, "epochs", 0, "passes over the good images in pre-training (default: the recipe's own)")
	fs.IntVar(&s.good, "good", 64, "good images of each product to learn from")
	fs.IntVar(&s.tests, "tests", 4, "test images of each kind of defect")
	s.reading.AddThreads(fs)
	if err := fs.Parse(args); err != nil {
		return s, err
	}
	if fs.NArg() > 0 {
		return s, fmt.Errorf("%q: this program takes flags only, see -help", fs.Arg(0))
	}
	var err error
	if s.short, err = training.ShortOf(s.recipe, s.epochs); err != nil {
		return s, fmt.Errorf("-recipe: %w", err)
	}
	given := false
	fs.Visit(func(f *flag.Flag) { given = given || f.Name == "epochs" })
	if !given {
		s.epochs = s.short.Train.Epochs
	}
	return s, s.validate()
}

func (s settings) validate() error {
	for _, f := range []struct {
		flag        string
		value       int
		least, most int
	}{
		{"-size", s.size, minSize, drawn.MaxSize},
		{"-epochs", s.epochs, 1, 10_000},
		{"-good", s.good, 4, 10_000},
		{"-tests", s.tests, 1, 1_000},
	} {
		if f.value < f.least || f.value > f.most {
			return fmt.Errorf("%s is %d, want %d to %d", f.flag, f.value, f.least, f.most)
		}
	}
	_, err := s.source()
	return err
}

// source is the CLIP of -clip, of the kind that -clip-model names. Weights of one model and
// the activation of another would give anchors that look right and are not, so
// the kind is asked for and not guessed.
func (s settings) source() (clipbank.Source, error) {
	kind, gelu := strings.CutSuffix(s.clipModel, "-gelu")
	c := clipbank.Source{Weights: s.clip, Model: map[string]string{"b": "b16", "l": "l14"}[kind], Activation: clipenc.QuickGELU}
	if c.Model == "" {
		return c, fmt.Errorf("-clip-model is %q, want b, b-gelu, l or l-gelu", s.clipModel)
	}
	if gelu {
		c.Activation = clipenc.GELU
	}
	return c, nil
}

// about is the paragraph of the page on what was compared, once it was.
func (s settings) about(r *beforeafter.Report) string {
	return fmt.Sprintf(`PaDiM was fitted twice on the same good images: with a ResNet-18 of random weights, and with the same network after
pre-training on good images and their synthetic twins: %s. Training and fitting saw no drawn defect. One run, shown as it
came out. %s Weights that were trained on photographs are not compared here.`, s.short.About, r.Sentence())
}

// report is what the page says of a run before it began.
func (s settings) report(dev tensor.Device) *beforeafter.Report {
	r := &beforeafter.Report{Title: "gotab quickstart: heat maps", Heading: "Heat maps of the quickstart", Device: dev.String(), Seed: s.seed}
	r.Before, r.After, r.Change = "random", "pre-trained", "Against the same network with random weights, pre-training"
	r.Line = fmt.Sprintf("Drawn images of %dx%d pixels, %d good ones a product, recipe %s, %d epochs, seed %d", s.size, s.size, s.good, s.recipe, s.epochs, s.seed)
	return r
}
