package main

import (
	"context"
	"errors"
	"fmt"
	"image"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/evaluate/detectors"
	"github.com/gotab/gotab/metrics"
)

// record is what one fit of one detector on one class gave: a line of the file of
// results. Figures are 0 to 1.
type record struct {
	Version    int       `json:"version"`
	Network    string    `json:"network"`
	Seed       uint64    `json:"seed"`
	Share      float64   `json:"share"`
	SHA256     string    `json:"weights_sha256"`
	Set        string    `json:"set"` // hash of what is fitted on and scored, and how
	Class      string    `json:"class"`
	Detector   string    `json:"detector"`
	Draw       string    `json:"draw"`
	Defective  []bool    `json:"defective"`
	Scores     []float64 `json:"scores"`
	ImageAUROC float64   `json:"image_auroc"`
	PixelAUROC *float64  `json:"pixel_auroc"`
	AUPRO      *float64  `json:"aupro"`
	Failed     string    `json:"failed,omitempty"`
}

const recordVersion = 1

// fitting is one detector with one draw.
type fitting struct {
	detector, draw string
	transform      dataset.Transform
	pixels         bool
	make           func(fe downstream.Extractor) (downstream.Detector, error)
}

// counts says whether the pixels of seed i+1 are counted.
func (d draws) counts(i int) bool { return d.Pixels == 0 || i < d.Pixels }

// fittings lists all that are wanted of a class on a network.
func (p plan) fittings() []fitting {
	var out []fitting
	cfg := downstream.DefaultPaDiM()
	if p.PaDiM.Reference {
		out = append(out, fitting{"padim", "reference", cfg.Transform, true, func(fe downstream.Extractor) (downstream.Detector, error) {
			return downstream.NewPaDiM(fe, cfg, nil)
		}})
	}
	for i := range p.PaDiM.Seeds {
		out = append(out, fitting{"padim", fmt.Sprint(i + 1), cfg.Transform, p.PaDiM.counts(i), func(fe downstream.Extractor) (downstream.Detector, error) {
			cfg := cfg
			cfg.Channels, cfg.Reduced = nil, 100
			return downstream.NewPaDiM(fe, cfg, rand.New(rand.NewPCG(uint64(i+1), 1)))
		}})
	}
	pc := downstream.DefaultPatchCore()
	for i := range p.PatchCore.Seeds {
		out = append(out, fitting{"patchcore", fmt.Sprint(i + 1), pc.Transform, p.PatchCore.counts(i), func(fe downstream.Extractor) (downstream.Detector, error) {
			return downstream.NewPatchCore(fe, pc, rand.New(rand.NewPCG(uint64(i+1), 2)))
		}})
	}
	return out
}

// set is a class with what is fitted on and what is scored.
type set struct {
	class      string
	good, test dataset.Dataset
	masked     bool
	id         string
}

// budget is how many bytes of features, and of pictures, are kept for a class.
const (
	featureBudget = 3 << 30
	pictureBudget = 1 << 29
)

// judge fits and scores all fittings of a class on a network and hands on the
// record of each. What has is left out.
func judge(ctx context.Context, net *backbone.ResNet, st set, fits []fitting, has func(fitting) bool, emit func(fitting, record) error) error {
	fits = slices.DeleteFunc(slices.Clone(fits), has)
	for len(fits) > 0 { // one memory for all fittings of a transform
		tr := fits[0].transform
		var these, rest []fitting
		for _, f := range fits {
			if f.detector == fits[0].detector {
				these = append(these, f)
			} else {
				rest = append(rest, f)
			}
		}
		fits = rest
		good, err := dataset.NewCached(st.good, tr, pictureBudget)
		if err != nil {
			return err
		}
		test, err := dataset.NewCached(st.test, tr, pictureBudget)
		if err != nil {
			return err
		}
		mem := detectors.NewMemory(net, featureBudget)
		counting := newCounter()
		for _, f := range these {
			if err := one(ctx, mem, f, good, test, st.masked && f.pixels, counting, emit); err != nil {
				return errors.Join(err, counting.wait())
			}
		}
		if err := counting.wait(); err != nil {
			return err
		}
	}
	return nil
}

func one(ctx context.Context, mem *detectors.Memory, f fitting, good, test dataset.Dataset, masked bool, c *counter, emit func(fitting, record) error) (err error) {
	d, err := f.make(mem)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	if err := d.Fit(ctx, good); err != nil {
		return fmt.Errorf("%s, draw %s: fit: %w", f.detector, f.draw, err)
	}
	r := record{Detector: f.detector, Draw: f.draw}
	var maps []pixelMap
	for sc, err := range d.ScoreSet(ctx, test) {
		if err != nil {
			return fmt.Errorf("%s, draw %s: %w", f.detector, f.draw, err)
		}
		defective, err := sc.Truth()
		if err != nil {
			return err
		}
		r.Defective, r.Scores = append(r.Defective, defective), append(r.Scores, sc.Score)
		if masked {
			mask := sc.Mask // of the transformed picture: the data set has done that
			if defective && mask == nil {
				return fmt.Errorf("%s: %w: a defect without a mask among others that have one", sc.Name, dataset.ErrMask)
			}
			maps = append(maps, pixelMap{sc.Map.Data, mask})
		}
	}
	if r.ImageAUROC, err = metrics.AUROC(r.Scores, r.Defective); err != nil {
		return err
	}
	return c.run(func() error {
		if masked {
			if err := r.count(maps); err != nil {
				return err
			}
		}
		return emit(f, r)
	})
}

type pixelMap struct {
	scores []float32
	mask   *image.Gray
}

// pixelBudget keeps all pixels of 500 maps, so that areas are exact.
const pixelBudget = 256 << 20

func (r *record) count(maps []pixelMap) error {
	roc, pro := metrics.NewPixelAUROC(pixelBudget), metrics.NewAUPRO(pixelBudget)
	for _, m := range maps {
		if err := roc.AddMask(m.scores, m.mask); err != nil {
			return err
		}
		if err := pro.AddMask(m.scores, m.mask); err != nil {
			return err
		}
	}
	a, err := roc.Result()
	if err != nil {
		return err
	}
	b, err := pro.Result(metrics.LimitMVTec)
	if err != nil {
		return err
	}
	r.PixelAUROC, r.AUPRO = &a.AUROC, &b.AUPRO
	return nil
}

// counter counts pixels beside the fits, on at most as many goroutines as there are
// processors.
type counter struct {
	places chan struct{}
	wg     sync.WaitGroup
	mu     sync.Mutex
	err    error
}

func newCounter() *counter { return &counter{places: make(chan struct{}, runtime.GOMAXPROCS(0))} }

func (c *counter) run(fn func() error) error {
	c.places <- struct{}{}
	c.wg.Add(1)
	go func() {
		defer func() { <-c.places; c.wg.Done() }()
		err := fn()
		c.mu.Lock()
		defer c.mu.Unlock()
		c.err = errors.Join(c.err, err)
	}()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

func (c *counter) wait() error {
	c.wg.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}
