package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/examples/internal/inputs"
	"github.com/gotab/gotab/tab"
	"github.com/gotab/gotab/tensor"
)

// run is the program without the process around it.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	if err := o.join(ctx, stderr); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, o.crew.close()) }()
	if !o.crew.first() {
		stdout, stderr = io.Discard, io.Discard
	}
	if err := o.reading.UseThreads(); err != nil {
		return err
	}
	dev, err := tensor.ParseDevice(o.device)
	if err != nil {
		return err
	}
	if dev, err = o.gpu(dev); err != nil {
		return err
	}
	for _, out := range []string{o.out, o.log} { // before the hours that lead to them
		if out == "" || !o.crew.first() {
			continue
		}
		if err := inputs.CheckFile(out); err != nil {
			return err
		}
	}
	if err := o.curves.Check(); err != nil {
		return err
	}
	cfg, gen, err := settings(o)
	if err != nil {
		return err
	}
	found, err := good(ctx, o, stderr)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, found.close()) }()
	images := found.Data
	if t, ok := o.reading.Tiles(); ok {
		if images, err = dataset.NewTiled(ctx, images, t); err != nil {
			return err
		}
		fmt.Fprintf(stderr, "%d pictures are seen as %d tiles (%s)\n", found.Data.Len(), images.Len(), t)
	}
	var pr tab.Probe
	left := leftOut{data: found.Skipped}
	if o.probe != "" {
		if pr, left.probe, err = probe(ctx, o, stderr); err != nil {
			return err
		}
	}
	from := "of the checkpoint"
	var parts tab.Parts
	if !o.resume && o.recipe != "none" {
		if parts.Anchors, from, err = o.banks(ctx, cfg, images.Classes(), dev, stderr); err != nil {
			return err
		}
	}
	net, err := network(o, dev)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, net.Close()) }()
	ds, err := dataset.NewCached(images, cfg.Transform, cacheBytes)
	if err != nil {
		return err
	}
	if o.recipe == "none" {
		return only(ctx, o, ds, cfg, net, left, stdout, stderr)
	}
	table := ""
	if o.synth == "mixture" {
		if gen, table, err = twins(ctx, o, ds, cfg, net, stdout, stderr); err != nil {
			return err
		}
	}
	parts.Visual, parts.Synth, parts.Probe = net, gen, pr
	pre, err := pretrainer(o, cfg, parts)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, pre.Close()) }()
	if o.resume {
		if err := o.agrees(cfg, pre.Config(), stderr); err != nil {
			return err
		}
	}
	cfg = pre.Config() // a resumed run has the checkpoint's
	if note, err := inputs.UnseenNote(cfg.Transform, found.Sizes); err != nil {
		return err
	} else if note != "" {
		fmt.Fprintf(stderr, "note: %s\n", note)
	}
	if !cfg.Transform.AppliedTo(ds) {
		if ds, err = dataset.NewCached(images, cfg.Transform, cacheBytes); err != nil {
			return err
		}
	}
	fmt.Fprintf(stderr, "%s of %s on %s; objective %s; anchors: %s\n", inputs.Number(ds.Len(), "good image"), inputs.Number(len(ds.Classes()), "class"), dev, cfg.Objective.Name(), from)
	log, err := openJournal(o, pre.Taken())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.close()) }()
	if pr != nil && !o.resume {
		m, err := pr.Probe(ctx, net)
		if err != nil {
			return err
		}
		if err := log.start(m); err != nil {
			return err
		}
	}
	if err := o.begin(ctx, pre, ds); err != nil {
		return err
	}
	if !o.crew.first() {
		_, _, err := train(ctx, o, pre, ds, log, stdout, stderr)
		return err
	}
	about, err := describe(ctx, o, pre, found, table, dev, stderr)
	if err != nil {
		return err
	}
	began := time.Now()
	steps, done, err := train(ctx, o, pre, ds, log, stdout, stderr)
	if err = errors.Join(err, about.ran(pre.Taken(), time.Since(began))); err != nil || !done {
		return err
	}
	if steps == 0 {
		fmt.Fprintf(stderr, "nothing was trained: the run of %s had done all its %d epochs; without -resume, and with another -out, a new one begins\n", checkpoint(o), cfg.Epochs)
	}
	if o.interpolate < 1 {
		start, err := network(o, dev)
		if err != nil {
			return err
		}
		if err := errors.Join(tab.Interpolate(ctx, net.Params(), start.Params(), net.Params(), o.interpolate), start.Close()); err != nil {
			return err
		}
	}
	factors, err := scale(ctx, o, ds, cfg, net, stdout, stderr)
	if err != nil {
		return err
	}
	projected, err := save(ctx, o, pre, left, map[string]string{"twins": table, "scale": factors}, stderr)
	if err != nil {
		return err
	}
	return about.finish(projected, stderr)
}

// weightsOf is what tells the settings of an objective.
func weightsOf(o tab.Objective) string {
	b, err := json.Marshal(o)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// agrees refuses flags that say something else than the checkpoint that a run is
// resumed from, whose settings count.
func (o options) agrees(asked, has tab.Config, stderr io.Writer) error {
	var wrong []string
	for _, f := range []struct {
		flags      string
		asked, has any
	}{
		{"epochs", asked.Epochs, has.Epochs}, {"batch", asked.Batch, has.Batch}, {"lr", asked.LR, has.LR}, {"repeat", asked.Repeat, has.Repeat},
		{"seed", asked.Seed, has.Seed}, {"precision", asked.Precision, has.Precision}, {"objective recipe", asked.Objective.Name(), has.Objective.Name()}, {"probe-every", asked.ProbeEvery, has.ProbeEvery},
		{"size transform bits recipe", asked.Transform.String(), has.Transform.String()}, {"bn head-epochs", asked.Stages, has.Stages},
		{"steps", asked.Steps, has.Steps}, {"crop", asked.Crop, has.Crop}, {"warmup", asked.Schedule.WarmupSteps, has.Schedule.WarmupSteps},
		{"amplify text keep", weightsOf(asked.Objective), weightsOf(has.Objective)},
	} {
		var given []string
		for _, name := range strings.Fields(f.flags) {
			if o.set[name] {
				given = append(given, "-"+name)
			}
		}
		if len(given) > 0 && f.asked != f.has {
			wrong = append(wrong, fmt.Sprintf("%s (%v, the checkpoint has %v)", strings.Join(given, " "), f.asked, f.has))
		}
	}
	if len(wrong) > 0 {
		return fmt.Errorf("%w: -resume goes on with the settings of %s, and other ones are given: %s; leave these flags out, or begin anew without -resume and with another -out",
			errUsage, checkpoint(o), strings.Join(wrong, "; "))
	}
	for _, name := range []string{"init", "bank", "clip"} {
		if o.set[name] && (name != "init" || o.interpolate == 1) {
			fmt.Fprintf(stderr, "note: -%s is not read, %s has weights and anchors\n", name, checkpoint(o))
		}
	}
	return nil
}

func network(o options, dev tensor.Device) (*backbone.ResNet18, error) {
	if o.init == "" {
		return backbone.NewResNet18(dev, rand.New(rand.NewPCG(o.seed, 0)))
	}
	if o.reading.Prefix == "" {
		return backbone.OpenResNet18(o.init, dev)
	}
	net, err := backbone.OpenChoice(o.init, backbone.Choice{Prefix: o.reading.Prefix}, dev)
	if err != nil {
		return nil, err
	}
	if net.Arch() != backbone.ArchResNet18 {
		return nil, errors.Join(fmt.Errorf("%w: -init %s has %s behind -prefix %s, and this program trains a ResNet-18", backbone.ErrArch, o.init, net.Arch(), o.reading.Prefix), net.Close())
	}
	return net, nil
}

func checkpoint(o options) string { return o.out + ".ckpt" }

// pretrainer composes the parts, or takes up the run where its checkpoint left it.
func pretrainer(o options, cfg tab.Config, parts tab.Parts) (*tab.Pretrainer, error) {
	opts := o.crew.with(tab.WithCheckpoint(checkpoint(o)))
	if o.resume {
		return tab.Resume(checkpoint(o), parts, opts...)
	}
	return tab.New(parts, cfg, opts...)
}

// begin writes the checkpoint of a run of several processes before its first step: what
// a restart goes on from is then never that of an older run.
func (o options) begin(ctx context.Context, pre *tab.Pretrainer, ds dataset.Dataset) error {
	if !o.crew.many() || o.resume {
		return nil
	}
	if err := pre.Prepare(ctx, ds.Classes()); err != nil || !o.crew.first() {
		return err
	}
	return pre.SaveCheckpoint(checkpoint(o))
}

// train runs the steps, prints a line an epoch and says how many steps there were
// and whether the run is complete.
func train(ctx context.Context, o options, pre *tab.Pretrainer, ds dataset.Dataset, log *journal, stdout, stderr io.Writer) (taken int, done bool, err error) {
	var loss, accuracy, seconds float64
	steps, redrawn := 0, 0
	last := time.Now()
	for st, err := range pre.Steps(ctx, ds) {
		if err != nil {
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
			fmt.Fprintf(stderr, "step %d:", st.Number)
			for _, m := range st.Indicators {
				fmt.Fprintf(stderr, " %s %.4f", m.Name, m.Value)
			}
			fmt.Fprintln(stderr)
		}
		if time.Since(last) > 5*time.Second {
			fmt.Fprintf(stderr, "epoch %d, step %d of %d: loss %.4f, accuracy %.3f, %.1f images/s\n", st.Epoch, st.Batch+1, st.Batches, st.Loss, st.Accuracy, st.ImagesSec)
			last = time.Now()
		}
		if st.Batch+1 == st.Batches {
			n := float64(steps)
			fmt.Fprintf(stdout, "epoch %d loss %.4f acc %.3f %.1f img/s", st.Epoch, loss/n, accuracy/n, n/seconds)
			if redrawn > 0 {
				fmt.Fprintf(stdout, " (%d images replaced, no defect could be placed)", redrawn)
			}
			fmt.Fprintln(stdout)
			loss, accuracy, seconds, steps, redrawn = 0, 0, 0, 0, 0
		}
		if o.maxSteps > 0 && taken == o.maxSteps {
			if !o.crew.first() {
				return taken, false, nil
			}
			fmt.Fprintf(stderr, "stopped after %d steps; -resume goes on from %s\n", taken, checkpoint(o))
			return taken, false, pre.SaveCheckpoint(checkpoint(o))
		}
	}
	return taken, true, nil
}

// leftOut are the names of images that -skip-broken leaves out, of what is trained on
// and of -probe.
type leftOut struct{ data, probe []string }

// save writes the network, with more in its metadata: what is not empty.
// The projection, if there is one, lies beside it, so that the network's file has
// no other names; it says whether there is one.
func save(ctx context.Context, o options, pre *tab.Pretrainer, left leftOut, more map[string]string, stderr io.Writer) (projected bool, err error) {
	if projected, err = pre.SaveProjection(ctx, projectionFile(o.out)); err != nil {
		return false, err
	}
	maps.DeleteFunc(more, func(_, v string) bool { return v == "" })
	left.say(more, stderr)
	if err := pre.SaveWeights(ctx, o.out, tab.WeightsConfig{Names: o.names, Metadata: more}); err != nil {
		return false, err
	}
	fmt.Fprintf(stderr, "weights written to %s\n", o.out)
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
