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
	"github.com/gotab/gotab/internal/apart"
	"github.com/gotab/gotab/metrics"
	"github.com/gotab/gotab/tab"
	"github.com/gotab/gotab/tab/card"
	"github.com/gotab/gotab/tensor"
)

// Runner runs a study in a folder.
type Runner struct {
	Start    string          // file of weights that trainings begin with
	Out      string          // folder
	Pretrain string          // program; see FindPretrain
	Trainer  Trainer         // trains in its place; nil for none
	Device   tensor.Device   // of trainings and of fits
	Store    *evaluate.Store // Judge needs it
	Log      io.Writer       // one line for what is done; nil for nowhere
	// Done is the record of a fit that has been done elsewhere, and false where it has not; nil
	// for none at all.
	Done func(v Variant, sha256 string, s Set, f Fit) (evaluate.Record, bool)
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
// returns what the store and Done have then of these weights, images and settings. A trial that fails is
// noted in the store, and [ErrTrials] returned in the end; what keeps all from going on ends it at once. Without
// a Store it returns evaluate.ErrConfig.
func (r *Runner) Judge(ctx context.Context, v Variant, sets []Set, fits []Fit) (out []Judged, err error) {
	if r.Store == nil {
		return nil, fmt.Errorf("study: judge: %w: Store is nil; evaluate.OpenStore opens one", evaluate.ErrConfig)
	}
	err = r.eachClass(ctx, v, sets, fits, func(net *detectors.Network, s Set, all []wanted) error {
		err := r.class(ctx, v, net, s, all)
		out = append(out, found(v, s, all, r.Store.Find)...)
		return err
	})
	return out, err
}

// Found returns what records and Done have of all that [Runner.Judge] would do: those of the weights, images
// and settings as they are now. It fits nothing and needs no Store.
func (r *Runner) Found(ctx context.Context, v Variant, sets []Set, fits []Fit, records []evaluate.Record) (out []Judged, err error) {
	of := map[evaluate.Key]evaluate.Record{}
	for _, x := range records {
		if _, twice := of[x.Key()]; x.Failed == "" && !twice {
			of[x.Key()] = x
		}
	}
	find := func(k evaluate.Key) (evaluate.Record, bool) { x, ok := of[k]; return x, ok }
	err = r.eachClass(ctx, v, sets, fits, func(_ *detectors.Network, s Set, all []wanted) error {
		out = append(out, found(v, s, all, find)...)
		return nil
	})
	return out, err
}

// eachClass opens the network of a variant and calls do for each class, with what is wanted of it. It
// goes on after [ErrTrials].
func (r *Runner) eachClass(ctx context.Context, v Variant, sets []Set, fits []Fit, do func(net *detectors.Network, s Set, all []wanted) error) (err error) {
	file, err := card.FileAt(v.File)
	if err != nil {
		return err
	}
	opened, err := r.open(ctx, v)
	if err != nil {
		return fmt.Errorf("%s: %w", v, err)
	}
	net := &detectors.Network{Net: opened, Arch: opened.Arch(), Weights: v.String(), SHA256: file.SHA256}
	defer func() { err = errors.Join(err, net.Close()) }()
	if v.Share != 1 {
		start, err := card.FileAt(r.Start)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(fmt.Appendf(nil, "%g of %s and %s", v.Share, file.SHA256, start.SHA256))
		net.SHA256 = hex.EncodeToString(sum[:])
	}
	var failures error
	for _, s := range sets {
		all, err := r.wanted(v, file.SHA256, net, s, fits)
		if err == nil {
			err = do(net, s, all)
		}
		if errors.Is(err, ErrTrials) {
			failures = errors.Join(failures, fmt.Errorf("%s, class %s: %w", v, s.Class, err))
		} else if err != nil {
			return fmt.Errorf("%s, class %s: %w", v, s.Class, err)
		}
	}
	return failures
}

// log is Log, or nowhere.
func (r *Runner) log() io.Writer {
	if r.Log == nil {
		return io.Discard
	}
	return r.Log
}

// ErrTrials says that trials failed, and are noted.
var ErrTrials = errors.New("not all fits succeeded")

// wanted is a fit on a class, with the record that it has or will have.
type wanted struct {
	fit   Fit
	trial evaluate.Trial
	known evaluate.Record
	done  bool // elsewhere: known has its figures
}

// wanted lists the fits of one class.
func (r *Runner) wanted(v Variant, sha string, net *detectors.Network, s Set, fits []Fit) (out []wanted, err error) {
	methods := map[string]evaluate.Method{}
	for _, f := range fits {
		if r.Done != nil {
			if known, ok := r.Done(v, sha, s, f); ok {
				out = append(out, wanted{fit: f, known: known, done: true})
				continue
			}
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
			t.Checkpoint = filepath.Join(r.Out, "checkpoints", fmt.Sprintf("%s-%s-%s.ckpt", apart.FileName(m.Name), apart.FileName(s.Class), known.Hash[:16]))
		}
		out = append(out, wanted{fit: f, trial: t, known: known})
	}
	return out, nil
}

// found are the records of what is wanted, those that are there.
func found(v Variant, s Set, all []wanted, find func(evaluate.Key) (evaluate.Record, bool)) (out []Judged) {
	for _, w := range all {
		if w.done {
			out = append(out, Judged{v, s, w.fit, w.known})
		} else if r, ok := find(w.known.Key()); ok {
			out = append(out, Judged{v, s, w.fit, r})
		}
	}
	return out
}

// class does the fits of one class that are not done yet.
func (r *Runner) class(ctx context.Context, v Variant, net *detectors.Network, s Set, all []wanted) error {
	var todo []evaluate.Trial
	var of []Fit
	for _, w := range all {
		if _, ok := r.Store.Find(w.known.Key()); ok || w.done {
			continue
		}
		if w.trial.Checkpoint != "" {
			if err := os.MkdirAll(filepath.Dir(w.trial.Checkpoint), 0o755); err != nil {
				return err
			}
		}
		todo, of = append(todo, w.trial), append(of, w.fit)
	}
	if len(todo) == 0 {
		return nil
	}
	begin := time.Now()
	if err := r.trials(ctx, net, todo, of); err != nil {
		return err
	}
	fmt.Fprintf(r.log(), "%s, %s: %d fits in %s\n", v, s.Class, len(todo), time.Since(begin).Round(time.Second/10))
	return nil
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
	fmt.Fprintf(r.log(), "%s, %s, %s seed %s: failed: %v\n", known.Weights, known.Class, known.Method, known.Seed, reason)
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
