package evaluate

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/internal/faulttest"
	"github.com/gotab/gotab/metrics"
)

// What is there is found by equal settings only, and stays as it was.
func TestStoreGoesOn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r.jsonl")
	s, err := OpenStore(path, false)
	require.NoError(t, err)
	first := made("alpha", "1")
	require.NoError(t, s.Add(first))
	require.NoError(t, s.Close())
	require.NoError(t, s.Close(), "a second call does nothing")
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	// A later program may write more: it is not lost.
	b = []byte(strings.Replace(string(b), "{", `{"colour":"blue",`, 1))
	require.NoError(t, os.WriteFile(path, b, 0o666))

	_, err = OpenStore(path, false)
	require.ErrorIs(t, err, ErrExists)
	after, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(b), string(after))

	s, err = OpenStore(path, true)
	require.NoError(t, err)
	got, ok := s.Find(first.Key())
	require.True(t, ok)
	require.Equal(t, first, got)
	for _, change := range []func(r *Record){
		func(r *Record) { r.Seed = "2" }, func(r *Record) { r.Hash = "x" }, func(r *Record) { r.Class = "x" },
		func(r *Record) { r.Method = "x" }, func(r *Record) { r.Data = "x" },
	} {
		other := first
		change(&other)
		_, ok := s.Find(other.Key())
		require.False(t, ok)
	}
	require.NoError(t, s.Add(made("beta", "1")))
	require.Equal(t, []Record{first, made("beta", "1")}, s.Records())
	require.NoError(t, s.Close())
	after, err = os.ReadFile(path)
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(string(after), string(b)))
	require.Equal(t, 2, strings.Count(string(after), "\n"))

	_, err = OpenStore(filepath.Join(t.TempDir(), "none", "r.jsonl"), false)
	require.ErrorIs(t, err, os.ErrNotExist)
	require.ErrorIs(t, s.Add(Record{}), ErrRecords, "no run writes such a one")
	memory, err := OpenStore("", false)
	require.NoError(t, err)
	require.NoError(t, memory.Add(first))
	_, ok = memory.Find(first.Key())
	require.True(t, ok)
	require.NoError(t, memory.Close())
}

// Two runs do not write one file of results: the lines of one would be lost.
func TestStoreHasOneWriter(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "r.jsonl")
	first, err := OpenStore(path, false)
	require.NoError(t, err)
	_, err = OpenStore(path, true)
	require.ErrorIs(t, err, ErrLocked)
	require.NoError(t, first.Close())
	second, err := OpenStore(path, true)
	require.NoError(t, err)
	require.NoError(t, second.Close())
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 1, "the lock is gone")
}

func TestStoreOfConcurrentWriters(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r.jsonl")
	s, err := OpenStore(path, false)
	require.NoError(t, err)
	var all sync.WaitGroup
	for i := range 8 {
		all.Add(1)
		go func() {
			defer all.Done()
			r := made("alpha", fmt.Sprint(i))
			if err := s.Add(r); err != nil {
				t.Error(err)
			}
			if _, ok := s.Find(r.Key()); !ok {
				t.Error("not found", i)
			}
			_ = s.Records()
		}()
	}
	all.Wait()
	require.NoError(t, s.Close())
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	records, err := ReadRecords(f)
	require.NoError(t, err)
	require.Len(t, records, 8)
}

func TestLinesThatAreNoRecords(t *testing.T) {
	r := made("alpha", "1")
	r.Cut = &CrossFit{Rule: "f1", Defects: 2, Good: 2}
	b, err := json.Marshal(r)
	require.NoError(t, err)
	line := string(b)
	path := filepath.Join(t.TempDir(), "bad.jsonl")
	for name, c := range map[string]struct{ text, says string }{
		"not JSON":      {line + "\n{\"class\":\n", "line 2"},
		"other version": {strings.Replace(line, `"version":2`, `"version":9`, 1), "version is 9"},
		"no class":      {strings.Replace(line, `"class":"alpha"`, `"class":""`, 1), `class ""`},
		"above one":     {strings.Replace(line, `"image_ap":`, `"image_ap":7`, 1), "image_ap is 7"},
		"no AUPRO":      {strings.Replace(line, `"pixel_auroc":null`, `"pixel_auroc":0.5`, 1), "some are missing"},
		"no size":       {strings.Replace(line, `"width":224`, `"width":0`, 1), "Width"},
		"no parts":      {strings.Replace(line, `"good":2`, `"good":0`, 1), "0 good parts"},
		"long line":     {strings.Repeat("x", maxLine+1), "line 1"},
	} {
		require.NotEqual(t, line, c.text, name)
		require.NoError(t, os.WriteFile(path, []byte(c.text), 0o666))
		_, err := OpenStore(path, true)
		require.ErrorIs(t, err, ErrRecords, name)
		require.ErrorContains(t, err, c.says, name)
		require.ErrorContains(t, err, "bad.jsonl", name)
		after, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, c.text, string(after), name)
	}
}

// FuzzReadRecords reads lines that no run has written: an error or records that
// can be printed.
func FuzzReadRecords(f *testing.F) {
	pixel, exact, bound := 0.5, true, 0.0
	r := Record{Version: RecordVersion, Data: "d", Class: "c", Method: "m", Seed: "1", Hash: "h", ImageAUROC: 1, ImageAP: 1, ImageF1: 1,
		PixelAUROC: &pixel, PixelAP: &pixel, AUPRO: &pixel, AUPROLimit: &pixel, Exact: &exact, PixelBound: &bound, Settings: []byte("{}"),
		Cut: &CrossFit{Rule: "f1", Defects: 1, Good: 1}, Width: 1, Height: 1, Mask: metrics.MaskNearest, Epoch: metrics.EpochNone, Score: metrics.ScoreMapMax}
	r.keep(PixelAUROC, metrics.Interval{Low: 0.1, High: 0.9, Level: 0.95, Method: "x"})
	b, err := json.Marshal(r)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte("{}\n\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		records, lines, err := readRecords(strings.NewReader(string(b)))
		if err != nil {
			require.ErrorIs(t, err, ErrRecords)
			return
		}
		require.Len(t, lines, len(records))
		if len(records) > 0 {
			var out strings.Builder
			require.NoError(t, WriteDetails(&out, records))
			require.NoError(t, WriteTable(&out, records))
			require.NoError(t, WriteMarkdown(&out, records))
		}
	})
}

func storeWriter(t *testing.T) faulttest.Writer {
	stores := [2]*Store{}
	for v := range stores {
		stores[v] = &Store{}
		r := made("plate", fmt.Sprint(v))
		r.keep(ImageAUROC, metrics.Interval{Low: 0.4, High: 0.6 + float64(v)/10, Level: 0.95, Method: "DeLong"})
		require.NoError(t, stores[v].Add(r))
	}
	return faulttest.Writer{Name: "records", Write: func(dir string, version int) error {
		s := &Store{path: filepath.Join(dir, "r.jsonl"), records: stores[version].records, lines: stores[version].lines}
		return s.write()
	}}
}

func TestStoreIsWholeOrNotThere(t *testing.T) { faulttest.Check(t, storeWriter(t)) }

func TestStoreSurvivesKills(t *testing.T) {
	faulttest.Kill(t, "TestStoreSurvivesKills", 8, 6, storeWriter(t))
}
