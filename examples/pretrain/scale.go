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

// scaled is what was done to the channels, as the file has it.
type scaled struct {
	Twins     float64         `json:"twins"`
	Deviation float64         `json:"deviation"`
	Limit     float64         `json:"limit"`
	Ridge     float64         `json:"ridge"`
	Seed      uint64          `json:"seed"`
	Draws     int             `json:"draws"`
	Products  []scaledProduct `json:"products"`
	Stages    []scaledStage   `json:"stages"`
}

type scaledProduct struct {
	Class  string         `json:"class"`
	Images int            `json:"images"`
	Twins  tab.TwinCounts `json:"twins"`
}

type scaledStage struct {
	Layer     string    `json:"layer"`
	Scale     []float32 `json:"scale"`
	Ratio     []float64 `json:"ratio"`
	Deviation []float64 `json:"deviation"`
}

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
	products, err := tab.MeasureChannelsByClass(ctx, net, ds, own, m)
	if err != nil {
		return "", err
	}
	stages, err := tab.ChannelScales(products, weigh)
	if err != nil {
		return "", err
	}
	out := scaled{Twins: weigh.Twins, Deviation: weigh.Deviation, Limit: weigh.Limit, Ridge: weigh.Ridge, Seed: m.Seed, Draws: m.Draws}
	for _, p := range products {
		out.Products = append(out.Products, scaledProduct{p.Class, p.Images, p.Counts})
	}
	for _, s := range stages {
		if err := net.ScaleChannels(ctx, s.Layer, s.Scale); err != nil {
			return "", err
		}
		out.Stages = append(out.Stages, scaledStage{s.Layer.String(), s.Scale, s.Ratio, s.Deviation})
		fmt.Fprintf(stdout, "%s: %d channels times %.2f to %.2f\n", s.Layer, len(s.Scale), slices.Min(s.Scale), slices.Max(s.Scale))
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetIndent("", " ")
	if err := e.Encode(out); err != nil {
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
