package compare

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
	"github.com/gotab/gotab/internal/apart"
)

// judge trains and tests every model and adds a row for each. The report is
// written after every row, so that what is done is kept.
func judge(ctx context.Context, o Config, r *Report) (err error) {
	names, err := weightsNames(o.Weights)
	if err != nil {
		return err
	}
	o = o.resolved()
	data, closer, err := openSource(ctx, o, o.Data)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closer.Close()) }()
	var test source
	if o.Test != "" {
		var shut io.Closer
		if test, shut, err = openSource(ctx, o, o.Test); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, shut.Close()) }()
	}
	data, skipped, err := data.look(ctx, o)
	if err != nil {
		return err
	}
	r.Skipped = skipped
	if test.Dataset != nil {
		if test, skipped, err = test.look(ctx, o); err != nil {
			return err
		}
		r.Skipped = append(r.Skipped, skipped...)
	}
	for _, split := range o.Splits {
		p, err := newProblem(o, split, data, test)
		if err != nil {
			return err
		}
		if o.Neighbour {
			row, err := nearest(ctx, p, o.Log)
			if err == nil {
				err = r.add(row)
			}
			if err != nil {
				return err
			}
		}
		for _, b := range o.Backbones {
			for i, w := range o.Weights {
				if err := withWeights(ctx, o, p, b, w, names[i], r); err != nil {
					return fmt.Errorf("%s backbone, weights %s: %w", b, w, err)
				}
			}
		}
	}
	return nil
}

// withWeights runs the models on one set of weights, which rows and files call name.
func withWeights(ctx context.Context, o Config, p problem, b, weights, name string, r *Report) (err error) {
	net, err := openNet(o, weights)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, net.Close()) }()
	for _, m := range o.Models {
		row, err := one(ctx, o, net, p, b, name, m)
		if err == nil {
			err = r.add(row)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func openNet(o Config, weights string) (*backbone.ResNet, error) {
	if weights == "random" {
		return backbone.NewResNet18(o.Device, rand.New(rand.NewPCG(o.Seed, 0)))
	}
	return backbone.OpenChoice(weights, backbone.Choice{Prefix: o.Prefix}, o.Device)
}

// settings are those of a classifier.
func (o Config) settings(b, m string) classify.Config {
	c := classify.Default()
	c.Transform = o.Reading.Transform(dataset.Square(o.Size))
	if o.wafers() {
		c = classify.DefaultWafer(o.Size)
		if o.Encoding == "dies" {
			c.Encoding = classify.Dies
			c.Normalize = dataset.Normalize{Mean: [3]float32{0.5, 0.5, 0.5}, Std: [3]float32{0.5, 0.5, 0.5}}
		}
	}
	c.Task = classify.MultiClass
	if m == Sigmoids {
		c.Task = classify.MultiLabel
	}
	c.Frozen = b == Frozen
	c.Epochs = o.Epochs
	if c.Frozen {
		c.Epochs = o.HeadEpochs
	}
	c.Warmup = min(1, c.Epochs-1)
	c.Turn = o.Turn && !c.Frozen
	c.Batch, c.LR, c.BackboneLR, c.Balance = o.Batch, o.LR, o.BackboneLR, o.Balance
	c.AdamW.WeightDecay = o.WeightDecay
	return c
}

// one trains and tests one classifier.
func one(ctx context.Context, o Config, net *backbone.ResNet, p problem, b, weights, m string) (row Row, err error) {
	name := fmt.Sprintf("%s, %s, %s", weights, b, m)
	cfg := o.settings(b, m)
	train := p.train.kinds
	if m == Sigmoids {
		train = p.train.labels
	}
	memory, err := cfg.Estimate(net, image.Pt(o.Size, o.Size), train.Len(), len(train.Names()))
	if err != nil {
		return row, err
	}
	fmt.Fprintf(o.Log, "%s: fit on %d images; weights, state and batches take %d MB\n", name, train.Len(), memory.Fitting/1e6)
	logs, err := o.Curves.Of(fileName(fmt.Sprintf("%s-%s-%s-%s", weights, b, m, p.split))).Open(0)
	if err != nil {
		return row, err
	}
	defer func() { err = errors.Join(err, logs.Close()) }()
	tell := progress(name, train.Len(), o.Log)
	c, err := classify.New(net, cfg, rand.New(rand.NewPCG(o.Seed, 1)), downstream.WithProgress(func(p downstream.Progress) {
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
	fmt.Fprintf(o.Log, "%s: predict %d images\n", name, row.Test)
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
		if m == Sigmoids {
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
	if o.Save {
		at := fileName(fmt.Sprintf("%s-%s-%s-%s", row.Weights, b, m, p.split))
		err = c.Save(filepath.Join(o.Out, at+".safetensors"))
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
	names, ok := apart.Names(weights, fileName)
	if !ok {
		return nil, fmt.Errorf("%s: rows and saved classifiers bear the names of the files, and two of them are the same", strings.Join(weights, ","))
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
				fmt.Fprintf(stderr, "%s: features of %d images in %.1f s\n", name, images, time.Since(start).Seconds())
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
		fmt.Fprintf(stderr, "%s: epoch %d/%d, loss %.4f, %.4f of the images right, %.0f s\n", name, s.Epoch, s.Epochs, loss, right, time.Since(start).Seconds())
	}
}
