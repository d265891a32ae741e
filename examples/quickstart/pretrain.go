package main

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"time"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/clipenc"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/prompt"
	"github.com/gotab/gotab/tab"
	"github.com/gotab/gotab/tensor"
)

// The text bank: all-MiniLM-L6-v2 (Apache-2.0) in place of CLIP's text encoder,
// the sentences of prompt.DefaultIDPA. bank.py makes it.
//
//go:embed bank.safetensors
var bankFile []byte

// anchors returns the language anchors: the built-in bank, or a CLIP that is
// closed by the returned function once training is prepared.
func anchors(s settings, dev tensor.Device) (a tab.Anchors, what string, done func() error, err error) {
	if s.clip == "" {
		bank, err := tab.ReadBank(bytes.NewReader(bankFile))
		if err != nil {
			return nil, "", nil, err
		}
		what = fmt.Sprintf("built-in bank of %d classes, made with %s (Apache-2.0) in place of CLIP", len(bank.Classes), bank.Model)
		return bank, what, func() error { return nil }, nil
	}
	cfg, err := s.tower()
	if err != nil {
		return nil, "", nil, err
	}
	text, err := clipenc.Open(s.clip, cfg, dev)
	if err != nil {
		return nil, "", nil, err
	}
	return tab.FromText(text, prompt.DefaultIDPA()), "CLIP of " + s.clip, text.Close, nil
}

// pretrain trains the network on good images and their synthetic twins.
func pretrain(ctx context.Context, net *backbone.ResNet18, good dataset.Dataset, s settings, dev tensor.Device, log *progress) (what string, err error) {
	text, what, done, err := anchors(s, dev)
	if err != nil {
		return "", err
	}
	log.say("language anchors: %s", what)
	r, err := recipeNamed(s.recipe)
	if err != nil {
		return "", errors.Join(err, done())
	}
	cfg := r.training(s)
	log.say("recipe %s: %s", r.name, r.what)
	pre, err := tab.New(tab.Parts{Visual: net, Anchors: text, Synth: r.twins()}, cfg)
	if err != nil {
		return "", errors.Join(err, done())
	}
	defer func() { err = errors.Join(err, pre.Close()) }()
	if s.clip != "" {
		normal, abnormal := prompt.DefaultIDPA().Count()
		log.say("encoding %d sentences of each of %d products; on two cores this takes half a minute", normal+abnormal, len(good.Classes()))
	}
	// The text encoder is used here and never again.
	if err := errors.Join(pre.Prepare(ctx, good.Classes()), done()); err != nil {
		return "", err
	}
	said := time.Now()
	var loss, accuracy, images float64
	var steps int
	for st, err := range pre.Steps(ctx, good) {
		if err != nil {
			return "", err
		}
		loss += st.Loss
		accuracy += st.Accuracy
		images += float64(2 * cfg.Batch)
		steps++
		last := st.Batch == st.Batches-1
		if !last && time.Since(said) < 8*time.Second {
			continue
		}
		log.say("pre-training: epoch %d of %d, step %d of %d, loss %.3f, right answers %.0f %%, %.0f images/s",
			st.Epoch+1, s.epochs, st.Batch+1, st.Batches, loss/float64(steps), 100*accuracy/float64(steps), images/time.Since(said).Seconds())
		said, loss, accuracy, images, steps = time.Now(), 0, 0, 0, 0
	}
	return what, nil
}
