package training

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"reflect"
	"time"
	"unicode/utf8"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/tab"
	"github.com/gotab/gotab/tab/card"
	"github.com/gotab/gotab/tensor"
)

// maxMeasured bounds the table of [Config.Measured], in bytes.
const maxMeasured = 1 << 20

// description is the card of a run, and what is not in it yet.
type description struct {
	*card.Card
	o    Config
	part card.Part // that goes on
}

// describe begins the card of the run, or takes up the one that it was begun with, and
// writes it. Images that are not those of the card are an error.
func describe(ctx context.Context, o Config, pre *tab.Pretrainer, found *images, made twinned, anchors *card.Anchors) (*description, error) {
	fmt.Fprintf(o.Log, "summing up %s for the card\n", count(found.Data.Len(), "image", "images"))
	data, err := found.sums(ctx)
	if err != nil {
		return nil, err
	}
	cfg := pre.Config()
	d := &description{o: o, part: card.Part{From: pre.Taken(), Library: card.Library(), Libtorch: tensor.LibtorchVersion(), Device: o.Device.String(), Threads: tensor.GetThreads().PerRun}}
	switch old, err := card.Open(card.Name(o.Out)); {
	case !o.Resume:
		d.Card = &card.Card{Version: 1, Options: o.Options, Start: &card.Start{Seed: cfg.Seed}, Anchors: anchors}
		if o.Init != "" {
			f, err := card.FileAt(o.Init)
			if err != nil {
				return nil, err
			}
			d.Start = &card.Start{File: f}
		}
	case errors.Is(err, fs.ErrNotExist):
		fmt.Fprintf(o.Log, "note: %s is missing, so the new one does not say what the run began with\n", card.Name(o.Out))
		d.Card = &card.Card{Version: 1}
	case err != nil:
		return nil, err
	case old.Watch != o.Watch:
		return nil, fmt.Errorf("training: %w: the run of %s was begun with Watch of %g, by %s, and this is %g", ErrConfig, Checkpoint(o.Out), old.Watch, card.Name(o.Out), o.Watch)
	case !reflect.DeepEqual(old.Data, data):
		return nil, fmt.Errorf("the images are not those that the run of %s was begun with: by %s they have other contents", Checkpoint(o.Out), card.Name(o.Out))
	default:
		d.Card = old
	}
	if err := o.knowsStart(d.Start); err != nil {
		return nil, err
	}
	d.Data, d.Skipped, d.Watch, d.Share, d.Seed = data, len(found.Skipped), o.Watch, o.Interpolate, cfg.Seed
	d.Architecture, d.Objective = backbone.ArchResNet18.String(), cfg.Objective.Name()
	if d.Recipe, err = json.Marshal(cfg); err != nil {
		return nil, err
	}
	if len(d.Detectability) == 0 { // else the run was begun with it
		d.Detectability = made.told()
	}
	if made.hash != "" {
		if d.Twins, err = card.FileAt(tableFile(o)); err != nil {
			return nil, err
		}
	}
	if len(o.Licences) > 0 {
		d.Licences = o.Licences
	}
	if o.Measured != "" {
		if d.Measured, err = measured(o.Measured); err != nil {
			return nil, fmt.Errorf("measured: %w", err)
		}
	}
	d.Finished, d.Weights, d.Projection = false, nil, nil
	d.Steps = pre.Taken()
	return d, d.Save(card.Name(o.Out))
}

// knowsStart says, where the start is needed, whether Init is what the run began with.
func (o Config) knowsStart(start *card.Start) error {
	fault := ErrInterpolate
	if o.Interpolate == 1 {
		fault = fmt.Errorf("%w: Watch holds good parts against the start", ErrConfig)
	}
	wrong := func(format string, a ...any) error {
		return fmt.Errorf("training: %w: "+format, append([]any{fault}, a...)...)
	}
	switch {
	case o.Interpolate == 1 && o.Watch == 0:
		return nil
	case start == nil && o.Init == "":
		return wrong("%s does not say what the run began with; name its file of weights", card.Name(o.Out))
	case start == nil: // there is nothing to hold it against
		return nil
	case start.File == nil && o.Init != "":
		return wrong("the run of %s began with random weights, and not with %s", Checkpoint(o.Out), o.Init)
	case start.File != nil && o.Init == "":
		return wrong("the run of %s began with the weights of %s; name that file again", Checkpoint(o.Out), start.File.Name)
	case start.File != nil:
		if err := start.File.Check(o.Init); err != nil {
			return fmt.Errorf("start: %w", err)
		}
	}
	return nil
}

// ran adds the stretch of the run that has ended, well or not.
func (d *description) ran(taken int64, took time.Duration) error {
	if taken == d.part.From {
		return nil
	}
	d.part.To, d.part.Seconds, d.Steps = taken, took.Seconds(), taken
	d.Parts = append(d.Parts, d.part)
	return d.Save(card.Name(d.o.Out))
}

// finish says which weights were written.
func (d *description) finish(projected bool) (err error) {
	if d.Weights, err = card.FileAt(d.o.Out); err != nil {
		return err
	}
	if projected {
		if d.Projection, err = card.FileAt(projectionFile(d.o.Out)); err != nil {
			return err
		}
	}
	d.Finished = true
	if err := d.Save(card.Name(d.o.Out)); err != nil {
		return err
	}
	fmt.Fprintf(d.o.Log, "card written to %s\n", card.Name(d.o.Out))
	return nil
}

// measured reads a table of figures.
func measured(path string) (*card.Table, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxMeasured+1))
	switch {
	case err != nil:
		return nil, err
	case len(text) > maxMeasured || !utf8.Valid(text):
		return nil, fmt.Errorf("%s is no text of at most %d bytes", path, maxMeasured)
	}
	at, err := card.FileAt(path)
	if err != nil {
		return nil, err
	}
	return &card.Table{File: *at, Text: string(text)}, nil
}
