package dataset

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// manyItems are items of all kinds.
func manyItems(n int) []Item {
	out := make([]Item, n)
	for i := range out {
		out[i] = Item{Name: fmt.Sprintf("p%d/train/ok/%06d.png", i%7, i), Class: fmt.Sprintf("p%d", i%7), Split: Train, Defect: Good, Label: LabelGood, Group: strconv.Itoa(i / 3)}
		switch i % 11 {
		case 3:
			out[i].Defect, out[i].Label, out[i].Split, out[i].MaskName = "Kratzer \"tief\" ü\\n", LabelDefective, Test, fmt.Sprintf("masks/%d.png", i)
		case 5:
			out[i].Defect, out[i].Label, out[i].Group = Unknown, LabelUnknown, ""
		}
	}
	return out
}

func manifestOf(t testing.TB, items []Item) []byte {
	var b bytes.Buffer
	require.NoError(t, WriteManifest(&b, items))
	return b.Bytes()
}

// openSmall is NewLongManifest with few marks, so that small tests meet what long files do.
func openSmall(t *testing.T, text []byte, most int, cfg Config) *lineFile {
	l, err := openLines(fstest.MapFS{"m": {Data: text}}, "m", false)
	require.NoError(t, err)
	l.most, l.keep = most, cfg.keepFor()
	require.NoError(t, l.scan(context.Background(), nil))
	return l
}

func TestLongManifestIsTheShortOne(t *testing.T) {
	items := manyItems(1003)
	text := manifestOf(t, items)
	text = append([]byte("\xef\xbb\xbf\n"), bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n"))...)
	for _, most := range []int{2, 4, 64, maxMarks} {
		for _, c := range []Config{{}, {Split: Test}, {Classes: []string{"p3"}}, {Classes: []string{"p1", "p2"}, Split: Train}} {
			l := openSmall(t, text, most, c)
			var want []Item
			classes := map[string]bool{}
			for _, it := range items {
				if keep := c.keepFor(); keep == nil || keep(it) {
					want = append(want, it)
					classes[it.Class] = true
				}
			}
			require.Equal(t, len(want), l.n)
			require.Len(t, l.classes, len(classes))
			require.LessOrEqual(t, len(l.marks), most)
			for k := range 2 * len(want) {
				i := k
				if k >= len(want) { // backwards and far apart
					i = k * 769 % len(want)
				}
				_, it, err := l.at(i)
				require.NoError(t, err)
				require.Equal(t, want[i], it)
			}
			require.LessOrEqual(t, len(l.blocks), keptBlocks)
			for _, i := range []int{-1, len(want)} {
				_, _, err := l.at(i)
				require.ErrorIs(t, err, ErrIndex)
			}
		}
	}
}

// noAt is a file system whose files can be read from the front only.
type noAt struct{ fs.FS }

type frontFile struct{ fs.File }

func (n noAt) Open(name string) (fs.File, error) {
	f, err := n.FS.Open(name)
	return frontFile{f}, err
}

func TestLongManifestReadsImages(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, png.Encode(&b, image.NewGray(image.Rect(0, 0, 5, 4))))
	items := []Item{
		{Name: "a/1.png", Class: "a", Split: Train, Defect: Good, Label: LabelGood},
		{Name: "a/2.png", Class: "a", Split: Test, Defect: "cut", Label: LabelDefective, MaskName: "a/m.png"},
		{Name: "a/gone.png", Class: "a", Split: Test, Defect: Good, Label: LabelGood},
	}
	fsys := fstest.MapFS{"list.jsonl": {Data: manifestOf(t, items)}, "a/1.png": {Data: b.Bytes()}, "a/2.png": {Data: b.Bytes()}, "a/m.png": {Data: b.Bytes()}}
	for _, root := range []fs.FS{fsys, noAt{fsys}} {
		m, err := NewLongManifest(t.Context(), root, "list.jsonl", DefaultConfig())
		require.NoError(t, err)
		require.Equal(t, []string{"a"}, m.Classes())
		require.Equal(t, items, Items(m))
		require.Empty(t, m.Issues())
		s, err := m.Sample(t.Context(), 1)
		require.NoError(t, err)
		require.Equal(t, image.Pt(5, 4), s.Image.Rect.Size())
		require.NotNil(t, s.Mask)
		_, err = m.Sample(t.Context(), 2)
		require.ErrorIs(t, err, fs.ErrNotExist)
		require.ErrorContains(t, err, "a/gone.png")
		_, err = m.Sample(t.Context(), 3)
		require.ErrorIs(t, err, ErrIndex)
		r, err := Check(t.Context(), m, DefaultCheck())
		require.NoError(t, err)
		require.Equal(t, []int{2}, r.Broken)
		require.Equal(t, 1, r.Masks)
		require.NoError(t, m.Close())
		require.NoError(t, m.Close())
	}
}

func TestLongManifestNamesFaults(t *testing.T) {
	open := func(text string, change func(*Config)) error {
		cfg := DefaultConfig()
		if change != nil {
			change(&cfg)
		}
		m, err := NewLongManifest(t.Context(), fstest.MapFS{"m.jsonl": {Data: []byte(text)}}, "m.jsonl", cfg)
		if err == nil {
			require.NoError(t, m.Close())
		}
		return err
	}
	good := `{"image":"a.png","class":"a","label":"good"}` + "\n"
	for text, want := range map[string]string{
		good + `{"image":"../a.png","label":"good"}`:             "line 2: \"../a.png\" is not a path",
		good + `{"image":"b.png","label":"good","defect":"cut"}`: "line 2: label does not fit",
		good + `{"image":"b.png","label":"good","other":1}`:      `line 2: json: unknown field "other"`,
		good + `{"image":"b.png","label":"good","at":1}`:         `line 2: json: unknown field "at"`,
		good + `{"image":"b.png","label":"fine"}`:                `"fine"`,
		good + "\n" + `{"image":"b.png"}`:                        `line 3: "label" is missing`,
		good + good + strings.Repeat("x", maxLine+1):             "line 3: bufio.Scanner: token too long",
		good + `{"image":"` + strings.Repeat("x", scanBuffer):    "line 2: bufio.Scanner: token too long",
		good + "{\"image\":\"b\xff.png\",\"label\":\"good\"}":    "line 2: it is not UTF-8",
		"\xff\xfe{\x00": "UTF-16",
		"":              "lists no image",
		`{"image":"b.png","image":"c.png","label":"good"} {}`: "more than one JSON object",
		strings.Repeat(`{"label":"good"}`+"\n", 200):          "line 100: \"image\" is missing",
	} {
		err := open(text, nil)
		require.ErrorIs(t, err, ErrLayout, text[:min(len(text), 200)])
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, "m.jsonl")
	}
	require.ErrorContains(t, open(good, func(c *Config) { c.Classes = []string{"z"} }), `no class "z"`)
	require.ErrorContains(t, open(good, func(c *Config) { c.Split = Test }), `no image of split "test"`)
	require.ErrorIs(t, open(good, func(c *Config) { c.Setup = "" }), ErrConfig)
	_, err := NewLongManifest(t.Context(), fstest.MapFS{"d/x": {}}, "d", DefaultConfig())
	require.ErrorIs(t, err, ErrLayout)
	_, err = NewLongManifest(t.Context(), nil, "d", DefaultConfig())
	require.ErrorIs(t, err, ErrConfig)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = NewLongManifest(ctx, fstest.MapFS{"m": {Data: []byte(good)}}, "m", DefaultConfig())
	require.ErrorIs(t, err, context.Canceled)
}

// A file that shrinks while it is open is an error and no wrong item.
func TestLongManifestThatChanges(t *testing.T) {
	name := filepath.Join(t.TempDir(), "m.jsonl")
	require.NoError(t, os.WriteFile(name, manifestOf(t, manyItems(50)), 0o644))
	m, err := NewLongManifest(t.Context(), os.DirFS(filepath.Dir(name)), "m.jsonl", DefaultConfig())
	require.NoError(t, err)
	defer func() { require.NoError(t, m.Close()) }()
	require.NoError(t, os.Truncate(name, 10))
	require.Equal(t, Item{}, m.Item(49))
	_, err = m.Sample(t.Context(), 49)
	require.ErrorIs(t, err, ErrLayout)
	require.ErrorContains(t, err, "changed")
}

func TestLayoutsTakeLongManifests(t *testing.T) {
	dir := t.TempDir()
	text := manifestOf(t, manyItems(3))
	blank := append(bytes.Repeat([]byte(" "), maxLine-1), '\n') // passed over
	text = append(text, bytes.Repeat(blank, longManifest/maxLine)...)
	require.NoError(t, os.WriteFile(filepath.Join(dir, ManifestFile), text, 0o644))
	for _, name := range []string{dir, filepath.Join(dir, ManifestFile)} {
		ds, closer, err := Open(t.Context(), name, DefaultConfig())
		require.NoError(t, err)
		require.IsType(t, &Manifest{}, ds)
		require.Equal(t, 3, ds.Len())
		require.NoError(t, closer.Close())
	}
}

// What quick takes, package json reads as the same.
func checkQuick(t *testing.T, line []byte, places bool) {
	l := &lineFile{places: places, words: map[string]string{}}
	var got, want shardEntry
	if !l.quick(line, &got) {
		return
	}
	var into any = &want
	if !places {
		into = &want.entry
	}
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		t.Fatalf("%q is taken, and json says %v", line, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		t.Fatalf("%q is taken, and json finds more", line)
	}
	a, err := json.Marshal(got)
	require.NoError(t, err)
	b, err := json.Marshal(want)
	require.NoError(t, err)
	if !bytes.Equal(a, b) {
		t.Fatalf("%q is read as %s, by json as %s", line, a, b)
	}
}

func TestQuickTakesWhatIsWritten(t *testing.T) {
	l := &lineFile{words: map[string]string{}}
	var e shardEntry
	for i, line := range bytes.Split(bytes.TrimSpace(manifestOf(t, manyItems(40))), []byte("\n")) {
		require.Equal(t, i%11 != 3, l.quick(line, &e), "%s", line) // texts with a backslash are left to json
		checkQuick(t, line, false)
	}
}

func FuzzManifestLine(f *testing.F) {
	for _, line := range bytes.Split(manifestOf(f, manyItems(12)), []byte("\n")) {
		f.Add(line)
	}
	for _, s := range []string{`{"image":"a","at":12,"bytes":0,"crc32c":4294967295,"shard":2147483647}`, `{"image":"a","at":01}`, `{"image":"a",}`, `{"image":"\u00e4"}`, "{\"image\":\"\xff\"}", `{"at":1152921504606846977}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		checkQuick(t, line, false)
		checkQuick(t, line, true)
		if items, err := ReadManifest(bytes.NewReader(line)); err == nil {
			l, err := openLines(fstest.MapFS{"m": {Data: line}}, "m", false)
			if err != nil {
				t.Fatal(err)
			}
			if err := l.scan(context.Background(), nil); err != nil {
				if strings.Contains(err.Error(), "UTF-16") || !utf8.Valid(line) {
					return
				}
				t.Fatalf("%q: %v", line, err)
			}
			if l.n != len(items) {
				t.Fatalf("%q: %d items, not %d", line, l.n, len(items))
			}
			for i := range items {
				if _, it, err := l.at(i); err != nil || it != items[i] {
					t.Fatalf("%q: item %d is %v (%v), not %v", line, i, it, err, items[i])
				}
			}
		}
	})
}

// TestTenMillionLines measures; GOTAB_LONG is the number of lines. It writes some 150
// bytes for each of them to a temporary folder.
func TestTenMillionLines(t *testing.T) {
	n, err := strconv.Atoi(os.Getenv("GOTAB_LONG"))
	if err != nil {
		t.Skip("GOTAB_LONG=10000000 measures a manifest of that many lines")
	}
	dir := t.TempDir()
	f, err := os.Create(filepath.Join(dir, ManifestFile))
	require.NoError(t, err)
	const chunk = 10000
	for i := 0; i < n; i += chunk {
		items := make([]Item, min(chunk, n-i))
		for k := range items {
			at := i + k
			items[k] = Item{Name: fmt.Sprintf("line%02d/product%04d/train/good/%09d.png", at%16, at%1000, at), Class: fmt.Sprintf("product%04d", at%1000), Split: Train, Defect: Good, Label: LabelGood}
		}
		require.NoError(t, WriteManifest(f, items))
	}
	require.NoError(t, f.Close())
	memory := func() uint64 {
		runtime.GC()
		var s runtime.MemStats
		runtime.ReadMemStats(&s)
		return s.HeapAlloc
	}
	before, begin := memory(), time.Now()
	ds, closer, err := Open(t.Context(), dir, DefaultConfig())
	require.NoError(t, err)
	opened := time.Since(begin)
	held := memory() - before
	require.Equal(t, n, ds.Len())
	begin = time.Now()
	order, err := NewPermutation(n, 1, 0)
	require.NoError(t, err)
	shuffle := time.Since(begin)
	begin = time.Now()
	const some = 20000
	for i := range some { // resumed at half of the epoch
		it := ds.Item(order.At(n/2 + i%(n/2)))
		require.NotEmpty(t, it.Name)
	}
	random := time.Since(begin) / some
	begin = time.Now()
	for i := range some {
		require.Equal(t, fmt.Sprintf("product%04d", (n/3+i)%1000), ds.Item(n/3+i).Class)
	}
	inOrder := time.Since(begin) / some
	begin = time.Now()
	require.NoError(t, RequireGood(ds))
	all := time.Since(begin)
	if n >= 1000 {
		require.Less(t, held, uint64(10<<20))
	}
	t.Logf("%d lines: opened in %v, %.1f MiB held; shuffle and resume %v; an item in random order %v, in order %v; all labels looked at in %v, %.1f MiB held then",
		n, opened, float64(held)/(1<<20), shuffle, random, inOrder, all, float64(memory()-before)/(1<<20))
	require.NoError(t, closer.Close())
}
