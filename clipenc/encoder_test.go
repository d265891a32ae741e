package clipenc_test

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/clipenc"
	"github.com/gotab/gotab/internal/safetensors"
	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/tensor"
)

const (
	// tolParity is relative to the largest reference value. Sums of up to 256 float32 products taken in another order
	// differ by some 1e-6; the other activation by 8e-3.
	tolParity = 1e-4
	// tolBatch bounds what another batch size and length do to the last bits, relative to the largest value.
	tolBatch = 1e-5
)

type towerFixture struct {
	Embed, Step  int
	Vocab        int
	Texts        []string
	Ends         []int
	FirstWeights map[string][]float32 `json:"first_weights"`
	QuickGELU    towerOutputs         `json:"quick_gelu"`
	GELU         towerOutputs         `json:"gelu"`
}

type towerOutputs struct {
	Max     float64
	Outputs [][]float64
}

// distance is the largest difference of the fixture's numbers from features, relative to its largest value. What is
// not a number is infinitely far.
func (o towerOutputs) distance(features [][]float32, step int) float64 {
	worst := 0.0
	for i, row := range o.Outputs {
		for j, want := range row {
			d := math.Abs(float64(features[i][j*step])-want) / o.Max
			if math.IsNaN(d) {
				return math.Inf(1)
			}
			worst = max(worst, d)
		}
	}
	return worst
}

func readTowerFixture(t testing.TB) towerFixture {
	var f towerFixture
	readJSON(t, "text_tower.json", &f)
	return f
}

func TestTextTowerEqualsReferences(t *testing.T) {
	noLeak(t)
	f := readTowerFixture(t)
	path := filepath.Join(t.TempDir(), "tower.safetensors")
	tower := formulaTower(smallConfig(clipenc.GELU))
	writeTower(t, path, tower)
	for _, a := range tower {
		if first, ok := f.FirstWeights[a.name]; ok {
			require.Equal(t, first, a.values[:3], a.name)
		}
	}
	for activation, want := range map[clipenc.Activation]towerOutputs{clipenc.QuickGELU: f.QuickGELU, clipenc.GELU: f.GELU} {
		e := openTower(t, path, smallConfig(activation))
		for i, text := range f.Texts {
			tokens, err := e.Tokenizer().Encode(text)
			require.NoError(t, err)
			require.Equal(t, f.Ends[i], tokens.End)
		}
		got, err := e.Encode(oneThread(t), f.Texts)
		require.NoError(t, err)
		require.Len(t, got, len(f.Texts))
		require.Len(t, got[0], f.Embed)
		d := want.distance(got, f.Step)
		t.Logf("%s: %.2g of the largest value", activation, d)
		require.Less(t, d, tolParity, activation)
	}
}

// TestWrongTowersFail shows that the tolerance tells a right tower from a nearly right one.
func TestWrongTowersFail(t *testing.T) {
	noLeak(t)
	f := readTowerFixture(t)
	path := filepath.Join(t.TempDir(), "tower.safetensors")
	writeTower(t, path, formulaTower(smallConfig(clipenc.GELU)))
	for what, change := range map[string]func(c *clipenc.Config){
		"activation": func(c *clipenc.Config) { c.Activation = clipenc.QuickGELU },
		"epsilon":    func(c *clipenc.Config) { c.Epsilon = 1e-3 },
		"heads":      func(c *clipenc.Config) { c.Heads = 8 },
	} {
		cfg := smallConfig(clipenc.GELU)
		change(&cfg)
		got, err := openTower(t, path, cfg).Encode(oneThread(t), f.Texts)
		require.NoError(t, err)
		require.Greater(t, f.GELU.distance(got, f.Step), 3*tolParity, what)
	}
}

// TestNamings: whoever stored the tower, the features are the same bits.
func TestNamings(t *testing.T) {
	noLeak(t)
	cfg := smallConfig(clipenc.QuickGELU)
	f := readTowerFixture(t)
	tower := formulaTower(cfg)
	hf := asHuggingFace(tower)
	scalar := array{"logit_scale", nil, []float32{4.6}}
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }

	writeTower(t, file("openai.safetensors"), tower)
	writeTower(t, file("openai-whole.safetensors"), append(slices.Clone(tower), scalar,
		array{"visual.proj", []int64{2, 2}, make([]float32, 4)}, array{"attn_mask", []int64{1}, make([]float32, 1)},
		array{"context_length", nil, []float32{77}}))
	writeTower(t, file("openclip.safetensors"), append(withPrefix("text.", tower), scalar,
		array{"visual.trunk.x", []int64{1}, make([]float32, 1)}, array{"logit_bias", nil, []float32{1}}))
	position := safetensors.Tensor{Name: "text_model.embeddings.position_ids", DType: safetensors.I64, Shape: []int64{1, 1}, Data: make([]byte, 8)}
	whole := []safetensors.Tensor{position, float32Tensor(scalar), float32Tensor(array{"vision_model.x", []int64{1}, make([]float32, 1)}),
		float32Tensor(array{"visual_projection.weight", []int64{1}, make([]float32, 1)})}
	for _, a := range hf {
		whole = append(whole, float32Tensor(a))
	}
	writeTensors(t, file("hf.safetensors"), whole)

	// Shards: the one with the image tower is not there, and need not be.
	shards := map[string][]array{
		"model-00001-of-00003.safetensors": hf[:7],
		"model-00002-of-00003.safetensors": hf[7:],
		"model-00003-of-00003.safetensors": {{"vision_model.x", []int64{1}, nil}},
	}
	folder := file("sharded")
	require.NoError(t, os.Mkdir(folder, 0o755))
	writeIndex(t, filepath.Join(folder, "model.safetensors.index.json"), shards)
	writeTower(t, filepath.Join(folder, "model-00001-of-00003.safetensors"), hf[:7])
	writeTower(t, filepath.Join(folder, "model-00002-of-00003.safetensors"), hf[7:])
	single := file("single")
	require.NoError(t, os.Mkdir(single, 0o755))
	writeTower(t, filepath.Join(single, "open_clip_model.safetensors"), withPrefix("text.", tower))

	want, err := openTower(t, file("openai.safetensors"), cfg).Encode(oneThread(t), f.Texts)
	require.NoError(t, err)
	for _, path := range []string{
		file("openai-whole.safetensors"), file("openclip.safetensors"), file("hf.safetensors"),
		folder, filepath.Join(folder, "model.safetensors.index.json"), single,
	} {
		e := openTower(t, path, cfg)
		got, err := e.Encode(oneThread(t), f.Texts)
		require.NoError(t, err, path)
		require.Equal(t, want, got, path)
		var names []string
		for _, a := range tower {
			names = append(names, a.name)
		}
		require.ElementsMatch(t, names, e.Params().Names(), path)
		require.False(t, e.Params().IsTrainable("text_projection"))
	}
}

func TestHalfPrecisionFiles(t *testing.T) {
	noLeak(t)
	cfg := smallConfig(clipenc.QuickGELU)
	f := readTowerFixture(t)
	for name, convert := range map[string]func(array) safetensors.Tensor{"float16": float16Tensor, "bfloat16": bfloat16Tensor} {
		dir := t.TempDir()
		tower := formulaTower(cfg)
		var tensors []safetensors.Tensor
		for _, a := range tower {
			tensors = append(tensors, convert(a)) // also changes the array to what is left of it
		}
		writeTensors(t, filepath.Join(dir, "half.safetensors"), tensors)
		writeTower(t, filepath.Join(dir, "rounded.safetensors"), tower)
		got, err := openTower(t, filepath.Join(dir, "half.safetensors"), cfg).Encode(oneThread(t), f.Texts)
		require.NoError(t, err)
		want, err := openTower(t, filepath.Join(dir, "rounded.safetensors"), cfg).Encode(oneThread(t), f.Texts)
		require.NoError(t, err)
		require.Equal(t, want, got, name)
		require.Less(t, f.QuickGELU.distance(got, f.Step), 0.2, name)
	}
}

func TestWeightsRefused(t *testing.T) {
	noLeak(t)
	cfg := smallConfig(clipenc.GELU)
	dir := t.TempDir()
	path := filepath.Join(dir, "tower.safetensors")
	refused := func(want ...string) {
		t.Helper()
		_, err := clipenc.Open(path, cfg, tensor.CPU)
		require.ErrorIs(t, err, clipenc.ErrWeights)
		for _, w := range want {
			require.ErrorContains(t, err, w)
		}
		require.ErrorContains(t, err, path)
	}
	find := func(tower []array, name string) int {
		return slices.IndexFunc(tower, func(a array) bool { return a.name == name })
	}

	// Everything that does not fit is in one message.
	tower := formulaTower(cfg)
	i := find(tower, "transformer.resblocks.1.mlp.c_fc.bias")
	tower = slices.Delete(tower, i, i+1)
	tower = append(tower, array{"transformer.resblocks.3.ln_1.bias", []int64{64}, make([]float32, 64)})
	tower[find(tower, "text_projection")] = array{"text_projection", []int64{48, 64}, make([]float32, 48*64)}
	writeTower(t, path, tower)
	refused("3 faults", "transformer.resblocks.1.mlp.c_fc.bias [256] is missing", "transformer.resblocks.3.ln_1.bias [64] is unexpected",
		"text_projection is [64 48], file has [48 64]")

	hf := asHuggingFace(formulaTower(cfg))
	i = slices.IndexFunc(hf, func(a array) bool { return strings.HasSuffix(a.name, "layers.2.self_attn.k_proj.weight") })
	writeTower(t, path, slices.Delete(hf, i, i+1))
	refused("Hugging Face", "text_model.encoder.layers.2.self_attn.k_proj.weight [64 64] is missing", "1 faults")

	tower = formulaTower(cfg)
	tower[5].values[3] = float32(math.NaN())
	writeTower(t, path, tower)
	refused(tower[5].name + " holds NaN at flat index 3")

	tower = formulaTower(cfg)
	var tensors []safetensors.Tensor
	for _, a := range tower {
		tensors = append(tensors, float32Tensor(a))
	}
	tensors[2].DType = safetensors.I32
	writeTensors(t, path, tensors)
	refused("ln_final.weight is I32")

	writeTower(t, path, []array{{"visual.proj", []int64{1}, []float32{1}}})
	refused("no text tower")
	writeTower(t, path, append(formulaTower(cfg), asHuggingFace(formulaTower(cfg))...))
	refused("more than one naming")

	require.NoError(t, os.WriteFile(path, []byte("PK\x03\x04 and so on"), 0o644))
	refused("torch archive")
	require.NoError(t, os.WriteFile(path, nil, 0o644))
	refused("tower.safetensors", "the file is empty; fetch or copy it again")
	require.NoError(t, os.WriteFile(path, []byte("<!DOCTYPE html><html>Sign in</html>"), 0o644))
	refused("it is a web page, not weights")
	require.NoError(t, os.WriteFile(path, []byte("version https://git-lfs.github.com/spec/v1\n"), 0o644))
	refused("git lfs pull")
	writeTower(t, path, formulaTower(cfg))
	require.NoError(t, os.Truncate(path, 5000))
	refused("tower.safetensors")

	_, err := clipenc.Open(filepath.Join(dir, "nothing"), cfg, tensor.CPU)
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = clipenc.Open(dir, cfg, tensor.CPU)
	require.ErrorIs(t, err, clipenc.ErrWeights)
	require.ErrorContains(t, err, "open_clip_model.safetensors")
}

func TestIndexRefused(t *testing.T) {
	noLeak(t)
	cfg := smallConfig(clipenc.GELU)
	dir := t.TempDir()
	path := filepath.Join(dir, "model.safetensors.index.json")
	hf := asHuggingFace(formulaTower(cfg))
	refused := func(want string) {
		t.Helper()
		_, err := clipenc.Open(path, cfg, tensor.CPU)
		require.ErrorContains(t, err, want)
		if !strings.Contains(want, "no such file") {
			require.ErrorIs(t, err, clipenc.ErrWeights)
		}
	}
	for raw, want := range map[string]string{
		``:                   "index.json",
		`[]`:                 "index.json",
		`{"weight_map": {}}`: "no weight_map",
		`{"weight_map": {"a": "../x.safetensors"}}`:     "no file beside it",
		`{"weight_map": {"a": "/etc/passwd"}}`:          "no file beside it",
		`{"weight_map": {"a": "sub/x.safetensors"}}`:    "no file beside it",
		`{"weight_map": {"a": ""}}`:                     "no file beside it",
		`{"weight_map": {"a": ".."}}`:                   "no file beside it",
		`{"weight_map": {"visual.x": "a.safetensors"}}`: "no text tower",
	} {
		require.NoError(t, os.WriteFile(path, []byte(raw), 0o644))
		refused(want)
	}
	writeIndex(t, path, map[string][]array{"a.safetensors": hf[:5], "b.safetensors": hf[5:]})
	refused("no such file")
	writeTower(t, filepath.Join(dir, "a.safetensors"), hf[:4])
	writeTower(t, filepath.Join(dir, "b.safetensors"), hf[5:])
	refused(hf[4].name + " is not in a.safetensors")
	writeTower(t, filepath.Join(dir, "a.safetensors"), hf[:6])
	refused("in another shard")
}

func TestVocabularyBesideWeights(t *testing.T) {
	noLeak(t)
	cfg := smallConfig(clipenc.GELU)
	cfg.Vocabulary = ""
	dir := t.TempDir()
	path := filepath.Join(dir, "model.safetensors")
	writeTower(t, path, formulaTower(cfg))
	_, err := clipenc.Open(path, cfg, tensor.CPU)
	require.ErrorIs(t, err, clipenc.ErrVocabulary)
	require.ErrorContains(t, err, "Config.Vocabulary")
	text := smallMerges(t)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "merges.txt"), []byte(text), 0o644))
	require.Equal(t, 664, openTower(t, path, cfg).Tokenizer().VocabSize())
	require.NoError(t, os.WriteFile(filepath.Join(dir, "tokenizer.json"), jsonVocabulary(t, text, true, nil), 0o644))
	require.Equal(t, 664, openTower(t, dir, cfg).Tokenizer().VocabSize())
	require.NoError(t, os.WriteFile(filepath.Join(dir, "tokenizer.json"), []byte("{"), 0o644))
	_, err = clipenc.Open(path, cfg, tensor.CPU)
	require.ErrorIs(t, err, clipenc.ErrVocabulary)
	cfg.Vocabulary = filepath.Join(dir, "merges.txt")
	cfg.Vocab = 663
	_, err = clipenc.Open(path, cfg, tensor.CPU)
	require.ErrorIs(t, err, clipenc.ErrVocabulary)
	require.ErrorContains(t, err, "664 ids, Vocab is 663")
	cfg.Vocabulary = filepath.Join(dir, "none")
	_, err = clipenc.Open(path, cfg, tensor.CPU)
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestConfigs(t *testing.T) {
	for name, c := range map[string]clipenc.Config{"B/32": clipenc.ViTB32(), "B/16": clipenc.ViTB16(), "L/14": clipenc.ViTL14()} {
		require.NoError(t, c.Validate(), name)
		require.Equal(t, 49408, c.Vocab)
		require.Equal(t, 77, c.Context)
		require.Equal(t, 12, c.Layers)
		require.Equal(t, 64, c.Width/c.Heads)
		require.Equal(t, clipenc.QuickGELU, c.Activation)
	}
	require.Equal(t, 512, clipenc.ViTB16().Embed)
	require.Equal(t, 768, clipenc.ViTL14().Embed)
	for want, change := range map[string]func(c *clipenc.Config){
		"Width is 0":      func(c *clipenc.Config) { c.Width = 0 },
		"Heads is 7":      func(c *clipenc.Config) { c.Heads = 7 },
		"Layers is -1":    func(c *clipenc.Config) { c.Layers = -1 },
		"Hidden":          func(c *clipenc.Config) { c.Hidden = 1 << 20 },
		"Embed":           func(c *clipenc.Config) { c.Embed = 0 },
		"Context is 1":    func(c *clipenc.Config) { c.Context = 1 },
		"Vocab is 10":     func(c *clipenc.Config) { c.Vocab = 10 },
		"Batch is 0":      func(c *clipenc.Config) { c.Batch = 0 },
		`Activation is "`: func(c *clipenc.Config) { c.Activation = "relu" },
		"Epsilon is 0":    func(c *clipenc.Config) { c.Epsilon = 0 },
		"Epsilon is NaN":  func(c *clipenc.Config) { c.Epsilon = math.NaN() },
	} {
		c := clipenc.ViTB16()
		change(&c)
		_, err := clipenc.Open("x", c, tensor.CPU)
		require.ErrorIs(t, err, clipenc.ErrConfig)
		require.ErrorContains(t, err, want)
	}
}

func smallEncoder(t testing.TB, batch int) *clipenc.TextEncoder {
	t.Helper()
	cfg := smallConfig(clipenc.QuickGELU)
	cfg.Batch = batch
	path := filepath.Join(t.TempDir(), "tower.safetensors")
	writeTower(t, path, formulaTower(cfg))
	return openTower(t, path, cfg)
}

func manyTexts(n int) []string {
	texts := make([]string, n)
	for i := range texts {
		texts[i] = formulaText(5, i)
	}
	return texts
}

// TestBatching: how texts are grouped changes no feature but in its last bits, and not their order.
func TestBatching(t *testing.T) {
	noLeak(t)
	texts := manyTexts(30)
	one, err := smallEncoder(t, 1).Encode(oneThread(t), texts)
	require.NoError(t, err)
	largest := 0.0
	for _, row := range one {
		for _, v := range row {
			largest = max(largest, math.Abs(float64(v)))
		}
	}
	for _, batch := range []int{7, 64} {
		got, err := smallEncoder(t, batch).Encode(oneThread(t), texts)
		require.NoError(t, err)
		for i := range one {
			for j := range one[i] {
				require.InDelta(t, one[i][j], got[i][j], tolBatch*largest, "text %d", i)
			}
		}
		got[0] = append(got[0], 1e9)
		require.NotEqual(t, float32(1e9), got[1][0], "rows do not share memory")
	}
}

func TestEncodeRepeats(t *testing.T) {
	noLeak(t)
	e := smallEncoder(t, 4)
	a, err := e.Encode(oneThread(t), manyTexts(9))
	require.NoError(t, err)
	before := tensor.Live()
	for range 10 {
		b, err := e.Encode(oneThread(t), manyTexts(9))
		require.NoError(t, err)
		require.Equal(t, a, b)
	}
	require.Equal(t, before, tensor.Live())
	none, err := e.Encode(oneThread(t), nil)
	require.NoError(t, err)
	require.Empty(t, none)
}

func TestEncodeFailures(t *testing.T) {
	noLeak(t)
	e := smallEncoder(t, 4)
	_, err := e.Encode(oneThread(t), []string{"fine", strings.Repeat("x", clipenc.MaxText+1)})
	require.ErrorIs(t, err, clipenc.ErrText)
	require.ErrorContains(t, err, "text 2 of 2")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = e.Encode(ctx, []string{"fine"})
	require.ErrorIs(t, err, context.Canceled)
	_, err = e.Encode(&cancelAfter{Context: oneThread(t), looks: 25}, manyTexts(20))
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, e.Close())
	require.NoError(t, e.Close())
	_, err = e.Encode(oneThread(t), []string{"fine"})
	require.ErrorIs(t, err, clipenc.ErrClosed)
	testutil.RequireClosed(t, e, tensor.ErrClosed, nil)
}

// cancelAfter is a context that is cancelled once it has been looked at a number of times.
type cancelAfter struct {
	context.Context
	looks int
}

func (c *cancelAfter) Err() error {
	if c.looks--; c.looks < 0 {
		return context.Canceled
	}
	return nil
}

func TestEncodeConcurrent(t *testing.T) {
	noLeak(t)
	e := smallEncoder(t, 8)
	texts := manyTexts(8)
	want, err := e.Encode(oneThread(t), texts)
	require.NoError(t, err)
	var wg sync.WaitGroup
	for range 6 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for range 3 {
				got, err := e.Encode(oneThread(t), texts)
				if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
					t.Errorf("another result, error %v", err)
				}
			}
		}()
	}
	wg.Wait()
}

func FuzzIndex(f *testing.F) {
	f.Add(`{"metadata": {"total_size": 3}, "weight_map": {"a": "model-00001-of-00002.safetensors"}}`)
	f.Add(`{"weight_map": {"a": "../a"}}`)
	f.Add(`{"weight_map": {"a": 3}}`)
	f.Fuzz(func(t *testing.T, raw string) {
		m, err := clipenc.ParseIndex(raw)
		if err != nil {
			return
		}
		for _, shard := range m {
			if filepath.Dir(shard) != "." || filepath.IsAbs(shard) || shard == ".." {
				t.Fatalf("shard %q leaves the folder", shard)
			}
		}
	})
}

func BenchmarkTextEncoder(b *testing.B) {
	e := smallEncoder(b, 64)
	texts := slices.Repeat([]string{"a close-up industrial image of the unblemished metal nut for anomaly detection"}, 64)
	for b.Loop() {
		if _, err := e.Encode(b.Context(), texts); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*len(texts))/b.Elapsed().Seconds(), "texts/s")
}
