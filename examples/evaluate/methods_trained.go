package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"time"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/metrics"
	"github.com/gotab/gotab/tensor"
)

// rd4ad is RD4AD with the weights after the last epoch.
func rd4ad(c choice) (plan, error) {
	cfg := downstream.DefaultRD4AD()
	cfg.Transform = c.tuned(cfg.Transform)
	if c.layers != nil {
		cfg.Layers = c.layers
	}
	if c.epochs > 0 {
		cfg.Epochs = c.epochs
	}
	p := plan{layers: cfg.Layers, transform: cfg.Transform, mask: halfMask(), score: metrics.ScoreMapMax, epoch: metrics.EpochLast, epochs: cfg.Epochs,
		chance: "the first weights and the order of the images", seed: seed{n: 1}, settings: cfg}
	p.make = func(net *backbone.ResNet, s seed, opts ...downstream.Option) (detector, error) {
		return made(downstream.NewRD4AD(net, cfg, s.rand(forMethod), opts...))
	}
	return p, nil
}

// simplenet is SimpleNet with the weights after the last epoch.
func simplenet(c choice) (plan, error) {
	cfg := downstream.DefaultSimpleNet()
	cfg.Transform = c.tuned(cfg.Transform)
	if c.layers != nil {
		cfg.Layers = c.layers
		cfg.Dim -= cfg.Dim % len(cfg.Layers) // it must divide by their number
	}
	if c.epochs > 0 {
		cfg.Epochs = c.epochs
	}
	p := plan{layers: cfg.Layers, transform: cfg.Transform, mask: fullMask(), score: metrics.ScorePatchMax, epoch: metrics.EpochLast, epochs: cfg.Epochs,
		chance: "the first weights, the order of the images and the noise", seed: seed{n: 1}, settings: cfg}
	p.make = func(net *backbone.ResNet, s seed, opts ...downstream.Option) (detector, error) {
		return made(downstream.NewSimpleNet(net, cfg, s.rand(forMethod), opts...))
	}
	return p, nil
}

// bestOnTest is SimpleNet as its authors report it: the epoch that the test set
// likes best.
func bestOnTest(c choice) (plan, error) {
	p, err := simplenet(c)
	p.epoch = metrics.EpochBestOnTest
	p.fit = func(ctx context.Context, d detector, m material) (learnt, error) {
		return learnt{images: m.good.Len()}, d.(*downstream.SimpleNet).FitBestOnTest(ctx, m.good, m.test)
	}
	return p, err
}

// regad is RegAD. It is trained once for a class, on all other classes of the
// root, and then described by a support set, which a seed decides: several seeds
// are the several support sets that its published numbers are means over. Where
// results are kept, so is the training: one that was interrupted goes on.
func regad(c choice) (plan, error) {
	cfg := downstream.DefaultRegAD()
	cfg.Transform = c.tuned(cfg.Transform)
	if c.layers != nil {
		cfg.Layers = c.layers
	}
	if c.epochs > 0 {
		cfg.Epochs = c.epochs
	}
	if c.shots > 0 {
		cfg.Shots = c.shots
	}
	p := plan{layers: cfg.Layers, transform: cfg.Transform, mask: nearestMask(), score: metrics.ScoreMapMax, epoch: metrics.EpochLast, epochs: cfg.Epochs,
		shots: cfg.Shots, others: true, chance: fmt.Sprintf("the %d images of the support set", cfg.Shots), seed: seed{n: 1}, settings: cfg}
	var last trained
	p.make = func(net *backbone.ResNet, _ seed, opts ...downstream.Option) (detector, error) {
		d, err := downstream.NewRegAD(net, cfg, rand.New(rand.NewPCG(trainingSeed, 0)), opts...)
		if err != nil {
			return nil, err
		}
		return &registered{RegAD: d, dev: net.Device(), opts: opts}, nil
	}
	p.fit = func(ctx context.Context, d detector, m material) (learnt, error) {
		support, err := m.support(cfg.Shots)
		if err != nil {
			return learnt{}, err
		}
		start := time.Now()
		fresh, err := d.(*registered).train(ctx, m, &last)
		if err != nil {
			return learnt{}, err
		}
		l := learnt{images: support.Len(), training: time.Since(start)}
		if fresh {
			l.others = m.others.Len() * (1 + cfg.Shots) * cfg.Epochs
		}
		return l, d.Fit(ctx, support)
	}
	return p, nil
}

// trainingSeed decides what the training of RegAD draws, whatever the support set.
const trainingSeed = 1

// trained is the network of the class that was trained last, as in a file.
type trained struct {
	root, class string
	file        []byte
}

// registered is a RegAD that takes the place of one which was trained on the same
// classes before.
type registered struct {
	*downstream.RegAD
	dev  tensor.Device
	opts []downstream.Option
}

// train trains on all other classes, or takes what last has, which it keeps up to
// date. fresh says that all of the training was done here and now.
func (r *registered) train(ctx context.Context, m material, last *trained) (fresh bool, err error) {
	if last.root == m.root && last.class == m.class {
		again, err := downstream.ReadRegAD(ctx, bytes.NewReader(last.file), r.dev, r.opts...)
		if err != nil {
			return false, err
		}
		old := r.RegAD
		r.RegAD = again
		return false, old.Close()
	}
	_, missing := os.Stat(m.checkpoint)
	if err := r.TrainResumable(ctx, m.others, m.checkpoint); err != nil {
		if errors.Is(err, downstream.ErrCheckpoint) {
			err = fmt.Errorf("%w (delete %s to train anew)", err, m.checkpoint)
		}
		return false, err
	}
	var file bytes.Buffer
	if _, err := r.WriteTo(&file); err != nil {
		return false, errors.Join(err, r.Close())
	}
	*last = trained{m.root, m.class, file.Bytes()}
	return m.checkpoint == "" || errors.Is(missing, fs.ErrNotExist), nil
}
