package training

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/internal/atomicfile"
	"github.com/gotab/gotab/scalars"
	"github.com/gotab/gotab/tab"
)

// Run trains and writes the weights. It says whether the run is complete: MaxSteps and errors end it
// before. It returns an error that wraps [ErrConfig] or tab.ErrConfig for settings that make no
// sense, dataset.ErrBroken for images that cannot be read, tab.ErrCheckpoint where a run
// cannot go on, [ErrNoneBlind] where no class is left to be trained, or that of ctx, after which Resume goes on.
func Run(ctx context.Context, o Config) (complete bool, err error) {
	defer func() { complete = complete && err == nil }()
	if err := o.Validate(); err != nil {
		return false, err
	}
	o.Train.Transform = o.Reading.Transform(o.Train.Transform)
	if o.Print == nil {
		o.Print = io.Discard
	}
	if o.Log == nil {
		o.Log = io.Discard
	}
	if !first(o.Group) {
		o.Print, o.Log, o.Journal, o.Probe, o.Curves = io.Discard, io.Discard, "", "", scalars.Places{}
	} else if err := o.tryOutputs(); err != nil {
		return false, err
	}
	cfg := o.Train
	found, err := good(ctx, o, o.Log)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, found.close()) }()
	var kept dataset.Dataset
	if o.Watch > 0 {
		if kept, err = o.keepApart(&found); err != nil {
			return false, err
		}
	}
	images := found.Data
	if t, ok := o.Reading.View.Tiles(); ok {
		if images, err = dataset.NewTiled(ctx, images, t); err != nil {
			return false, err
		}
		if kept != nil && first(o.Group) {
			if kept, err = dataset.NewTiled(ctx, kept, t); err != nil {
				return false, err
			}
		}
		fmt.Fprintf(o.Log, "%d images are seen as %d tiles (%s)\n", found.Data.Len(), images.Len(), t)
	}
	var pr tab.Probe
	left := leftOut{data: found.Skipped}
	if _, err := aside(ctx, o.Group, func(ctx context.Context) (_ []byte, err error) {
		if o.Probe != "" { // of the first process
			pr, left.probe, err = probe(ctx, o, o.Log)
		}
		return nil, err
	}); err != nil {
		return false, err
	}
	from := Anchors{About: "of the checkpoint"}
	if !o.Resume && !o.Untrained {
		if from, err = o.anchors(ctx, images.Classes()); err != nil {
			return false, err
		}
	}
	net, err := network(o, cfg.Seed)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, net.Close()) }()
	ds, err := dataset.NewCached(images, cfg.Transform, cacheBytes)
	if err != nil {
		return false, err
	}
	if o.Untrained {
		return true, only(ctx, o, ds, cfg, net, left)
	}
	made := twinned{gen: o.Synth}
	if made.gen == nil {
		if made, err = twins(ctx, o, ds, cfg, net); err != nil {
			return false, err
		}
	}
	if made.only != nil {
		images = dataset.Filter(images, made.keeps)
		found.keep(made.keeps)
		if ds, err = dataset.NewCached(images, cfg.Transform, cacheBytes); err != nil {
			return false, err
		}
		if made, err = made.alone(ctx, o, ds, cfg, net); err != nil {
			return false, err
		}
	}
	if made.tied != nil {
		cfg.Tied = made.tied
	}
	var watch *watching
	if kept != nil && first(o.Group) {
		watch = &watching{o: o, other: pr}
		pr = watch
		defer func() { err = errors.Join(err, watch.close()) }()
	}
	pre, err := pretrainer(o, cfg, tab.Parts{Anchors: from.Anchors, Visual: net, Synth: made.gen, Probe: pr})
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, pre.Close()) }()
	if o.Resume && o.Agree != nil {
		if err := o.Agree(pre.Config()); err != nil {
			return false, err
		}
	}
	cfg = pre.Config() // a resumed run has the checkpoint's
	if o.Resume && o.Twins.Tie && !slices.Equal(made.tied, cfg.Tied) {
		return false, fmt.Errorf("training: %w: Twins.Tie would hold %q to the start by the table of twins, and the run of %s was begun with %q held; leave it out, or begin anew", tab.ErrCheckpoint, made.tied, Checkpoint(o.Out), cfg.Tied)
	}
	made.tied = cfg.Tied
	if err := o.continued(cfg); err != nil {
		return false, err
	}
	if note, err := found.Report.UnseenNote(cfg.Transform); err != nil {
		return false, err
	} else if note != "" {
		fmt.Fprintf(o.Log, "note: %s\n", note)
	}
	if !cfg.Transform.AppliedTo(ds) {
		if ds, err = dataset.NewCached(images, cfg.Transform, cacheBytes); err != nil {
			return false, err
		}
	}
	fmt.Fprintf(o.Log, "%s of %s on %s; objective %s; anchors: %s\n", count(ds.Len(), "good image", "good images"), count(len(ds.Classes()), "class", "classes"), o.Device, cfg.Objective.Name(), from.About)
	if first(o.Group) && !o.Resume { // from here on files are this run's: an older checkpoint beside its card would go on as this run
		if err := setAside(o.Out); err != nil {
			return false, err
		}
	}
	log, err := openJournal(o, pre.Taken())
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, log.close()) }()
	// The card comes before the checkpoint of begin: a run that goes on from that finds what it was begun with.
	var about *description
	if _, err := aside(ctx, o.Group, func(ctx context.Context) (_ []byte, err error) {
		if o.Resume { // is it the run of that card, and of that start?
			if about, err = describe(ctx, o, pre, &found, made, from.Card); err != nil {
				return nil, err
			}
		}
		if watch != nil {
			if err := watch.begin(ctx, ds, dataset.Filter(kept, made.keeps), cfg); err != nil {
				return nil, err
			}
		}
		if pr != nil && pre.Taken() == 0 {
			if err := log.measure(ctx, pr, net); err != nil {
				return nil, err
			}
		}
		if !o.Resume {
			about, err = describe(ctx, o, pre, &found, made, from.Card)
		}
		return nil, err
	}); err != nil {
		return false, err
	}
	found.forget()
	if err := o.begin(ctx, pre, ds); err != nil {
		return false, err
	}
	if !first(o.Group) {
		_, complete, err := train(ctx, o, pre, ds, log)
		return complete, err
	}
	began := time.Now()
	steps, complete, err := train(ctx, o, pre, ds, log)
	if err = errors.Join(err, about.ran(pre.Taken(), time.Since(began))); err != nil || !complete {
		return false, err
	}
	if steps == 0 {
		fmt.Fprintf(o.Log, "nothing was trained: the run of %s had done all its %d epochs; a new one begins without going on, and with another file\n", Checkpoint(o.Out), cfg.Epochs)
	}
	if o.Interpolate < 1 {
		start, err := network(o, cfg.Seed)
		if err != nil {
			return false, err
		}
		if err := errors.Join(tab.Interpolate(ctx, net.Params(), start.Params(), net.Params(), o.Interpolate), start.Close()); err != nil {
			return false, err
		}
	}
	factors, err := scale(ctx, o, ds, cfg, net)
	if err != nil {
		return false, err
	}
	projected, err := save(ctx, o, pre, left, map[string]string{"twins": made.hash, "scale": factors})
	if err != nil {
		return false, err
	}
	return true, about.finish(projected)
}

// continued refuses what a checkpoint's settings do not allow.
func (o Config) continued(cfg tab.Config) error {
	if !o.Resume {
		return nil
	}
	if o.Watch > 0 && o.Train.Seed != cfg.Seed {
		return fmt.Errorf("training: %w: which images Watch keeps apart is drawn by the seed, and that of %s is %d; this is %d", tab.ErrCheckpoint, Checkpoint(o.Out), cfg.Seed, o.Train.Seed)
	}
	if o.Synth == nil && (o.Train.Seed != cfg.Seed || o.Train.Transform.Fingerprint() != cfg.Transform.Fingerprint()) {
		return fmt.Errorf("training: %w: the mixture of twins is drawn by seed and transform, and those of %s are %d and %s; these are %d and %s",
			tab.ErrCheckpoint, Checkpoint(o.Out), cfg.Seed, cfg.Transform, o.Train.Seed, o.Train.Transform)
	}
	return o.mixable(cfg)
}

// tryOutputs finds out before the hours that lead to them whether the files can be written, and puts
// the checkpoint of an older run aside, which a restart of several processes before the first
// step must not take up.
func (o Config) tryOutputs() error {
	for _, out := range []string{o.Out, o.Journal} {
		if out == "" {
			continue
		}
		if err := atomicfile.Try(out); err != nil {
			return err
		}
	}
	if many(o.Group) && !o.Resume {
		if err := setAside(o.Out); err != nil {
			return err
		}
	}
	return o.Curves.Try()
}

// setAside gives the checkpoint of the weights out, where there is one, another name.
func setAside(out string) error {
	if err := os.Rename(Checkpoint(out), Checkpoint(out)+".old"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// anchors makes those of the classes; none where the objective looks at none.
func (o Config) anchors(ctx context.Context, classes []string) (Anchors, error) {
	switch needed := o.Train.Objective.Needs().Anchors; {
	case o.Anchors != nil:
		a, err := o.Anchors(ctx, classes)
		if !needed {
			a.Card = nil
		}
		return a, err
	case needed:
		return Anchors{}, fmt.Errorf("training: %w: objective %s needs anchors, and there are none", ErrConfig, o.Train.Objective.Name())
	}
	return Anchors{About: "none"}, nil
}

func many(g tab.Group) bool { return g != nil && g.Size() > 1 }

// first says whether this process writes files and speaks.
func first(g tab.Group) bool { return !many(g) || g.Rank() == 0 }

// count is "1 class", "2 classes".
func count(n int, one, several string) string {
	if n == 1 {
		several = one
	}
	return fmt.Sprintf("%d %s", n, several)
}

func regular(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// network opens or draws the weights that a run begins with.
func network(o Config, seed uint64) (*backbone.ResNet18, error) {
	if o.Init == "" {
		return backbone.NewResNet18(o.Device, rand.New(rand.NewPCG(seed, 0)))
	}
	if o.Prefix == "" {
		return backbone.OpenResNet18(o.Init, o.Device)
	}
	net, err := backbone.OpenChoice(o.Init, backbone.Choice{Prefix: o.Prefix}, o.Device)
	if err != nil {
		return nil, err
	}
	if net.Arch() != backbone.ArchResNet18 {
		return nil, errors.Join(fmt.Errorf("training: %w: %s has %s behind %s, and a ResNet-18 is trained", backbone.ErrArch, o.Init, net.Arch(), o.Prefix), net.Close())
	}
	return net, nil
}

// pretrainer composes the parts, or takes up the run where its checkpoint left it.
func pretrainer(o Config, cfg tab.Config, parts tab.Parts) (*tab.Pretrainer, error) {
	opts := []tab.Option{tab.WithCheckpoint(Checkpoint(o.Out))}
	if many(o.Group) {
		opts = append(opts, tab.WithGroup(o.Group), tab.WithStatistics(cmp.Or(o.Statistics, tab.StatisticsMean)))
	}
	if o.Resume {
		parts.Anchors = nil
		return tab.Resume(Checkpoint(o.Out), parts, opts...)
	}
	return tab.New(parts, cfg, opts...)
}

// begin writes the checkpoint of a run of several processes before its first step: what
// a restart goes on from is then never that of an older run.
func (o Config) begin(ctx context.Context, pre *tab.Pretrainer, ds dataset.Dataset) error {
	if !many(o.Group) || o.Resume {
		return nil
	}
	if err := pre.Prepare(ctx, ds.Classes()); err != nil || !first(o.Group) {
		return err
	}
	return pre.SaveCheckpoint(Checkpoint(o.Out))
}

// train runs the steps, prints a line an epoch and says how many steps there were
// and whether the run is complete.
func train(ctx context.Context, o Config, pre *tab.Pretrainer, ds dataset.Dataset, log *journal) (taken int, done bool, err error) {
	var loss, accuracy, seconds float64
	steps, redrawn := 0, 0
	last := time.Now()
	for st, err := range pre.Steps(ctx, ds) {
		if err != nil {
			if st.Number > 0 { // it was taken, and the checkpoint may have it: what failed came after it
				err = errors.Join(err, log.step(st))
			}
			return taken, false, err
		}
		if err := log.step(st); err != nil {
			return taken, false, err
		}
		steps++
		taken++
		loss, accuracy, redrawn = loss+st.Loss, accuracy+st.Accuracy, redrawn+st.Redrawn
		seconds += 1 / st.ImagesSec
		if len(st.Indicators) > 0 {
			fmt.Fprintf(o.Log, "step %d:", st.Number)
			for _, m := range st.Indicators {
				fmt.Fprintf(o.Log, " %s %.4f", m.Name, m.Value)
			}
			fmt.Fprintln(o.Log)
		}
		if time.Since(last) > 5*time.Second {
			fmt.Fprintf(o.Log, "epoch %d, step %d of %d: loss %.4f, accuracy %.3f, %.1f images/s\n", st.Epoch, st.Batch+1, st.Batches, st.Loss, st.Accuracy, st.ImagesSec)
			last = time.Now()
		}
		if st.Batch+1 == st.Batches {
			n := float64(steps)
			fmt.Fprintf(o.Print, "epoch %d loss %.4f acc %.3f %.1f img/s", st.Epoch, loss/n, accuracy/n, n/seconds)
			if redrawn > 0 {
				fmt.Fprintf(o.Print, " (%d images replaced, no defect could be placed)", redrawn)
			}
			fmt.Fprintln(o.Print)
			loss, accuracy, seconds, steps, redrawn = 0, 0, 0, 0, 0
		}
		if o.MaxSteps > 0 && taken == o.MaxSteps {
			if !first(o.Group) {
				return taken, false, nil
			}
			fmt.Fprintf(o.Log, "stopped after %d steps; the run goes on from %s\n", taken, Checkpoint(o.Out))
			return taken, false, pre.SaveCheckpoint(Checkpoint(o.Out))
		}
	}
	return taken, true, nil
}

// leftOut are the names of images that [dataset.Reading] leaves out, of what is trained
// on and of the probe.
type leftOut struct{ data, probe []string }

// save writes the network, with more in its metadata: what is not empty.
// The projection, if there is one, lies beside it, so that the network's file has
// no other names; it says whether there is one.
func save(ctx context.Context, o Config, pre *tab.Pretrainer, left leftOut, more map[string]string) (projected bool, err error) {
	if projected, err = pre.SaveProjection(ctx, projectionFile(o.Out)); err != nil {
		return false, err
	}
	maps.DeleteFunc(more, func(_, v string) bool { return v == "" })
	left.say(more, o.Log)
	if err := pre.SaveWeights(ctx, o.Out, tab.WeightsConfig{Names: o.Names, Metadata: more}); err != nil {
		return false, err
	}
	fmt.Fprintf(o.Log, "weights written to %s\n", o.Out)
	return projected, nil
}

func projectionFile(weights string) string { return weights + ".projection" }

// say says how many images were left out, if any, in metadata and in a line each.
func (l leftOut) say(meta map[string]string, stderr io.Writer) {
	if n := len(l.data); n > 0 {
		meta["skipped_images"] = strconv.Itoa(n)
		fmt.Fprintf(stderr, "%d images were left out because they cannot be read\n", n)
	}
	if n := len(l.probe); n > 0 {
		meta["probe_skipped_images"] = strconv.Itoa(n)
		fmt.Fprintf(stderr, "probe: %d images were left out because they cannot be read\n", n)
	}
}
