package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/tab"
	"github.com/gotab/gotab/tab/card"
	"github.com/gotab/gotab/tensor"
)

// maxMeasured bounds the table of -measured, in bytes.
const maxMeasured = 1 << 20

// untold are the flags that a card does not repeat: paths, what it says elsewhere, and
// what changes no weight.
const untold = "data init clip clip-vocab bank out log probe tensorboard csv measured licence resume max-steps interpolate threads device seed probe-every"

// description is the card of a run, and what is not in it yet.
type description struct {
	*card.Card
	o    options
	part card.Part // that goes on
}

// describe begins the card of the run, or takes up the one that it was begun with, and
// writes it. Images that are not those of the card are an error: their names are the
// same, or the checkpoint would have been refused.
func describe(ctx context.Context, o options, pre *tab.Pretrainer, found images, table string, dev tensor.Device, stderr io.Writer) (*description, error) {
	data, err := card.Data(ctx, found.files)
	if err != nil {
		return nil, err
	}
	cfg := pre.Config()
	d := &description{o: o, part: card.Part{From: pre.Taken(), Library: card.Library(), Libtorch: tensor.LibtorchVersion(), Device: dev.String(), Threads: tensor.GetThreads().PerRun}}
	switch old, err := card.Open(card.Name(o.out)); {
	case !o.resume:
		d.Card = &card.Card{Version: 1, Options: map[string]string{}}
		for name, value := range o.given {
			if !oneOf(name, strings.Fields(untold)...) {
				d.Options[name] = value
			}
		}
		if o.set["twins"] { // which may be a file
			d.Options["twins"] = filepath.Base(o.twins)
		}
		if len(o.without) > 0 { // a flag that is given several times keeps no text
			d.Options["without"] = strings.Join(o.without, ", ")
		}
		if err := d.origin(cfg); err != nil {
			return nil, err
		}
	case errors.Is(err, fs.ErrNotExist):
		fmt.Fprintf(stderr, "note: %s is missing, so the new one does not say what the run began with\n", card.Name(o.out))
		d.Card = &card.Card{Version: 1}
	case err != nil:
		return nil, err
	case !reflect.DeepEqual(old.Data, data):
		return nil, fmt.Errorf("the images are not those that the run of %s was begun with: by %s they have other contents", checkpoint(o), card.Name(o.out))
	default:
		d.Card = old
		if o.init != "" && o.interpolate < 1 && old.Start != nil {
			if err := old.Start.File.Check(o.init); err != nil {
				return nil, fmt.Errorf("-init: %w", err)
			}
		}
	}
	d.Data, d.Skipped, d.Share, d.Seed = data, len(found.Skipped), o.interpolate, cfg.Seed
	d.Architecture, d.Objective = backbone.ArchResNet18.String(), cfg.Objective.Name()
	if d.Recipe, err = json.Marshal(cfg); err != nil {
		return nil, err
	}
	if table != "" {
		if d.Twins, err = card.FileAt(tableFile(o)); err != nil {
			return nil, err
		}
	}
	if len(o.licences) > 0 {
		d.Licences = o.licences
	}
	if o.measured != "" {
		if d.Measured, err = measured(o.measured); err != nil {
			return nil, fmt.Errorf("-measured: %w", err)
		}
	}
	d.Finished, d.Weights, d.Projection = false, nil, nil
	d.Steps = pre.Taken()
	return d, d.Save(card.Name(o.out))
}

// origin says what weights and anchors are made of.
func (d *description) origin(cfg tab.Config) (err error) {
	o := d.o
	d.Start = &card.Start{Seed: o.seed}
	if o.init != "" {
		f, err := card.FileAt(o.init)
		if err != nil {
			return err
		}
		d.Start = &card.Start{File: f}
	}
	if !cfg.Objective.Needs().Anchors {
		return nil
	}
	if o.bank != "" {
		b, err := tab.OpenBank(o.bank)
		if err != nil {
			return err
		}
		d.Anchors = &card.Anchors{Model: b.Model, Prompts: b.Prompts}
		d.Anchors.File, err = card.FileAt(o.bank)
		return err
	}
	p := prompts(o)
	d.Anchors = &card.Anchors{Model: filepath.Base(o.clip.Weights), Prompts: p.Hash()}
	if info, err := os.Stat(o.clip.Weights); err == nil && info.Mode().IsRegular() {
		d.Anchors.File, err = card.FileAt(o.clip.Weights)
		return err
	}
	return nil // a folder, whose parts the encoder has read
}

// ran adds the stretch of the run that has ended, well or not.
func (d *description) ran(taken int64, took time.Duration) error {
	if taken == d.part.From {
		return nil
	}
	d.part.To, d.part.Seconds, d.Steps = taken, took.Seconds(), taken
	d.Parts = append(d.Parts, d.part)
	return d.Save(card.Name(d.o.out))
}

// finish says which weights were written.
func (d *description) finish(projected bool, stderr io.Writer) (err error) {
	if d.Weights, err = card.FileAt(d.o.out); err != nil {
		return err
	}
	if projected {
		if d.Projection, err = card.FileAt(projectionFile(d.o.out)); err != nil {
			return err
		}
	}
	d.Finished = true
	if err := d.Save(card.Name(d.o.out)); err != nil {
		return err
	}
	fmt.Fprintf(stderr, "card written to %s\n", card.Name(d.o.out))
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
