package study

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/evaluate"
	"github.com/gotab/gotab/evaluate/detectors"
	"github.com/gotab/gotab/metrics"
	"github.com/gotab/gotab/tab"
	"github.com/gotab/gotab/tab/card"
	"github.com/gotab/gotab/tensor"
)

// Runner runs a study in a folder.
type Runner struct {
	Start    string  // file of weights that trainings begin with
	Out      string  // folder
	Pretrain string  // program; see FindPretrain
	Trainer  Trainer // trains in its place; nil for none
	Device   tensor.Device
	Store    *evaluate.Store
	Log      io.Writer // one line for what is done
	// Done says whether a fit has been done elsewhere; nil for no.
	Done func(v Variant, sha256 string, s Set, f Fit) bool
}

// Set is a class with what is fitted on and what is scored.
type Set struct {
	Data, Class string
	Good, Test  dataset.Dataset
	// Others are good images of other classes, for methods that learn from them.
	Others dataset.Dataset
	ID     string // tells it from others of the class; for Runner.Done
}

// Fit is one method with one seed.
type Fit struct {
	// Method is for the network whose features the detector reads.
	Method func(n *detectors.Network) (evaluate.Method, error)
	Name   string // of the method with its settings
	Seed   evaluate.Seed
	Pixels bool // counted
	// Alone keeps other fits from going on beside it: one that trains, or takes much
	// memory.
	Alone bool
}

// Budgets are how many bytes of features, and of images, are kept for a class.
const (
	featureBudget = 3 << 30
	imageBudget   = 1 << 29
)

// Judged is what the store has of a fit on a class.
type Judged struct {
	Variant Variant
	Set     Set
	Fit     Fit
	Record  evaluate.Record
}

// Judge fits and scores all that is not in the store yet, on one set of weights, and
// returns what the store has then. A trial that fails is noted there, and [ErrTrials]
// returned in the end; what keeps all from going on ends it at once.
func (r *Runner) Judge(ctx context.Context, v Variant, sets []Set, fits []Fit) (out []Judged, err error) {
	file, err := card.FileAt(v.File)
	if err != nil {
		return nil, err
	}
	opened, err := r.open(ctx, v)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", v, err)
	}
	net := &detectors.Network{Net: opened, Arch: opened.Arch(), Weights: v.String(), SHA256: file.SHA256}
	defer func() { err = errors.Join(err, net.Close()) }()
	if v.Share != 1 {
		start, err := card.FileAt(r.Start)
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(fmt.Appendf(nil, "%g of %s and %s", v.Share, file.SHA256, start.SHA256))
		net.SHA256 = hex.EncodeToString(sum[:])
	}
	var failures error
	for _, s := range sets {
		of, err := r.class(ctx, v, file.SHA256, net, s, fits)
		out = append(out, of...)
		if errors.Is(err, ErrTrials) {
			failures = errors.Join(failures, fmt.Errorf("%s, class %s: %w", v, s.Class, err))
		} else if err != nil {
			return out, fmt.Errorf("%s, class %s: %w", v, s.Class, err)
		}
	}
	return out, failures
}

// ErrTrials says that trials failed, and are noted.
var ErrTrials = errors.New("not all fits succeeded")

// class does the fits of one class.
func (r *Runner) class(ctx context.Context, v Variant, sha string, net *detectors.Network, s Set, fits []Fit) (out []Judged, err error) {
	var todo []evaluate.Trial
	var of []Fit
	methods := map[string]evaluate.Method{}
	keys := map[int]evaluate.Key{}
	defer func() {
		for i, f := range fits {
			if k, ok := keys[i]; !ok {
				continue
			} else if found, ok := r.Store.Find(k); ok {
				out = append(out, Judged{v, s, f, found})
			}
		}
	}()
	for i, f := range fits {
		if r.Done != nil && r.Done(v, sha, s, f) {
			continue
		}
		m, ok := methods[f.Name] // one for all seeds: a method may keep what they share
		if !ok {
			if m, err = f.Method(net); err != nil {
				return nil, fmt.Errorf("%s: %w", f.Name, err)
			}
			m.Training = &v.Training
			methods[f.Name] = m
		}
		t := evaluate.Trial{Method: m, Seed: f.Seed, Data: s.Data, Class: s.Class, Train: s.Good, Test: s.Test}
		if m.Others {
			t.Others = s.Others
		}
		known, err := t.Known()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name, err)
		}
		if m.Others { // the hash tells settings, data and weights
			t.Checkpoint = filepath.Join(r.Out, "checkpoints", fmt.Sprintf("%s-%s-%s.ckpt", m.Name, s.Class, known.Hash[:16]))
			if err := os.MkdirAll(filepath.Dir(t.Checkpoint), 0o755); err != nil {
				return nil, err
			}
		}
		keys[i] = known.Key()
		if _, ok := r.Store.Find(known.Key()); !ok {
			todo, of = append(todo, t), append(of, f)
		}
	}
	if len(todo) == 0 {
		return nil, nil
	}
	begin := time.Now()
	if err := r.trials(ctx, net, todo, of); err != nil {
		return nil, err
	}
	fmt.Fprintf(r.Log, "%s, %s: %d fits in %s\n", v, s.Class, len(todo), time.Since(begin).Round(time.Second/10))
	return nil, nil
}

// trials runs trials of one class. Images are resized once for each transform, and
// features are remembered.
func (r *Runner) trials(ctx context.Context, net *detectors.Network, all []evaluate.Trial, of []Fit) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	places := min(2, runtime.GOMAXPROCS(0))
	free := make(chan struct{}, places)
	var wg sync.WaitGroup
	var mu sync.Mutex
	var failures, fatal error
	note := func(t evaluate.Trial, err error) {
		mu.Lock()
		defer mu.Unlock()
		if err = r.failed(ctx, t, err); err != nil {
			fatal = cmp.Or(fatal, err) // the others end because of it
			cancel()
			return
		}
		failures = ErrTrials
	}
	var good, test *dataset.Cached
	seen := ""
	for i, t := range all {
		if ctx.Err() != nil {
			break
		}
		// What is kept of one transform is given back before the next.
		if by := t.Method.Protocol; by.Tiles == nil && (seen == "" || seen != by.Transform.Fingerprint()) {
			wg.Wait()
			var err error
			if good, err = dataset.NewCached(t.Train, by.Transform, imageBudget); err == nil {
				test, err = dataset.NewCached(t.Test, by.Transform, imageBudget)
			}
			if err != nil {
				return err
			}
			net.Memory = detectors.NewMemory(net.Net, featureBudget)
			seen = by.Transform.Fingerprint()
		}
		if t.Method.Protocol.Tiles == nil && t.Method.Protocol.Mask == metrics.MaskNearest { // the data set makes masks by this rule alone
			t.Train, t.Test = good, test
		}
		opts := []evaluate.Option{evaluate.WithScores()}
		if !of[i].Pixels {
			opts = append(opts, evaluate.WithoutPixels())
		}
		take := 1
		if of[i].Alone {
			take = places
		}
		for range take {
			free <- struct{}{}
		}
		wg.Add(1)
		go func() {
			defer wg.Done()
			if _, _, err := r.Store.Run(ctx, t, opts...); err != nil {
				note(t, err)
			}
			for range take {
				<-free
			}
		}()
	}
	wg.Wait()
	net.Memory = nil
	if fatal == nil && ctx.Err() != nil { // between two fits
		fatal = ctx.Err()
	}
	return cmp.Or(fatal, failures)
}

// failed keeps the reason in the store, unless the study itself cannot go on.
func (r *Runner) failed(ctx context.Context, t evaluate.Trial, reason error) error {
	if ctx.Err() != nil || errors.Is(reason, evaluate.ErrStore) {
		return reason
	}
	known, err := t.Known()
	if err != nil {
		return errors.Join(reason, err)
	}
	known.Failed = reason.Error()
	fmt.Fprintf(r.Log, "%s, %s, %s seed %s: failed: %v\n", known.Weights, known.Class, known.Method, known.Seed, reason)
	return r.Store.Add(known)
}

// open reads the network of a variant, with its share of the start's weights.
func (r *Runner) open(ctx context.Context, v Variant) (net *backbone.ResNet, err error) {
	if net, err = backbone.Open(v.File, r.Device); err != nil || v.Share == 1 {
		return net, err
	}
	start, err := backbone.Open(r.Start, r.Device)
	if err != nil {
		return nil, errors.Join(err, net.Close())
	}
	defer func() { err = errors.Join(err, start.Close()) }()
	if err := tab.Interpolate(ctx, net.Params(), start.Params(), net.Params(), v.Share); err != nil {
		return nil, errors.Join(err, net.Close())
	}
	return net, nil
}
