package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/internal/atomicfile"
	"github.com/gotab/gotab/tab"
	"github.com/gotab/gotab/tensor"
)

// parseScale reads the powers of -scale.
func parseScale(text string) (tab.ScaleConfig, error) {
	cfg := tab.DefaultScale()
	a, b, ok := strings.Cut(text, ",")
	var err error
	if cfg.Twins, err = strconv.ParseFloat(strings.TrimSpace(a), 64); err == nil && ok {
		cfg.Deviation, err = strconv.ParseFloat(strings.TrimSpace(b), 64)
	}
	if !ok || err != nil {
		return cfg, fmt.Errorf("%w: -scale is %q, want two numbers with a comma, such as 0.5,0.5", errUsage, text)
	}
	if err := cfg.Validate(); err != nil {
		return cfg, fmt.Errorf("%w: -scale %s: %w", errUsage, text, err)
	}
	return cfg, nil
}

// scaleFile is where the factors lie, beside the weights.
func scaleFile(o options) string { return o.out + ".scale.json" }

// scale weighs the channels of layers 1 to 3 by what twins of all classes do to them in
// the network as it is, writes the factors beside the weights and returns what the
// weights say of them. Nothing is done without -scale.
func scale(ctx context.Context, o options, ds dataset.Dataset, cfg tab.Config, net *backbone.ResNet18, stdout, stderr io.Writer) (string, error) {
	if o.scale == "" {
		return "", nil
	}
	weigh, err := parseScale(o.scale)
	if err != nil {
		return "", err
	}
	own, err := mixtures(ctx, o, ds, cfg)
	if err != nil {
		return "", err
	}
	m := tab.DefaultTwins()
	m.Transform, m.Normalize, m.Seed, m.Draws, m.Batch = cfg.Transform, cfg.Normalize, cfg.Seed, o.draws, 4
	fmt.Fprintf(stderr, "measuring the channels of layers 1 to 3 by %d twins of each kind on %d classes\n", m.Draws, len(ds.Classes()))
	table, err := tab.ScaleByTwins(ctx, net, ds, own, m, weigh)
	if err != nil {
		return "", err
	}
	for _, s := range table.Stages {
		fmt.Fprintf(stdout, "%s: %d channels times %.2f to %.2f\n", s.Layer, len(s.Scale), slices.Min(s.Scale), slices.Max(s.Scale))
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
	fmt.Fprintf(stderr, "factors written to %s\n", scaleFile(o))
	short := func(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
	return fmt.Sprintf("twins %s, deviation %s; sha256:%x", short(weigh.Twins), short(weigh.Deviation), sha256.Sum256(b.Bytes())), nil
}

// only scales the weights of -init and trains nothing.
func only(ctx context.Context, o options, ds dataset.Dataset, cfg tab.Config, net *backbone.ResNet18, left leftOut, stdout, stderr io.Writer) error {
	what, err := scale(ctx, o, ds, cfg, net, stdout, stderr)
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
	if arrays, err = o.names.Rename(arrays); err != nil {
		return err
	}
	meta := map[string]string{"format": "pt", "architecture": net.Arch().String(), "classes": string(classes), "objective": "none", "scale": what}
	left.say(meta, stderr)
	if err := tensor.SaveWeights(o.out, meta, arrays); err != nil {
		return err
	}
	fmt.Fprintf(stderr, "weights written to %s\n", o.out)
	return nil
}
