// Package figures draws the article's two pictures of what pre-training changes, with numbers
// beside them (TAB, arXiv 2312.09480, figures 5 and 6): [Points] and [Maps], of two networks.
package figures

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
)

// Network is a network with the name that it has in a picture. It is borrowed.
type Network struct {
	*backbone.ResNet
	Name string
}

// Config says what is drawn.
type Config struct {
	// Data is a folder of class folders in MVTec AD's layout. Classes are those that are
	// drawn; none for all.
	Data    string
	Classes []string
	Reading dataset.Reading
	// Nets are what is compared; the first is what the second is held against.
	Nets [2]Network
	Seed uint64 // of what is drawn at random
	// Print gets the numbers, Log a line now and then; nil for nowhere.
	Print, Log io.Writer

	// Layers are those of [Points] whose means over an image are its features: layer1 to layer3
	// by default; backbone.Pooled is the article's.
	Layers []backbone.Layer
	// Twins puts good training images and a damaged twin of each in the place of the test set.
	Twins bool
	// Most is how many images of a class are shown, good and damaged each, 2 or more.
	Most int
	// Perplexity is how many neighbours count, above 1; 0 for 30, or a third of the images where they are few.
	Perplexity float64

	// Method of [Maps] is "padim" or "patchcore"; Rows is how many damaged images of a class are
	// shown. SameScale draws the second network's maps on the scale of the first one's good parts.
	Method    string
	Rows      int
	SameScale bool
}

// ErrConfig reports settings that make no sense.
var ErrConfig = errors.New("wrong settings")

// Default shows up to 150 images a class on the plane, and PaDiM's maps of two. Data and Nets are
// the caller's.
func Default() Config {
	return Config{Reading: dataset.DefaultReading(), Seed: 1, Layers: []backbone.Layer{backbone.Layer1, backbone.Layer2, backbone.Layer3}, Most: 150, Method: "padim", Rows: 2}
}

// Validate names the first field that makes no sense; the error wraps [ErrConfig].
func (o Config) Validate() error {
	wrong := func(format string, a ...any) error {
		return fmt.Errorf("figures: %w: "+format, append([]any{ErrConfig}, a...)...)
	}
	_, tiled := o.Reading.View.Tiles()
	switch {
	case o.Data == "":
		return wrong("Data is empty")
	case o.Nets[0].ResNet == nil || o.Nets[1].ResNet == nil:
		return wrong("Nets has a nil network")
	case tiled:
		return wrong("tiles show no whole image; take another view")
	case len(o.Layers) == 0:
		return wrong("Layers is empty")
	case o.Most < 2:
		return wrong("Most is %d, want 2 or more", o.Most)
	case !(o.Perplexity == 0 || o.Perplexity > 1):
		return wrong("Perplexity is %g, want more than 1, or 0", o.Perplexity)
	case o.Rows < 1:
		return wrong("Rows is %d, want 1 or more", o.Rows)
	case o.Method != "padim" && o.Method != "patchcore":
		return wrong("Method is %q, want padim or patchcore", o.Method)
	}
	return nil
}

// whole is the config with somewhere to write to.
func (o Config) whole() (Config, error) {
	if o.Print == nil {
		o.Print = io.Discard
	}
	if o.Log == nil {
		o.Log = io.Discard
	}
	return o, o.Validate()
}

// set reads a split of a class, and looks at its files.
func (o Config) set(ctx context.Context, class, split string) (dataset.Dataset, error) {
	ds, err := dataset.OpenMVTecAD(o.Data, class, split)
	if err != nil {
		return nil, err
	}
	if ds, err = ds.WithDecoder(o.Reading.Decoder); err != nil {
		return nil, err
	}
	if err := dataset.RequireLabels(ds); err != nil {
		return nil, err
	}
	seen, err := o.Reading.Look(ctx, ds, o.Log)
	if err != nil {
		return nil, fmt.Errorf("%s, %s: %w", class, split, err)
	}
	return seen.Data, nil
}

// names are the classes that are drawn.
func (o Config) names() ([]string, error) {
	if len(o.Classes) > 0 {
		return o.Classes, nil
	}
	all, err := dataset.OpenMVTecAD(o.Data, "", "")
	if err != nil {
		return nil, err
	}
	return all.Classes(), nil
}
