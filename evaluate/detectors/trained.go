package detectors

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"slices"
	"time"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/evaluate"
	"github.com/gotab/gotab/metrics"
)

// RD4AD is the method of downstream.RD4AD with the weights after the last epoch.
func RD4AD(c Choice) (evaluate.Method, error) {
	if err := c.check(); err != nil {
		return evaluate.Method{}, err
	}
	cfg := downstream.DefaultRD4AD()
	cfg.Transform = c.tuned(cfg.Transform)
	if c.Layers != nil {
		cfg.Layers = c.Layers
	}
	if c.Epochs > 0 {
		cfg.Epochs = c.Epochs
	}
	m := c.method("rd4ad", cfg.Layers, cfg)
	m.Epochs, m.Chance = cfg.Epochs, "the first weights and the order of the images"
	m.Protocol.Transform, m.Protocol.Mask, m.Protocol.Epoch = cfg.Transform, metrics.MaskBilinearHalf, metrics.EpochLast
	m.New = func(s evaluate.Seed) (evaluate.Detector, error) {
		return made(downstream.NewRD4AD(c.Net.Net, cfg, s.Rand(), c.options()...))
	}
	return m, nil
}

// SimpleNet is the method of downstream.SimpleNet with the weights after the last epoch.
func SimpleNet(c Choice) (evaluate.Method, error) {
	if err := c.check(); err != nil {
		return evaluate.Method{}, err
	}
	cfg := downstream.DefaultSimpleNet()
	cfg.Transform = c.tuned(cfg.Transform)
	if c.Layers != nil {
		cfg.Layers = c.Layers
		cfg.Dim -= cfg.Dim % len(cfg.Layers) // it must divide by their number
	}
	if c.Epochs > 0 {
		cfg.Epochs = c.Epochs
	}
	m := c.method("simplenet", cfg.Layers, cfg)
	m.Epochs, m.Chance = cfg.Epochs, "the first weights, the order of the images and the noise"
	m.Protocol.Transform, m.Protocol.Mask, m.Protocol.Epoch = cfg.Transform, metrics.MaskBilinearOne, metrics.EpochLast
	m.Protocol.Score = metrics.ScorePatchMax
	m.New = func(s evaluate.Seed) (evaluate.Detector, error) {
		return made(downstream.NewSimpleNet(c.Net.Net, cfg, s.Rand(), c.options()...))
	}
	return m, nil
}

// SimpleNetBestOnTest is SimpleNet as its authors report it: the epoch that the test
// set likes best. Its figures are too high by construction.
func SimpleNetBestOnTest(c Choice) (evaluate.Method, error) {
	m, err := SimpleNet(c)
	if err != nil {
		return m, err
	}
	m.Name, m.Protocol.Epoch = "simplenet-best-on-test", metrics.EpochBestOnTest
	plain := m.New
	m.New = func(s evaluate.Seed) (evaluate.Detector, error) {
		d, err := plain(s)
		if err != nil {
			return nil, err
		}
		a := d.(*Adapter)
		a.learn = func(ctx context.Context, m evaluate.Material) (evaluate.Learnt, error) {
			return evaluate.Learnt{Images: m.Good.Len()}, a.SetScorer.(*downstream.SimpleNet).FitBestOnTest(ctx, m.Good, m.Test)
		}
		return a, nil
	}
	return m, nil
}

// RegAD is the method of downstream.RegAD. It is trained once for a class, on all
// other classes ([evaluate.Method.Others]), and then described by a support set, which a seed decides: several seeds
// are the several support sets that its published numbers are means over. With
// a checkpoint in the trial, a training that was interrupted goes on. The method keeps
// the network of the class that was trained last, in its form as a file: trials of one
// method run one after another.
func RegAD(c Choice) (evaluate.Method, error) {
	if err := c.check(); err != nil {
		return evaluate.Method{}, err
	}
	cfg := downstream.DefaultRegAD()
	cfg.Transform = c.tuned(cfg.Transform)
	if c.Layers != nil {
		cfg.Layers = c.Layers
	}
	if c.Epochs > 0 {
		cfg.Epochs = c.Epochs
	}
	if c.Shots > 0 {
		cfg.Shots = c.Shots
	}
	m := c.method("regad", cfg.Layers, cfg)
	m.Epochs, m.Shots, m.Others = cfg.Epochs, cfg.Shots, true
	m.Chance = fmt.Sprintf("the %d images of the support set", cfg.Shots)
	m.Protocol.Transform, m.Protocol.Epoch = cfg.Transform, metrics.EpochLast
	var last trained
	m.New = func(evaluate.Seed) (evaluate.Detector, error) {
		d, err := downstream.NewRegAD(c.Net.Net, cfg, rand.New(rand.NewPCG(trainingSeed, 0)), c.options()...)
		if err != nil {
			return nil, err
		}
		a := Of(d)
		a.learn = func(ctx context.Context, m evaluate.Material) (evaluate.Learnt, error) {
			support, err := m.Support(cfg.Shots)
			if err != nil {
				return evaluate.Learnt{}, err
			}
			start := time.Now()
			fresh, err := last.train(ctx, a, m, c)
			if err != nil {
				return evaluate.Learnt{}, err
			}
			l := evaluate.Learnt{Images: support.Len(), Training: time.Since(start)}
			if fresh {
				l.Others = m.Others.Len() * (1 + cfg.Shots) * cfg.Epochs
			}
			return l, a.Fit(ctx, support)
		}
		return a, nil
	}
	return m, nil
}

// trainingSeed decides what the training of RegAD draws, whatever the support set.
const trainingSeed = 1

// trained is the network that was trained last, as in a file, and what on.
type trained struct {
	data, class string
	on          []dataset.Item
	file        []byte
}

// train trains the RegAD in a on all other classes, or puts the one in its place that
// was trained on the same images before. fresh says that all of the training was done
// here and now.
func (last *trained) train(ctx context.Context, a *Adapter, m evaluate.Material, c Choice) (fresh bool, err error) {
	on := dataset.Items(m.Others)
	if last.data == m.Data && last.class == m.Class && slices.Equal(last.on, on) {
		again, err := downstream.ReadRegAD(ctx, bytes.NewReader(last.file), c.Net.Net.Device(), c.options()...)
		if err != nil {
			return false, err
		}
		old := a.SetScorer
		a.SetScorer = again
		return false, old.Close()
	}
	d := a.SetScorer.(*downstream.RegAD)
	_, missing := os.Stat(m.Checkpoint)
	if err := d.TrainResumable(ctx, m.Others, m.Checkpoint); err != nil {
		if errors.Is(err, downstream.ErrCheckpoint) {
			err = fmt.Errorf("%w (delete %s to train anew)", err, m.Checkpoint)
		}
		return false, err
	}
	var file bytes.Buffer
	if _, err := d.WriteTo(&file); err != nil {
		return false, err
	}
	*last = trained{m.Data, m.Class, on, file.Bytes()}
	return m.Checkpoint == "" || errors.Is(missing, fs.ErrNotExist), nil
}
