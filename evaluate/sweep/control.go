package sweep

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/evaluate/controls"
	"github.com/gotab/gotab/evaluate/study"
	"github.com/gotab/gotab/tab/card"
	"github.com/gotab/gotab/tensor"
)

// Control is how weights come of the start's without training: one of the three.
type Control struct {
	// Scale multiplies the features of layers 1 to 3.
	Scale float64 `json:"scale,omitempty"`
	// Noise is a file of trained weights: the start's are moved as far, tensor by
	// tensor, in a direction that each seed draws.
	Noise string `json:"noise,omitempty"`
	// Remeasure gives batch norm, for each class, the statistics of the class's own good
	// images, and the class is judged on that network.
	Remeasure bool `json:"remeasure,omitempty"`
}

// validate says what is wrong with the control of a network; empty for nothing.
func (c Control) validate(n Network) string {
	given := 0
	for _, has := range []bool{c.Scale != 0, c.Noise != "", c.Remeasure} {
		if has {
			given++
		}
	}
	switch {
	case given != 1:
		return `give exactly one of "scale" (not 0), "noise" and "remeasure"`
	case n.File != "":
		return `there is a "file" too`
	case len(n.Shares) > 0:
		return `"shares" are of trained weights`
	case c.Noise != "" && len(n.Seeds) == 0:
		return `"noise" needs "seeds" to draw by`
	case c.Noise == "" && len(n.Seeds) > 0:
		return `"seeds" are for "noise" alone: nothing else is drawn`
	case c.Noise == "" && !c.Remeasure && !(c.Scale >= 1e-6 && c.Scale <= 1e6):
		return fmt.Sprintf(`"scale" is %g, want 1e-6 to 1e6`, c.Scale)
	}
	return ""
}

// measured is how many good images make a batch whose statistics are measured.
const measured = 32

// classFile has the weights of a control that differ from class to class.
func classFile(v study.Variant, s study.Set) string {
	return filepath.Join(v.File+".classes", s.Class+".safetensors")
}

// control makes the weights of a control, unless they are there and made of the same.
func (s *sweep) control(ctx context.Context, n Network, v study.Variant, sets []study.Set) error {
	if err := os.MkdirAll(filepath.Dir(v.File), 0o755); err != nil {
		return err
	}
	err := s.makeControl(ctx, *n.Control, v, sets)
	if err != nil {
		err = fmt.Errorf("%s: control: %w", v, err)
	}
	return study.Note(ctx, v, err)
}

func (s *sweep) makeControl(ctx context.Context, c Control, v study.Variant, sets []study.Set) error {
	start, err := card.FileAt(s.runner.Start)
	if err != nil {
		return err
	}
	o := origin{Start: start.SHA256, Scale: c.Scale}
	switch {
	case c.Remeasure:
		for _, set := range sets {
			o := o
			o.Good, o.Batch = set.ID, measured
			if err := s.derive(ctx, classFile(v, set), o, func(net *backbone.ResNet) error { return remeasure(ctx, net, set.Good) }); err != nil {
				return fmt.Errorf("class %s: %w", set.Class, err)
			}
		}
		return nil
	case c.Noise != "":
		trained, err := card.FileAt(c.Noise)
		if err != nil {
			return err
		}
		o.Noise, o.Seed = trained.SHA256, v.Seed
		return s.derive(ctx, v.File, o, func(net *backbone.ResNet) error { return s.noise(ctx, net, c.Noise, v.Seed) })
	}
	return s.derive(ctx, v.File, o, func(net *backbone.ResNet) error { return controls.Uniform(ctx, net, c.Scale) })
}

// origin is what the weights of a control are made of. It stands in the metadata of
// their file, so that a plan that was changed is not judged by older weights.
type origin struct {
	Start string  `json:"start_sha256"`
	Scale float64 `json:"scale,omitempty"`
	Noise string  `json:"noise_sha256,omitempty"`
	Seed  uint64  `json:"seed,omitempty"`
	Good  string  `json:"images,omitempty"`
	Batch int     `json:"batch,omitempty"`
}

const originKey = "control"

// derive writes the weights of the start after a change, unless the file has them.
func (s *sweep) derive(ctx context.Context, file string, o origin, change func(*backbone.ResNet) error) (err error) {
	of, err := json.Marshal(o)
	if err != nil {
		return err
	}
	if same, err := hasOrigin(file, string(of)); same || err != nil {
		return err
	}
	net, err := backbone.Open(s.runner.Start, s.runner.Device)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, net.Close()) }()
	if err := change(net); err != nil {
		return err
	}
	arrays, err := net.Params().Arrays(ctx)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return tensor.SaveWeights(file, map[string]string{"format": "pt", "architecture": net.Arch().String(), originKey: string(of)}, arrays)
}

// hasOrigin says whether a file is there and was made of what is wanted.
func hasOrigin(file, want string) (bool, error) {
	f, err := tensor.OpenWeightFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return f.Metadata()[originKey] == want, f.Close()
}

// noise moves the start's weights as far as a training went.
func (s *sweep) noise(ctx context.Context, net *backbone.ResNet, file string, seed uint64) (err error) {
	trained, err := backbone.Open(file, s.runner.Device)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, trained.Close()) }()
	return controls.Noise(ctx, net.Params(), net.Params(), trained.Params(), rand.New(rand.NewPCG(seed, 4)))
}

// remeasure shows the network the good images as PaDiM sees them, in an order that is
// drawn once and for all: neighbours in a folder are often alike.
func remeasure(ctx context.Context, net *backbone.ResNet, good dataset.Dataset) error {
	mixed, err := dataset.Subset(good, rand.New(rand.NewPCG(1, 5)).Perm(good.Len()))
	if err != nil {
		return err
	}
	return controls.Remeasure(ctx, net, controls.Batches(ctx, mixed, dataset.PaDiM224(), dataset.ImageNet(), measured))
}
