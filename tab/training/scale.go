package training

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/internal/atomicfile"
	"github.com/gotab/gotab/tab"
	"github.com/gotab/gotab/tensor"
)

// scaleFile is where the factors lie, beside the weights.
func scaleFile(o Config) string { return o.Out + ".scale.json" }

// scale weighs the channels of layers 1 to 3 by what twins of all classes do to them in
// the network as it is, writes the factors beside the weights and returns what the
// weights say of them. Nothing is done without [Config.Scale].
func scale(ctx context.Context, o Config, ds dataset.Dataset, cfg tab.Config, net *backbone.ResNet18) (string, error) {
	if o.Scale == nil {
		return "", nil
	}
	weigh := *o.Scale
	own, err := mixtures(ctx, o, ds, cfg)
	if err != nil {
		return "", err
	}
	m := tab.DefaultTwins()
	m.Transform, m.Normalize, m.Seed, m.Draws, m.Batch = cfg.Transform, cfg.Normalize, cfg.Seed, o.Twins.Draws, 4
	fmt.Fprintf(o.Log, "measuring the channels of layers 1 to 3 by %d twins of each kind on %d classes\n", m.Draws, len(ds.Classes()))
	table, err := tab.ScaleByTwins(ctx, net, ds, own, m, weigh)
	if err != nil {
		return "", err
	}
	for _, s := range table.Stages {
		fmt.Fprintf(o.Print, "%s: %d channels times %.2f to %.2f\n", s.Layer, len(s.Scale), slices.Min(s.Scale), slices.Max(s.Scale))
	}
	var b bytes.Buffer
	if _, err := table.WriteTo(&b); err != nil {
		return "", err
	}
	if err := atomicfile.Write(scaleFile(o), func(w io.Writer) error {
		_, err := w.Write(b.Bytes())
		return err
	}); err != nil {
		return "", err
	}
	fmt.Fprintf(o.Log, "factors written to %s\n", scaleFile(o))
	short := func(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
	return fmt.Sprintf("twins %s, deviation %s; sha256:%x", short(weigh.Twins), short(weigh.Deviation), sha256.Sum256(b.Bytes())), nil
}

// only scales the weights of [Config.Init] and trains nothing.
func only(ctx context.Context, o Config, ds dataset.Dataset, cfg tab.Config, net *backbone.ResNet18, left leftOut) error {
	what, err := scale(ctx, o, ds, cfg, net)
	if err != nil {
		return err
	}
	arrays, err := net.Params().Arrays(ctx)
	if err != nil {
		return err
	}
	classes, err := json.Marshal(ds.Classes())
	if err != nil {
		return err
	}
	if arrays, err = o.Names.Rename(arrays); err != nil {
		return err
	}
	meta := map[string]string{"format": "pt", "architecture": net.Arch().String(), "classes": string(classes), "objective": "none", "scale": what}
	left.say(meta, o.Log)
	if err := tensor.SaveWeights(o.Out, meta, arrays); err != nil {
		return err
	}
	fmt.Fprintf(o.Log, "weights written to %s\n", o.Out)
	return nil
}
