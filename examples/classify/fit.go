package main

import (
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"time"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/downstream/classify"
	"github.com/gotab/gotab/examples/internal/inputs"
	"github.com/gotab/gotab/tensor"
)

// judge trains and tests every model and adds a row for each. The report is
// written after every row, so that what is done is kept.
func judge(ctx context.Context, o options, dev tensor.Device, r *report, stderr io.Writer) (err error) {
	names, err := weightsNames(o.weights)
	if err != nil {
		return err
	}
	o = o.guessed(stderr)
	r.o = o
	data, closer, err := openSource(ctx, o, o.data, stderr)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closer.Close()) }()
	var test source
	if o.test != "" {
		var shut io.Closer
		if test, shut, err = openSource(ctx, o, o.test, stderr); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, shut.Close()) }()
	}
	data, skipped, err := data.look(ctx, o, stderr)
	if err != nil {
		return err
	}
	r.Skipped = skipped
	if test.Dataset != nil {
		if test, skipped, err = test.look(ctx, o, stderr); err != nil {
			return err
		}
		r.Skipped = append(r.Skipped, skipped...)
	}
	for _, split := range o.splits {
		p, err := newProblem(o, split, data, test)
		if err != nil {
			return err
		}
		if o.neighbour {
			row, err := nearest(ctx, p, stderr)
			if err == nil {
				err = r.add(row)
			}
			if err != nil {
				return err
			}
		}
		for _, b := range o.backbones {
			for i, w := range o.weights {
				if err := withWeights(ctx, o, dev, p, b, w, names[i], r, stderr); err != nil {
					return fmt.Errorf("%s backbone, weights %s: %w", b, w, err)
				}
			}
		}
	}
	return nil
}

// withWeights runs the models on one set of weights, which rows and files call name.
func withWeights(ctx context.Context, o options, dev tensor.Device, p problem, b, weights, name string, r *report, stderr io.Writer) (err error) {
	net, err := openNet(o, weights, dev)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, net.Close()) }()
	for _, m := range o.models {
		row, err := one(ctx, o, net, p, b, name, m, stderr)
		if err == nil {
			err = r.add(row)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func openNet(o options, weights string, dev tensor.Device) (*backbone.ResNet, error) {
	if weights == "random" {
		return backbone.NewResNet18(dev, rand.New(rand.NewPCG(o.seed, 0)))
	}
	return backbone.OpenChoice(weights, backbone.Choice{Prefix: o.reading.Prefix}, dev)
}

// settings are those of a classifier.
func (o options) settings(b, m string) classify.Config {
	c := classify.Default()
	c.Transform = o.reading.Tune(dataset.Square(o.size))
	if o.wafers() {
		c = classify.DefaultWafer(o.size)
		if o.encoding == "dies" {
			c.Encoding = classify.Dies
			c.Normalize = dataset.Normalize{Mean: [3]float32{0.5, 0.5, 0.5}, Std: [3]float32{0.5, 0.5, 0.5}}
		}
	}
	c.Task = classify.MultiClass
	if m == sigmoids {
		c.Task = classify.MultiLabel
	}
	c.Frozen = b == frozen
	c.Epochs = o.epochs
	if c.Frozen {
		c.Epochs = o.headEpochs
	}
	c.Warmup = min(1, c.Epochs-1)
	c.Turn = o.turn == "on" && !c.Frozen
	c.Batch, c.LR, c.BackboneLR, c.Balance = o.batch, o.lr, o.backboneLR, o.balance
	c.AdamW.WeightDecay = o.weightDecay
	return c
}

// one trains and tests one classifier.
func one(ctx context.Context, o options, net *backbone.ResNet, p problem, b, weights, m string, stderr io.Writer) (row row, err error) {
	name := fmt.Sprintf("%s, %s, %s", weights, b, m)
	cfg := o.settings(b, m)
	train := p.train.kinds
	if m == sigmoids {
		train = p.train.labels
	}
	memory, err := cfg.Estimate(net, image.Pt(o.size, o.size), train.Len(), len(train.Names()))
	if err != nil {
		return row, err
	}
	fmt.Fprintf(stderr, "%s: fit on %d pictures; weights, state and batches take %d MB\n", name, train.Len(), memory.Fitting/1e6)
	logs, err := o.curves.Of(fileName(fmt.Sprintf("%s-%s-%s-%s", weights, b, m, p.split))).Open(0)
	if err != nil {
		return row, err
	}
	defer func() { err = errors.Join(err, logs.Close()) }()
	tell := progress(name, train.Len(), stderr)
	c, err := classify.New(net, cfg, rand.New(rand.NewPCG(o.seed, 1)), downstream.WithProgress(func(p downstream.Progress) {
		tell(p)
		_ = logs.Add(p.Step(), p.Scalars()) // what fails is told by Close
	}))
	if err != nil {
		return row, err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	start := time.Now()
	if err := c.Fit(ctx, train); err != nil {
		return row, err
	}
	row.Split, row.Backbone, row.Weights, row.Model, row.Epochs = p.split, b, weights, m, cfg.Epochs
	row.Train, row.Test = train.Len(), p.test.set.Len()
	row.FitSeconds = time.Since(start).Seconds()
	fmt.Fprintf(stderr, "%s: predict %d pictures\n", name, row.Test)
	start = time.Now()
	s, err := p.tally()
	if err != nil {
		return row, err
	}
	i := 0
	for r, err := range c.PredictSet(ctx, p.test.set) {
		if err != nil {
			return row, err
		}
		kind, labels := r.Class, r.Labels
		if m == sigmoids {
			kind = p.kindOf(r.Labels)
		} else if p.bits != nil {
			labels = p.bits[r.Class]
		}
		if err := p.count(s, i, labels, kind); err != nil {
			return row, err
		}
		i++
	}
	row.PredictSpeed = float64(row.Test) / time.Since(start).Seconds()
	if row.TallyFigures, err = s.Figures(); err != nil {
		return row, err
	}
	if o.save {
		at := fileName(fmt.Sprintf("%s-%s-%s-%s", row.Weights, b, m, p.split))
		err = c.Save(filepath.Join(o.out, at+".safetensors"))
	}
	return row, err
}

// fileName makes a text fit for the name of a file.
func fileName(text string) string {
	return strings.NewReplacer(string(filepath.Separator), "_", "/", "_", " ", "_").Replace(text)
}

// weightsNames names sets of weights by their files. Rows and files of classifiers bear
// these names.
func weightsNames(weights []string) ([]string, error) {
	names, ok := inputs.Apart(weights, fileName)
	if !ok {
		return nil, fmt.Errorf("-weights %s: rows and saved classifiers bear the names of the files, and two of them are the same", strings.Join(weights, ","))
	}
	return names, nil
}

// progress writes a line an epoch, of many only each tenth.
func progress(name string, images int, stderr io.Writer) func(downstream.Progress) {
	loss, right := 0.0, 0.0
	start := time.Now()
	return func(s downstream.Progress) {
		switch s.Stage {
		case "features":
			if s.Done == s.Total {
				fmt.Fprintf(stderr, "%s: features of %d pictures in %.1f s\n", name, images, time.Since(start).Seconds())
			}
			return
		case "predict":
			return
		}
		if s.Done == 1 {
			loss, right = 0, 0
		}
		loss += s.Loss / float64(s.Total)
		right += s.Accuracy / float64(s.Total)
		if s.Done < s.Total || s.Epochs > 30 && s.Epoch%10 != 0 {
			return
		}
		fmt.Fprintf(stderr, "%s: epoch %d/%d, loss %.4f, %.4f of the pictures right, %.0f s\n", name, s.Epoch, s.Epochs, loss, right, time.Since(start).Seconds())
	}
}
