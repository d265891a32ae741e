package downstream

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
	"slices"
	"strings"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream/internal/engine"
	"github.com/gotab/gotab/downstream/internal/regad"
	"github.com/gotab/gotab/internal/atomicfile"
	"github.com/gotab/gotab/tensor"
)

// regadCheckpointName is what messages call it.
const regadCheckpointName = "checkpoint of RegAD"

// regadCheckpointKind marks a checkpoint and the version of its layout:
// safetensors with the network as in a saved detector and the state of the
// optimizers, of the trunk's weights behind "optimizer.0." and of the others
// behind "optimizer.1.". Version 1 did not say what the training began with, and
// had other rates and pairs.
const regadCheckpointKind = "gotab.regad.training.2"

// regadCheckpoint is how far a training has come and the file that says it. An
// empty path stands for none.
type regadCheckpoint struct {
	path   string
	data   string // of the images that it trains on
	first  string // of the weights that it began with
	epochs int    // done
	states [2][]tensor.Array
}

// regadProgress is the JSON form of a checkpoint.
type regadProgress struct {
	Detector regadSettings `json:"detector"`
	Data     string        `json:"data"`
	First    string        `json:"first_weights"`
	Done     int           `json:"epochs_done"`
}

func (p regadProgress) Config() (RegADConfig, error) {
	if p.Done < 1 {
		return RegADConfig{}, fmt.Errorf("%d epochs are done", p.Done)
	}
	return p.Detector.Config()
}

// itemsHash tells data sets apart by what they are made of.
func itemsHash(ds dataset.Dataset) string {
	h := sha256.New()
	for i := range ds.Len() {
		it := ds.Item(i)
		fmt.Fprintf(h, "%q %q\n", it.Name, it.Class)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// weightsHash tells networks apart by their weights, in whatever order these are.
func weightsHash(weights []tensor.Array) string {
	h := sha256.New()
	for _, a := range slices.SortedFunc(slices.Values(weights), func(a, b tensor.Array) int { return strings.Compare(a.Name, b.Name) }) {
		fmt.Fprintf(h, "%q %s %v %d\n", a.Name, a.DType, a.Shape, len(a.Data))
		h.Write(a.Data)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// fingerprint tells settings apart: all of them are in their JSON form, which
// keeps every digit of a number.
func (s regadSettings) fingerprint() (string, error) {
	b, err := json.Marshal(s)
	return string(b), err
}

func optimizerPrefix(i int) string { return fmt.Sprintf("optimizer.%d.", i) }

// read takes the weights, the states and the epochs that are done out of the file,
// if there is one.
func (c *regadCheckpoint) read(r *RegAD, weights *[]tensor.Array) error {
	if c.path == "" {
		return nil
	}
	c.first = weightsHash(r.first)
	f, err := os.Open(c.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	st, _, saved, err := engine.ReadSaved[RegADConfig, regadProgress](f, whoIs(regadCheckpointName), regadCheckpointKind)
	if err != nil {
		return fmt.Errorf("%w (file %s)", err, c.path)
	}
	// Where the two differ in their sizes alone, build and the images will tell.
	want, got := r.settings(st.Detector.Classes, st.Detector.Sizes), st.Detector
	a, err := got.fingerprint()
	if err != nil {
		return err
	}
	b, err := want.fingerprint()
	if err != nil {
		return err
	}
	switch {
	case a != b:
		return fmt.Errorf("%w: file %s is of settings %s, these are %s", ErrCheckpoint, c.path, a, b)
	case st.Data != c.data:
		return fmt.Errorf("%w: file %s is of other images", ErrCheckpoint, c.path)
	case st.First != c.first:
		return fmt.Errorf("%w: file %s is of a training that began with the weights of another backbone; give each its own file", ErrCheckpoint, c.path)
	case st.Done > r.cfg.Epochs:
		return fmt.Errorf("%w: file %s has %d epochs, Epochs is %d", ErrCheckpoint, c.path, st.Done, r.cfg.Epochs)
	}
	c.epochs, *weights = st.Done, nil
	for _, a := range saved.Arrays {
		own := true
		for i := range c.states {
			if name, ok := strings.CutPrefix(a.Name, optimizerPrefix(i)); ok {
				a.Name, own = name, false
				c.states[i] = append(c.states[i], a)
				break
			}
		}
		if own {
			*weights = append(*weights, a)
		}
	}
	return nil
}

// restore gives the optimizers the states that were read.
func (c *regadCheckpoint) restore(ctx context.Context, learners []tensor.Learner) error {
	if c.epochs == 0 {
		return nil
	}
	for i, l := range learners {
		for _, a := range c.states[i] {
			_, weight, _ := strings.Cut(a.Name, ".")
			t := l.Params.Get(weight)
			if t == nil || len(a.Shape) > 0 && !slices.Equal(a.Shape, t.Shape()) {
				return fmt.Errorf("%w: file %s: optimizer state %s %v fits no weight", ErrFile, c.path, a.Name, a.Shape)
			}
		}
		if err := l.Optimizer.Restore(ctx, c.states[i]); err != nil {
			return fmt.Errorf("%w: file %s: %w", ErrFile, c.path, err)
		}
		c.states[i] = nil
	}
	return nil
}

// write writes the file after so many epochs.
func (c *regadCheckpoint) write(ctx context.Context, r *RegAD, n *regad.Network, learners []tensor.Learner, epochs int) error {
	if c.path == "" {
		return nil
	}
	return atomicfile.Write(c.path, func(w io.Writer) error {
		arrays, err := n.Arrays(ctx)
		if err != nil {
			return err
		}
		for i, l := range learners {
			state, err := l.Optimizer.State(ctx)
			if err != nil {
				return err
			}
			for _, a := range state {
				a.Name = optimizerPrefix(i) + a.Name
				arrays = append(arrays, a)
			}
		}
		content := engine.Contents{Settings: regadProgress{Detector: r.settings(n.Classes, n.Sizes()), Data: c.data, First: c.first, Done: epochs}, Arrays: arrays}
		_, err = content.Write(w, whoIs(regadCheckpointName), regadCheckpointKind)
		return err
	})
}
