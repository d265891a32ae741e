package tab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/gotab/gotab/tensor"
)

// checkpointVersion changes when an older program could not read the file, or this
// one not an older file. Version 1 described collaborators by their JSON.
const checkpointVersion = "gotab-checkpoint-2"

// state is the part of a checkpoint that is no tensor.
type state struct {
	Config    json.RawMessage `json:"config"`
	Objective string          `json:"objective"`
	Settings  json.RawMessage `json:"objective_settings,omitempty"` // of one of this package
	Aim       partIdentity    `json:"objective_identity"`
	Synth     partIdentity    `json:"synth"`
	Classes   []string        `json:"classes"`
	Data      string          `json:"data"`
	Threads   int             `json:"threads"`
	Width     int             `json:"width"`
	Epoch     int             `json:"epoch"`
	Batch     int             `json:"batch"`
	Own       int             `json:"own,omitempty"`
	Step      int64           `json:"step"`
}

// SaveCheckpoint writes everything that Resume needs (weights, statistics,
// projection, the objective's parameters, optimizer state, anchors, settings and
// where the run stands) to one file that appears whole or not at all.
func (p *Pretrainer) SaveCheckpoint(path string) error {
	fail := func(err error) error { return fmt.Errorf("tab: save checkpoint %s: %w", path, err) }
	if p.closed {
		return fail(ErrClosed)
	}
	if p.classes == nil {
		return fail(ErrNotPrepared)
	}
	st, arrays, err := p.contents()
	if err != nil {
		return fail(err)
	}
	b, err := json.Marshal(st)
	if err != nil {
		return fail(err)
	}
	if err := tensor.SaveWeights(path, map[string]string{"version": checkpointVersion, "state": string(b)}, arrays); err != nil {
		return fail(err)
	}
	return nil
}

// contents is what a checkpoint holds.
func (p *Pretrainer) contents() (st state, arrays []tensor.Array, err error) {
	ctx := context.Background() // a checkpoint is written on cancellation too
	add := func(prefix string, part []tensor.Array, err error) error {
		for _, a := range part {
			a.Name = prefix + a.Name
			arrays = append(arrays, a)
		}
		return err
	}
	for _, part := range []struct {
		prefix string
		params *tensor.Params
	}{{"visual.", p.parts.Visual.Params()}, {"head.", p.head}, {"anchors.", p.anchors}, {"start.", p.startParams()}, {"metric.", p.metricParams()}} {
		if part.params == nil {
			continue
		}
		a, err := part.params.Arrays(ctx)
		if err = add(part.prefix, a, err); err != nil {
			return st, nil, err
		}
	}
	for i, prefix := range optPrefixes {
		a, err := p.opt[i].State(ctx)
		if err = add(prefix, a, err); err != nil {
			return st, nil, err
		}
	}
	cfg := p.cfg
	cfg.Objective = nil
	st = state{Objective: p.cfg.Objective.Name(), Settings: ownSettings(p.cfg.Objective), Aim: identify(p.cfg.Objective),
		Synth: p.generator(), Classes: p.classes, Data: p.data, Threads: tensor.GetThreads().PerRun, Width: p.width,
		Epoch: p.epoch, Batch: p.batch, Own: p.own, Step: p.step}
	st.Config, err = json.Marshal(cfg)
	return st, arrays, err
}

var optPrefixes = [2]string{"optimizer.visual.", "optimizer.head."}

// Resume continues the run that wrote the checkpoint: same settings, same
// classes, and the weights go into parts.Visual, whatever it held. The generator
// must be the one it was, the data set of the next Steps must have the same items,
// and on the CPU the thread setting must be the same, because the last bits
// depend on it; what differs is an error that wraps [ErrCheckpoint]. parts.Anchors
// is not used: the checkpoint holds the anchors. Under [WithGroup] each rank resumes
// from a file of the same content; their number need not be what it was.
//
// The generator, and an objective of the caller's own ([WithObjective]), are told
// by type and Fingerprint (see [synth.Fingerprinter]). A type that has fields and
// no Fingerprint cannot be told: it is refused with ErrCheckpoint unless
// [WithSameParts] vouches for it.
func Resume(path string, parts Parts, opts ...Option) (*Pretrainer, error) {
	var group Pretrainer // to tell the other ranks of a failure
	for _, o := range opts {
		o(&group)
	}
	fail := func(err error) (*Pretrainer, error) {
		return nil, fmt.Errorf("tab: resume %s: %w", path, group.ranks.end(context.Background(), "resume", err))
	}
	w, err := tensor.OpenWeights(path)
	if err != nil {
		return fail(err)
	}
	if v := w.Metadata["version"]; v != checkpointVersion {
		return fail(fmt.Errorf("%w: version is %q, want %q", ErrCheckpoint, v, checkpointVersion))
	}
	var st state
	if err := json.Unmarshal([]byte(w.Metadata["state"]), &st); err != nil {
		return fail(fmt.Errorf("%w: %w", ErrCheckpoint, err))
	}
	var cfg Config
	if err := json.Unmarshal(st.Config, &cfg); err != nil {
		return fail(fmt.Errorf("%w: settings: %w", ErrCheckpoint, err))
	}
	cfg.Objective = unknown(st.Objective)
	if len(st.Settings) > 0 {
		if cfg.Objective, err = builtin(st.Objective, st.Settings); err != nil {
			return fail(fmt.Errorf("%w: objective: %w", ErrCheckpoint, err))
		}
	}
	if t := tensor.GetThreads().PerRun; t != st.Threads && parts.Visual != nil && !parts.Visual.Params().Device().IsCUDA() {
		return fail(fmt.Errorf("%w: it was written with %d threads a Run, now there are %d; call tensor.SetThreads", ErrCheckpoint, st.Threads, t))
	}
	if parts.Anchors == nil {
		parts.Anchors = &Bank{} // New asks for anchors; make gets them from the file
	}
	p, err := New(parts, cfg, opts...)
	if err != nil {
		group.ranks.told = err // New has told it
		return fail(err)
	}
	err = p.sameParts(st)
	if err == nil {
		err = p.load(st, w.Arrays)
	}
	if err == nil {
		err = p.ranks.same(context.Background(), "resume", p.program(p.classes), nil)
	}
	if err == nil {
		err = p.sameContents(context.Background(), "resume")
	}
	if err = p.ranks.end(context.Background(), "resume", err); err != nil {
		group.ranks.told = err
		return fail(errors.Join(err, p.Close()))
	}
	return p, nil
}

// builtin restores an objective of this package; another one comes by option.
func builtin(name string, settings json.RawMessage) (Objective, error) {
	switch name {
	case "binary", "classes":
		var c Classification
		err := json.Unmarshal(settings, &c)
		return c, err
	case "keep":
		var k Keep
		err := json.Unmarshal(settings, &k)
		return k, err
	case "amplify":
		var a Amplify
		err := json.Unmarshal(settings, &a)
		return a, err
	case "dense":
		var d Dense
		err := json.Unmarshal(settings, &d)
		return d, err
	case string(FormPaper), string(FormOfficial), string(FormJoint), string(FormNormal):
		var a Alignment
		err := json.Unmarshal(settings, &a)
		return a, err
	}
	if strings.HasPrefix(name, mixName+"(") {
		var m Mix
		err := json.Unmarshal(settings, &m)
		return m, err
	}
	return unknown(name), nil
}

// unknown stands for an objective that WithObjective has to bring.
type unknown string

func (u unknown) Name() string { return string(u) }
func (u unknown) Needs() Needs { return Needs{} }

// Validate fails: New calls it after the options.
func (u unknown) Validate() error {
	return fmt.Errorf("%w: it was written with the objective %q, which is not of this package; pass WithObjective", ErrCheckpoint, string(u))
}

func (u unknown) Setup(*tensor.Scope, *tensor.Params, Dims, *rand.Rand) error { return u.Validate() }

func (u unknown) Loss(s *tensor.Scope, _ View) (loss, accuracy *tensor.Tensor) {
	s.Fail(u.Validate())
	return nil, nil
}

// load distributes the arrays. The encoder is changed last, and only if all else
// is right.
func (p *Pretrainer) load(st state, arrays []tensor.Array) error {
	parts := map[string][]tensor.Array{}
	prefixes := []string{"visual.", "head.", "anchors.", "start.", "metric.", optPrefixes[0], optPrefixes[1]}
	for _, a := range arrays {
		found := false
		for _, pre := range prefixes {
			if n, ok := strings.CutPrefix(a.Name, pre); ok {
				a.Name = n
				parts[pre] = append(parts[pre], a)
				found = true
				break
			}
		}
		if !found {
			return fmt.Errorf("%w: it holds %q", ErrCheckpoint, a.Name)
		}
	}
	if err := p.checkPlace(st); err != nil {
		return err
	}
	n := 0
	if p.needs.Anchors {
		for _, a := range parts["anchors."] { // before memory is made for them
			if len(a.Shape) != 2 || a.Shape[0] != int64(len(st.Classes)) || a.Shape[1] != int64(st.Width) {
				return fmt.Errorf("%w: %d classes of width %d have anchors %v", ErrCheckpoint, len(st.Classes), st.Width, a.Shape)
			}
			n = len(st.Classes) * st.Width
		}
	}
	ctx := context.Background()
	p.width = st.Width
	if err := p.make(ctx, st.Classes, make([]float32, n), make([]float32, n)); err != nil {
		return err
	}
	visual := p.parts.Visual.Params()
	if err := p.anchors.SetArrays(ctx, parts["anchors."], nil); err != nil {
		return fmt.Errorf("%w: anchors: %w", ErrCheckpoint, err)
	}
	if err := p.head.SetArrays(ctx, parts["head."], nil); err != nil {
		return fmt.Errorf("%w: head: %w", ErrCheckpoint, err)
	}
	for i, pre := range optPrefixes {
		if err := p.opt[i].Restore(ctx, parts[pre]); err != nil {
			return fmt.Errorf("%w: optimizer: %w", ErrCheckpoint, err)
		}
	}
	if err := p.loadStart(ctx, st.Classes, parts["start."], parts["metric."]); err != nil {
		return err
	}
	if err := visual.SetArrays(ctx, parts["visual."], nil); err != nil {
		return fmt.Errorf("%w: encoder: %w", ErrCheckpoint, err)
	}
	p.classes, p.data = st.Classes, st.Data
	p.epoch, p.batch, p.own, p.step = st.Epoch, st.Batch, st.Own, st.Step
	return nil
}

// checkPlace refuses a place at which no run stands; whether the epoch has that
// many batches, Steps sees.
func (p *Pretrainer) checkPlace(st state) error {
	switch {
	case len(st.Classes) == 0 || st.Width < 0 || st.Step < 0 || st.Own < 0:
		return fmt.Errorf("%w: its state makes no sense", ErrCheckpoint)
	case st.Epoch < 0 || st.Batch < 0, st.Data == "" && st.Batch > 0,
		p.cfg.Steps == 0 && (st.Epoch > p.cfg.Epochs || st.Epoch == p.cfg.Epochs && st.Batch > 0):
		return fmt.Errorf("%w: it stands before batch %d of epoch %d, which is no place in a run of %d epochs",
			ErrCheckpoint, st.Batch, st.Epoch, p.cfg.Epochs)
	}
	return nil
}
