package dataset_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
)

// Every layout is written to a manifest and read from it, as items, applied to
// the data set itself, and as a data set of its own where it is one of files.
func TestManifestRoundTripOfEveryLayout(t *testing.T) {
	for l, fsys := range layouts(t) {
		ds, err := dataset.NewLayout(t.Context(), fsys, l, dataset.DefaultConfig())
		require.NoError(t, err)
		var buf bytes.Buffer
		require.NoError(t, dataset.WriteManifest(&buf, dataset.Items(ds)))
		items, err := dataset.ReadManifest(bytes.NewReader(buf.Bytes()))
		require.NoError(t, err, l)
		require.Equal(t, dataset.Items(ds), items, l)
		again, err := dataset.Apply(ds, items)
		require.NoError(t, err)
		require.Equal(t, lines(ds), lines(again))
		requireSamples(t, again, l)
		if w, ok := ds.(io.Closer); ok {
			require.NoError(t, w.Close())
			continue
		}
		root := fstest.MapFS{"lists/all.jsonl": {Data: buf.Bytes()}}
		for name, f := range fsys {
			root[strings.TrimPrefix(name, "BTech_Dataset_transformed/")] = f
		}
		cfg := dataset.DefaultConfig()
		if l == dataset.LayoutKSDD2 || l == dataset.LayoutVisA {
			cfg.Decoder.MaskAbove = 0
		}
		own, err := dataset.NewManifest(root, "lists/all.jsonl", cfg)
		require.NoError(t, err, l)
		require.Equal(t, lines(ds), lines(own))
		require.Equal(t, ds.Classes(), own.Classes())
		require.Empty(t, own.Issues())
		requireSamples(t, own, l)
	}
}

func TestReadManifestListsAllFaults(t *testing.T) {
	_, err := dataset.ReadManifest(strings.NewReader(strings.Join([]string{
		`{"image":"a.png"}`, `{"image":"a.png"}`, `{"image":"../b.png"}`, `{"image":"c.png","mask":"/m.png"}`, `{"class":"x"}`, `{"image":"d.png","colour":1}`,
		`nonsense`, `{"image":"e.png","anomalous":true}`, `{"image":"f.png","anomalous":true,"defect":"good"}`, `{"image":"g.png"} {}`, ``, `{"image":"h.png","defect":"cut"}`,
		`{"image":"` + strings.Repeat("x", 1<<16) + `"}`,
	}, "\n")))
	require.ErrorIs(t, err, dataset.ErrLayout)
	for _, line := range []string{`line 2: image "a.png" is in line 1 already`, "line 3: ", "line 4: ", `line 5: "image" is missing`, "line 6: ", "line 7: ",
		`line 8: "anomalous" without "defect"`, "line 9: ", "line 10: more than one JSON object", "line 13: "} {
		require.ErrorContains(t, err, line)
	}
	require.NotContains(t, err.Error(), "line 12")
	items, err := dataset.ReadManifest(strings.NewReader(`{"image":"h.png","defect":"cut"}` + "\n" + `{"image":"i.png","defect":"unknown"}`))
	require.NoError(t, err)
	require.Equal(t, dataset.LabelDefective, items[0].Label)
	require.Equal(t, dataset.LabelUnknown, items[1].Label)
	require.Equal(t, "unknown", items[1].Defect)
}

type noWriter struct{}

func (noWriter) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestManifestErrors(t *testing.T) {
	require.ErrorContains(t, dataset.WriteManifest(noWriter{}, make([]dataset.Item, 1)), "disk full")
	fsys := layouts(t)[dataset.LayoutManifest]
	fsys["manifest.jsonl"].Data = append(fsys["manifest.jsonl"].Data, []byte(`{"image":"a/3.png","class":"x"}
{"image":"manifest.jsonl","class":"x"}
{"image":"m/2.png","class":"y","mask":"gone.png","defect":"d"}
`)...)
	ds, err := dataset.NewManifest(fsys, "manifest.jsonl", dataset.DefaultConfig())
	require.NoError(t, err)
	requireIssues(t, ds, map[string]string{"a/3.png": "not there", "manifest.jsonl": "not an image", "m/2.png": "its mask gone.png is not there"})
	cfg := dataset.DefaultConfig()
	cfg.Classes, cfg.Split = []string{"x"}, "test"
	ds, err = dataset.NewManifest(fsys, "manifest.jsonl", cfg)
	require.NoError(t, err)
	require.Equal(t, []string{"a/2.png"}, names(ds))
	cfg.Split = "validation"
	_, err = dataset.NewManifest(fsys, "manifest.jsonl", cfg)
	require.ErrorIs(t, err, dataset.ErrLayout)
	require.ErrorContains(t, err, "test, train")
	_, err = dataset.NewManifest(fsys, "gone.jsonl", cfg)
	require.ErrorIs(t, err, dataset.ErrLayout)
	_, err = dataset.NewManifest(fstest.MapFS{"m": csvFile(`{"image":"x.png"}`)}, "m", dataset.DefaultConfig())
	require.ErrorIs(t, err, dataset.ErrLayout)
	_, err = dataset.NewManifest(fstest.MapFS{"m": csvFile(`{`)}, "m", dataset.DefaultConfig())
	require.ErrorIs(t, err, dataset.ErrLayout)
	require.ErrorContains(t, err, "(in m)")
	_, err = dataset.Apply(ds, []dataset.Item{{Name: "a/2.png"}, {Name: "zz"}, {Name: "yy"}})
	require.ErrorIs(t, err, dataset.ErrLayout)
	require.ErrorContains(t, err, "zz, yy")

	changed, err := dataset.Apply(ds, []dataset.Item{{Name: "a/2.png", Class: "other", Split: "mine"}})
	require.NoError(t, err)
	require.Equal(t, []string{"other"}, changed.Classes())
	s, err := changed.Sample(t.Context(), 0)
	require.NoError(t, err)
	require.Equal(t, "mine", s.Split)
	require.Equal(t, dataset.Item{}, changed.Item(1))
	_, err = changed.Sample(t.Context(), 1)
	require.ErrorIs(t, err, dataset.ErrIndex)
}

func FuzzManifest(f *testing.F) {
	f.Add([]byte(`{"image":"a.png","class":"c","split":"s","defect":"d","anomalous":true,"mask":"m","group":"g"}`))
	f.Add([]byte("{\"image\":\"a\"}\n\n{\"image\":\"b\",\"defect\":\"unknown\"}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		items, err := dataset.ReadManifest(bytes.NewReader(data))
		if err != nil {
			return
		}
		var buf bytes.Buffer
		if err := dataset.WriteManifest(&buf, items); err != nil {
			t.Fatal(err)
		}
		again, err := dataset.ReadManifest(&buf)
		if err != nil || fmt.Sprint(again) != fmt.Sprint(items) {
			t.Fatalf("%v: %v became %v", err, items, again)
		}
	})
}

func FuzzVisAList(f *testing.F) {
	for _, l := range []string{"split_csv/1cls.csv", "split_csv/2cls_fewshot.csv"} {
		f.Add(layouts(f)[dataset.LayoutVisA][l].Data)
	}
	f.Add([]byte("object,split,label,image,mask\n\"a\nb\",train,normal,x.png,\n"))
	rest := layouts(f)[dataset.LayoutVisA]
	f.Fuzz(func(t *testing.T, data []byte) {
		rest["split_csv/1cls.csv"] = &fstest.MapFile{Data: data}
		ds, err := dataset.NewVisA(rest, dataset.DefaultConfig())
		if err != nil {
			return
		}
		for i := range ds.Len() {
			if it := ds.Item(i); rest[it.Name] == nil || it.Label != dataset.LabelOf(it.Defect) || !it.IsLabelled() {
				t.Fatalf("%+v", it)
			}
		}
	})
}
