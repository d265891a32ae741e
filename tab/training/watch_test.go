package training_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/tab"
	"github.com/gotab/gotab/tab/card"
	"github.com/gotab/gotab/tab/training"
	"github.com/gotab/gotab/tensor"
)

// watch is a small run of 6 good images of two classes each, one of each kept apart.
func watch(t *testing.T, out string) training.Config {
	t.Helper()
	c := small(t, out)
	c.Data, c.Watch = []string{testutil.Plant(t, 6, 1, false)}, 0.2
	return c
}

// What is kept apart is not trained on, and nothing else changes: the weights are those of a run without these images.
func TestWatchedImagesAreNotTrainedOn(t *testing.T) {
	testutil.NoLeak(t)
	dir := t.TempDir()
	c := watch(t, filepath.Join(dir, "watched"))
	c.Journal = c.Out + ".jsonl"
	var log bytes.Buffer
	c.Log = &log
	complete, err := training.Run(t.Context(), c)
	require.NoError(t, err)
	require.True(t, complete)
	require.Contains(t, log.String(), "watch: 2 good images are kept apart")
	require.Contains(t, log.String(), "10 good images of 2 classes on cpu")
	require.Equal(t, 2*2*3, strings.Count(log.String(), "unseen parts lie"), "two looks at three layers of two classes: %s", &log)
	about, err := card.Open(card.Name(c.Out))
	require.NoError(t, err)
	for _, class := range about.Data {
		require.Equal(t, 5, class.Images)
	}
	// The log's first line has what was before the first step, and the last one what has become of it.
	lines := strings.Split(strings.TrimSpace(readText(t, c.Journal)), "\n")
	require.Len(t, lines, 1+3)
	for i, still := range map[int]bool{0: true, 3: false} {
		var line struct{ Probe []tab.Measure }
		require.NoError(t, json.Unmarshal([]byte(lines[i]), &line))
		require.Len(t, line.Probe, 2*3*7)
		require.Equal(t, "good/cloth/layer1/moved", line.Probe[0].Name)
		require.Equal(t, still, line.Probe[0].Value == 0)
	}

	least, gone := map[string]string{}, map[string]string{} // of each class the lowest hash, and whose it is
	files, err := filepath.Glob(filepath.Join(c.Data[0], "*", "train", "good", "*"))
	require.NoError(t, err)
	require.Len(t, files, 12)
	for _, f := range files {
		name, err := filepath.Rel(c.Data[0], f)
		require.NoError(t, err)
		name = filepath.ToSlash(name)
		class := strings.Split(name, "/")[0]
		if sum := sha256.Sum256(fmt.Appendf(nil, "gotab watch %d %q %q", c.Train.Seed, class, name)); least[class] == "" || string(sum[:]) < least[class] {
			least[class], gone[class] = string(sum[:]), f
		}
	}
	require.Len(t, gone, 2)
	for _, f := range gone {
		require.NoError(t, os.Remove(f))
	}
	plain := c
	plain.Out, plain.Watch, plain.Journal = filepath.Join(dir, "plain"), 0, ""
	_, err = training.Run(t.Context(), plain)
	require.NoError(t, err)
	same(t, c.Out, plain.Out)
}

func readText(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	require.NoError(t, err)
	return string(b)
}

// A run that goes on keeps the same images apart and holds them against the same start, or is refused.
func TestWatchedRunsGoOn(t *testing.T) {
	testutil.NoLeak(t)
	dir := t.TempDir()
	net, err := backbone.NewResNet18(tensor.CPU, rand.New(rand.NewPCG(7, 7)))
	require.NoError(t, err)
	init := filepath.Join(dir, "init.safetensors")
	require.NoError(t, net.Save(init))
	require.NoError(t, net.Close())
	whole := watch(t, filepath.Join(dir, "whole"))
	whole.Init, whole.Journal = init, filepath.Join(dir, "whole.jsonl")
	_, err = training.Run(t.Context(), whole)
	require.NoError(t, err)
	part := whole
	part.Out, part.Journal, part.MaxSteps = filepath.Join(dir, "part"), filepath.Join(dir, "part.jsonl"), 1
	_, err = training.Run(t.Context(), part)
	require.NoError(t, err)
	part.Resume, part.MaxSteps = true, 0
	for says, set := range map[string]func(*training.Config){
		"begun with Watch of 0.2": func(c *training.Config) { c.Watch = 0 },
		"and this is 0.34":        func(c *training.Config) { c.Watch = 0.34 },
	} {
		c := part
		set(&c)
		_, err = training.Run(t.Context(), c)
		require.ErrorIs(t, err, training.ErrConfig)
		require.ErrorContains(t, err, says)
		require.NoFileExists(t, part.Out)
	}
	other := part
	other.Train.Seed = 5
	_, err = training.Run(t.Context(), other)
	require.ErrorIs(t, err, tab.ErrCheckpoint)
	require.ErrorContains(t, err, "which images Watch keeps apart is drawn by the seed")
	unknown := part
	unknown.Init = ""
	_, err = training.Run(t.Context(), unknown)
	require.ErrorIs(t, err, training.ErrConfig)
	require.ErrorContains(t, err, "Watch holds good parts against the start")
	require.ErrorContains(t, err, path.Base(filepath.ToSlash(init)))
	complete, err := training.Run(t.Context(), part)
	require.NoError(t, err)
	require.True(t, complete)
	same(t, whole.Out, part.Out)
	last := func(journal string) string {
		lines := strings.Split(strings.TrimSpace(readText(t, journal)), "\n")
		_, probe, ok := strings.Cut(lines[len(lines)-1], `"probe":`)
		require.True(t, ok)
		return probe
	}
	require.Equal(t, last(whole.Journal), last(part.Journal))
}

// Classes that are not trained are not watched.
func TestWatchWhereTheStartIsBlind(t *testing.T) {
	testutil.NoLeak(t)
	c := blind(t, filepath.Join(t.TempDir(), "w"), "noisy", "even")
	some(t, c.Data[0], 5, "noisy", "even")
	c.Watch = 0.2
	var log bytes.Buffer
	c.Log = &log
	_, err := training.Run(t.Context(), c)
	require.NoError(t, err)
	require.Contains(t, log.String(), "watch: 2 good images are kept apart") // of which one is of a class that is left out
	require.Contains(t, log.String(), "watch: noisy layer1")
	require.NotContains(t, log.String(), "watch: even")
}

func TestWatchIsRefused(t *testing.T) {
	sane := func() training.Config { return watch(t, filepath.Join(t.TempDir(), "w")) }
	for _, share := range []float64{-0.1, 0.6} {
		refuses(t, sane, fmt.Sprintf("Watch is %g, want 0 to 0.5", share), func(c *training.Config) { c.Watch = share })
	}
	refuses(t, sane, "Untrained has none", func(c *training.Config) {
		scale := tab.DefaultScale()
		c.Untrained, c.Init, c.Scale = true, "w", &scale
	})
	refuses(t, sane, "nothing of the network would be trained", func(c *training.Config) { c.Train.Freeze(backbone.Layer4) })
	c := small(t, filepath.Join(t.TempDir(), "w")) // four images a class
	c.Watch = 0.1
	_, err := training.Run(t.Context(), c)
	require.ErrorIs(t, err, training.ErrConfig)
	require.ErrorContains(t, err, "no class has so many good images that 4 are left")
	nothing(t, c)
}

// A class of few images is trained on whole beside one that is watched, and images of one group stay on one side.
func TestWatchTakesWholeGroupsOfClassesThatHaveEnough(t *testing.T) {
	testutil.NoLeak(t)
	c := small(t, filepath.Join(t.TempDir(), "w"))
	root := t.TempDir()
	some(t, root, 4, "few")
	some(t, root, 8, "many")
	entries := []dataset.Item{}
	for i := range 8 {
		entries = append(entries, dataset.Item{Name: fmt.Sprintf("many/%c.png", 'a'+i), Group: fmt.Sprint(i / 2)}) // two shots of each part
	}
	for i := range 4 {
		entries = append(entries, dataset.Item{Name: fmt.Sprintf("few/%c.png", 'a'+i)})
	}
	var samples []dataset.Sample
	for _, it := range entries {
		it.Class, it.Split, it.Defect, it.Label = strings.Split(it.Name, "/")[0], dataset.Train, dataset.Good, dataset.LabelGood
		f, err := os.Open(filepath.Join(root, it.Name))
		require.NoError(t, err)
		img, err := png.Decode(f)
		require.NoError(t, err)
		require.NoError(t, f.Close())
		samples = append(samples, dataset.Sample{Item: it, Image: img.(*image.RGBA)})
	}
	ds, err := dataset.NewMemory(samples)
	require.NoError(t, err)
	c.Data = []string{filepath.Join(t.TempDir(), "shards")}
	require.NoError(t, os.Mkdir(c.Data[0], 0o755))
	require.NoError(t, dataset.WriteShards(t.Context(), c.Data[0], ds, dataset.DefaultShards()))
	c.Watch = 0.25
	var log bytes.Buffer
	c.Log = &log
	_, err = training.Run(t.Context(), c)
	require.NoError(t, err)
	require.Contains(t, log.String(), "is not watched: few")
	require.Contains(t, log.String(), "watch: 2 good images are kept apart", "both shots of one part")
	require.Contains(t, log.String(), "10 good images of 2 classes on cpu")
	require.Contains(t, log.String(), "watch: many layer1")
	require.NotContains(t, log.String(), "watch: few")
}

// Of several processes the first one watches, and the others meet it meanwhile.
func TestRanksWatch(t *testing.T) {
	testutil.NoLeak(t)
	c := watch(t, filepath.Join(t.TempDir(), "w"))
	c.Train.Batch = 4
	g := newGate("watch: measuring the start", "watch: cloth layer1: moved by 0.00")
	complete, errs := onTwo(t, c, g)
	require.NoError(t, errs[0])
	require.NoError(t, errs[1])
	require.Equal(t, [2]bool{true, true}, complete)
	require.Equal(t, g.words, g.held)
}

// Images are kept apart, and looked at as tiles; another probe goes on beside it.
func TestWatchOfTiles(t *testing.T) {
	testutil.NoLeak(t)
	c := watch(t, filepath.Join(t.TempDir(), "w"))
	view, err := dataset.ParseView("tiles:48")
	require.NoError(t, err)
	c.Reading.View, c.Probe, c.Journal = view, filepath.Join(c.Data[0], "cloth"), c.Out+".jsonl"
	var log bytes.Buffer
	c.Log = &log
	_, err = training.Run(t.Context(), c)
	require.NoError(t, err)
	require.Contains(t, log.String(), "watch: 2 good images are kept apart")
	require.Regexp(t, `watch: steel layer3: .* [1-9]\d* and [1-9]\d* images\)`, log.String())
	require.Contains(t, readText(t, c.Journal), "good/steel/layer3/unseen")
	require.Contains(t, readText(t, c.Journal), `image AUROC`)
}
