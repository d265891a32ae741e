package dataset_test

import (
	"bytes"
	"encoding/json"
	"image"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
)

func TestLabelText(t *testing.T) {
	var zero dataset.Item
	require.Equal(t, dataset.LabelUnknown, zero.Label)
	require.False(t, zero.IsGood() || zero.IsDefective() || zero.IsLabelled(), "a forgotten label is neither good nor defective")
	for l, name := range map[dataset.Label]string{dataset.LabelUnknown: "unknown", dataset.LabelGood: "good", dataset.LabelDefective: "defective"} {
		require.Equal(t, name, l.String())
		parsed, err := dataset.ParseLabel(name)
		require.NoError(t, err)
		require.Equal(t, l, parsed)
		b, err := json.Marshal(map[string]dataset.Label{"l": l})
		require.NoError(t, err)
		require.JSONEq(t, `{"l":"`+name+`"}`, string(b))
		back := map[string]dataset.Label{}
		require.NoError(t, json.Unmarshal(b, &back))
		require.Equal(t, l, back["l"])
	}
	odd := dataset.Label(9)
	require.Equal(t, "Label(9)", odd.String())
	_, err := json.Marshal(odd)
	require.ErrorIs(t, err, dataset.ErrLabel)
	for _, s := range []string{"", "Good", "bad", "Label(9)"} {
		_, err := dataset.ParseLabel(s)
		require.ErrorIs(t, err, dataset.ErrLabel, s)
		l := dataset.LabelGood
		require.ErrorIs(t, l.UnmarshalText([]byte(s)), dataset.ErrLabel)
		require.Equal(t, dataset.LabelGood, l, "a failure changes nothing")
	}
}

// hiddenLabels are data sets in the layouts that can keep labels to themselves,
// each with one such picture.
func hiddenLabels(t testing.TB) map[dataset.Layout]fstest.MapFS {
	out := make(map[dataset.Layout]fstest.MapFS)
	for l, name := range map[dataset.Layout]string{
		dataset.LayoutMVTecAD:  "bottle/test/unknown/007.png",
		dataset.LayoutMVTecAD2: "can/test_private/000_regular.png",
		dataset.LayoutBTAD:     "BTech_Dataset_transformed/02/test/unknown/0007.png",
		dataset.LayoutMPDD:     "tubes/test/unknown/007.png",
		dataset.LayoutGoodBad:  "unknown/7.png",
		dataset.LayoutManifest: "a/7.png",
	} {
		fsys := layouts(t)[l]
		fsys[name] = flat(t, 6, 4, 1)
		out[l] = fsys
	}
	list := out[dataset.LayoutManifest]["manifest.jsonl"]
	list.Data = append(list.Data, []byte("\n"+`{"image":"a/7.png","class":"x","split":"test","defect":"unknown"}`)...)
	out[dataset.LayoutVisA] = fstest.MapFS{ // as reorganised
		"pcb/train/good/1.png": flat(t, 6, 4, 1), "pcb/test/good/2.png": flat(t, 6, 4, 1), "pcb/test/bad/3.png": flat(t, 6, 4, 1),
		"pcb/test/unknown/4.png": flat(t, 6, 4, 1), "pcb/ground_truth/bad/3.png": grayFile(t, 6, 4, 1),
	}
	return out
}

// In every layout, a picture is good, defective or unlabelled as its folder or
// list says, and exactly one of them.
func TestEveryLayoutLabels(t *testing.T) {
	hidden := hiddenLabels(t)
	for l, fsys := range layouts(t) {
		if h := hidden[l]; h != nil {
			fsys = h
		}
		cfg := dataset.DefaultConfig()
		if l == dataset.LayoutMVTecAD2 {
			cfg.Split = dataset.TestPrivate
		}
		ds, err := dataset.NewLayout(t.Context(), fsys, l, cfg)
		require.NoError(t, err, l)
		unlabelled := 0
		for _, it := range dataset.Items(ds) {
			require.Equal(t, dataset.LabelOf(it.Defect), it.Label, "%s: %+v", l, it)
			if !it.IsLabelled() {
				unlabelled++
				require.Equal(t, dataset.Unknown, it.Defect)
				_, err := it.Truth()
				require.ErrorIs(t, err, dataset.ErrLabel)
				require.ErrorContains(t, err, it.Name)
			}
		}
		if hidden[l] == nil {
			require.Zero(t, unlabelled, l)
			require.NoError(t, dataset.RequireLabels(ds))
		} else {
			require.Equal(t, 1, unlabelled, l)
			require.ErrorIs(t, dataset.RequireLabels(ds), dataset.ErrLabel)
		}
		good := dataset.Filter(ds, dataset.Item.IsGood)
		require.NoError(t, dataset.RequireGood(good))
		rest := dataset.Filter(ds, func(it dataset.Item) bool { return !it.IsGood() })
		for i := range rest.Len() {
			one, err := dataset.Subset(rest, []int{i})
			require.NoError(t, err)
			err = dataset.RequireGood(dataset.Concat(good, one))
			require.ErrorIs(t, err, dataset.ErrLabel)
			require.ErrorContains(t, err, one.Item(0).Name)
			require.ErrorContains(t, err, "IsGood")
		}
		// Labels survive a manifest, and so do they the reading of it.
		var buf bytes.Buffer
		require.NoError(t, dataset.WriteManifest(&buf, dataset.Items(ds)))
		items, err := dataset.ReadManifest(&buf)
		require.NoError(t, err)
		require.Equal(t, dataset.Items(ds), items, l)
		if w, ok := ds.(io.Closer); ok {
			require.NoError(t, w.Close())
		}
	}
}

// VisA's own list of kinds may say unknown of a picture that is an anomaly.
func TestVisAUnknownKindIsDefective(t *testing.T) {
	fsys := layouts(t)[dataset.LayoutVisA]
	fsys["candle/image_anno.csv"] = csvFile("image,label,mask", "candle/Data/Images/Anomaly/001.JPG,unknown,")
	ds, err := dataset.NewVisA(fsys, dataset.DefaultConfig())
	require.NoError(t, err)
	n := 0
	for _, it := range dataset.Items(ds) {
		if it.IsDefective() {
			require.Equal(t, "anomaly", it.Defect)
			n++
		}
	}
	require.Equal(t, 2, n)
}

// Manifests as they were written before labels had three values are read as they
// were.
func TestOlderManifests(t *testing.T) {
	items, err := dataset.ReadManifest(strings.NewReader(`{"image":"1.png","class":"c","split":"train"}
{"image":"2.png","defect":"good"}
{"image":"3.png","defect":"cut","anomalous":true,"mask":"m.png"}
{"image":"4.png","defect":"cut"}
{"image":"5.png","defect":"unknown"}
{"image":"6.png","defect":"unknown","anomalous":true}`))
	require.NoError(t, err)
	require.Equal(t, []dataset.Item{
		{Name: "1.png", Class: "c", Split: "train", Defect: "good", Label: dataset.LabelGood},
		{Name: "2.png", Defect: "good", Label: dataset.LabelGood},
		{Name: "3.png", Defect: "cut", Label: dataset.LabelDefective, MaskName: "m.png"},
		{Name: "4.png", Defect: "cut", Label: dataset.LabelDefective},
		{Name: "5.png", Defect: "unknown", Label: dataset.LabelUnknown},
		{Name: "6.png", Defect: "unknown", Label: dataset.LabelDefective},
	}, items)
}

func TestManifestLabels(t *testing.T) {
	items, err := dataset.ReadManifest(strings.NewReader(`{"image":"1.png","label":"good"}
{"image":"2.png","label":"defective"}
{"image":"3.png","label":"defective","defect":"cut"}
{"image":"4.png","label":"unknown"}`))
	require.NoError(t, err)
	require.Equal(t, []dataset.Item{
		{Name: "1.png", Defect: "good", Label: dataset.LabelGood},
		{Name: "2.png", Defect: "unknown", Label: dataset.LabelDefective},
		{Name: "3.png", Defect: "cut", Label: dataset.LabelDefective},
		{Name: "4.png", Defect: "unknown", Label: dataset.LabelUnknown},
	}, items)
	var buf bytes.Buffer
	require.NoError(t, dataset.WriteManifest(&buf, items))
	require.Equal(t, 4, strings.Count(buf.String(), `"label":`), "no label is left to be guessed: %s", &buf)

	for lines, says := range map[string]string{
		`{"image":"1.png","label":"good"}` + "\n" + `{"image":"2.png"}`: `line 2: "label" is missing`,
		`{"image":"1.png","label":"bad"}`:                               "line 1: dataset: label does not fit",
		`{"image":"1.png","label":"good","defect":"cut"}`:               "line 1: label does not fit",
		`{"image":"1.png","label":"unknown","defect":"good"}`:           "line 1: label does not fit",
		`{"image":"1.png","label":"defective","anomalous":true}`:        `line 1: "label" and "anomalous"`,
	} {
		_, err := dataset.ReadManifest(strings.NewReader(lines))
		require.ErrorIs(t, err, dataset.ErrLayout, lines)
		require.ErrorContains(t, err, says, lines)
	}
}

// A label that contradicts the kind of defect is refused where items come in and
// where they go out.
func TestContradictingLabels(t *testing.T) {
	img := image.NewRGBA(image.Rect(0, 0, 2, 2))
	sound, err := dataset.NewImages("c", img)
	require.NoError(t, err)
	for _, it := range []dataset.Item{
		{Name: "0", Defect: dataset.Good}, // Label was forgotten
		{Name: "0", Defect: "cut"},
		{Name: "0", Defect: "cut", Label: dataset.LabelGood},
		{Name: "0", Defect: dataset.Unknown, Label: dataset.LabelGood},
		{Name: "0", Defect: dataset.Good, Label: dataset.LabelDefective},
		{Name: "0", Label: dataset.Label(3)},
	} {
		_, err := dataset.NewMemory([]dataset.Sample{{Item: it, Image: img}})
		require.ErrorIs(t, err, dataset.ErrLabel, "%+v", it)
		require.ErrorContains(t, err, "sample 0")
		_, err = dataset.Apply(sound, []dataset.Item{it})
		require.ErrorIs(t, err, dataset.ErrLabel, "%+v", it)
		require.ErrorIs(t, dataset.WriteManifest(&bytes.Buffer{}, []dataset.Item{it}), dataset.ErrLabel, "%+v", it)
	}
	for _, it := range []dataset.Item{{Label: dataset.LabelGood}, {Label: dataset.LabelDefective}, {}, {Defect: dataset.Unknown, Label: dataset.LabelDefective}} {
		_, err := dataset.NewMemory([]dataset.Sample{{Item: it, Image: img}})
		require.NoError(t, err, "%+v", it)
	}
}

// A split never turns an unlabelled picture into one to be learnt from, and a
// support set never holds one.
func TestUnlabelledPicturesAreNotDivided(t *testing.T) {
	var items []dataset.Item
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		items = append(items, dataset.Item{Name: name, Class: "c", Split: dataset.Train, Defect: dataset.Good, Label: dataset.LabelGood})
	}
	items = append(items, dataset.Item{Name: "secret", Class: "c", Split: dataset.Train, Defect: dataset.Unknown})
	rng := rand.New(rand.NewPCG(1, 1))
	_, err := dataset.DefaultSplit().Assign(items, rng)
	require.ErrorIs(t, err, dataset.ErrLabel)
	require.ErrorContains(t, err, `"secret"`)
	items[5].Split = "hidden" // which is not divided
	out, err := dataset.DefaultSplit().Assign(items, rng)
	require.NoError(t, err)
	require.Equal(t, "hidden", out[5].Split)

	items[5].Split = dataset.Train
	for range 20 {
		set, err := dataset.Support(items, 5, nil, rng)
		require.NoError(t, err)
		for _, it := range set {
			require.True(t, it.IsGood())
		}
	}
	_, err = dataset.Support(items, 6, nil, rng)
	require.ErrorIs(t, err, dataset.ErrConfig)
}
