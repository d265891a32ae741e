package main

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"time"

	"github.com/gotab/gotab/backbone"
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

// anchors returns the language anchors of the classes: the built-in bank, or what a CLIP makes of
// the library's sentences, which is closed again.
func anchors(ctx context.Context, s settings, classes []string, dev tensor.Device) (bank *tab.Bank, what string, err error) {
	if s.clip == "" {
		if bank, err = tab.ReadBank(bytes.NewReader(bankFile)); err != nil {
			return nil, "", err
		}
		return bank, fmt.Sprintf("built-in bank of %d classes, made with %s (Apache-2.0) in place of CLIP", len(bank.Classes), bank.Model), nil
	}
	clip, err := s.source()
	if err == nil {
		bank, err = clip.Bank(ctx, classes, prompt.DefaultIDPA(), dev)
	}
	return bank, "CLIP of " + s.clip, err
}

// pretrain trains the network on good images and their synthetic twins.
func pretrain(ctx context.Context, net *backbone.ResNet18, good dataset.Dataset, s settings, dev tensor.Device, log *progress) (what string, err error) {
	if s.clip != "" {
		normal, abnormal := prompt.DefaultIDPA().Count()
		log.say("encoding %d sentences of each of %d products; on two cores this takes half a minute", normal+abnormal, len(good.Classes()))
	}
	text, what, err := anchors(ctx, s, good.Classes(), dev)
	if err != nil {
		return "", err
	}
	log.say("language anchors: %s", what)
	log.say("recipe %s: %s", s.short.Name, s.short.About)
	cfg := s.short.Train
	cfg.Seed = s.seed
	pre, err := tab.New(tab.Parts{Visual: net, Anchors: text, Synth: s.short.Synth}, cfg)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, pre.Close()) }()
	if err := pre.Prepare(ctx, good.Classes()); err != nil {
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
