package evaluate

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParsePart(t *testing.T) {
	env := func(pairs ...string) func(string) string {
		return func(name string) string {
			if i := slices.Index(pairs, name); i >= 0 && i%2 == 0 {
				return pairs[i+1]
			}
			return ""
		}
	}
	array := []string{"SLURM_ARRAY_TASK_ID", "3", "SLURM_ARRAY_TASK_COUNT", "8", "SLURM_ARRAY_TASK_MIN", "0", "RANK", "1", "WORLD_SIZE", "2"}
	for _, c := range []struct {
		text string
		env  []string
		want Part
	}{
		{"0/1", nil, Part{0, 1}}, {"7/8", array, Part{7, 8}},
		{"auto", array, Part{3, 8}}, {"auto/100", array, Part{3, 100}},
		{"auto/100", []string{"SLURM_ARRAY_TASK_ID", "99", "SLURM_ARRAY_TASK_COUNT", "1", "SLURM_ARRAY_TASK_MIN", "99"}, Part{99, 100}}, // submitted again
		{"auto/4", []string{"JOB_COMPLETION_INDEX", "0"}, Part{0, 4}},
		{"auto", []string{"RANK", "1", "WORLD_SIZE", "2"}, Part{1, 2}},
		{"auto", []string{"SLURM_PROCID", "0", "SLURM_NTASKS", "1"}, Part{0, 1}},
	} {
		got, err := ParsePart(c.text, env(c.env...))
		require.NoError(t, err, c.text)
		require.Equal(t, c.want, got)
	}
	for text, pairs := range map[string][]string{
		"": nil, "3": nil, "8/8": nil, "-1/8": nil, "0/0": nil, "a/8": nil, "1/b": nil, "1/2/3": nil, "auto": nil, "auto/": array, "auto/3": array,
		"auto/x": array,
	} {
		_, err := ParsePart(text, env(pairs...))
		require.ErrorIs(t, err, ErrPart, text)
	}
	_, err := ParsePart("auto", env("JOB_COMPLETION_INDEX", "0"))
	require.ErrorContains(t, err, "give auto/N")
	_, err = ParsePart("auto", env("SLURM_ARRAY_TASK_ID", "3", "SLURM_ARRAY_TASK_COUNT", "2", "SLURM_ARRAY_TASK_MIN", "2"))
	require.ErrorContains(t, err, "counted from 0")
	_, err = ParsePart("auto", nil)
	require.ErrorIs(t, err, ErrPart)
}

func TestPartsHaveEveryUnitOnce(t *testing.T) {
	for count := range 6 {
		for i := range 40 {
			n := 0
			for k := range max(count, 1) {
				p := Part{k, count}
				require.NoError(t, p.Validate())
				if p.Has(i) {
					n++
				}
			}
			require.Equal(t, 1, n)
		}
	}
	require.ErrorIs(t, Part{Index: 1}.Validate(), ErrPart)
	require.Equal(t, "3/8", Part{3, 8}.String())
	for path, want := range map[string]string{"r.jsonl": "r.3-of-8.jsonl", "a.b/r": "a.b/r.3-of-8", "a/.r": "a/.r.3-of-8", "": ""} {
		require.Equal(t, want, Part{3, 8}.Path(path))
		require.Equal(t, path, Part{}.Path(path))
	}
}

// written are records as lines, the first with a field that this program does not know.
func written(t *testing.T, records ...Record) string {
	t.Helper()
	path := t.TempDir() + "/r.jsonl"
	s, err := OpenStore(path, false)
	require.NoError(t, err)
	for _, r := range records {
		require.NoError(t, s.Add(r))
	}
	require.NoError(t, s.Close())
	var b strings.Builder
	for i, line := range s.lines {
		text := string(line)
		if i == 0 {
			text = strings.Replace(text, "{", `{"colour":"blue",`, 1)
		}
		fmt.Fprintln(&b, text)
	}
	return b.String()
}

func TestMergeRecords(t *testing.T) {
	failed := made("beta", "2")
	failed.Failed, failed.ImageAUROC = "the disk was full", 0
	slow := made("alpha", "1")
	slow.FitSeconds, slow.Made.Device = 99, "another machine"
	a := written(t, made("gamma", "1"), made("alpha", "1"), failed)
	b := written(t, made("beta", "1"), made("beta", "2"), slow)
	merge := func(texts ...string) (string, []Record) {
		var out bytes.Buffer
		var in []io.Reader
		for _, text := range texts {
			in = append(in, strings.NewReader(text))
		}
		records, err := MergeRecords(&out, in...)
		require.NoError(t, err)
		return out.String(), records
	}
	text, records := merge(a, b)
	require.Equal(t, []Record{made("alpha", "1"), made("beta", "1"), made("beta", "2"), made("gamma", "1")}, records)
	require.Equal(t, 4, strings.Count(text, "\n"))
	for _, line := range strings.Split(strings.TrimSpace(text), "\n") {
		require.Contains(t, a+b, line+"\n", "lines stay as they are")
	}
	again, _ := merge(text, b, a)
	require.Equal(t, text, again, "what is merged can be merged again")
	_, other := merge(b, a)
	require.Equal(t, slow, other[0], "the first one counts")
	require.Equal(t, records[1:], other[1:])
	only, _ := merge(written(t, failed))
	require.Contains(t, only, "the disk was full")
	none, records := merge()
	require.Empty(t, none)
	require.Empty(t, records)

	wrong := made("alpha", "1")
	wrong.ImageAUROC -= 0.01
	_, err := MergeRecords(nil, strings.NewReader(a), strings.NewReader(written(t, wrong)))
	require.ErrorIs(t, err, ErrRecords)
	require.ErrorContains(t, err, "class alpha")
	require.ErrorContains(t, err, "file 2 of 2")
	_, err = MergeRecords(nil, strings.NewReader("{}"))
	require.ErrorIs(t, err, ErrRecords)
	_, err = MergeRecords(nil, nil)
	require.ErrorIs(t, err, ErrRecords)
}

// Files are read and written as stores are, and an error names the file.
func TestRecordFiles(t *testing.T) {
	dir := t.TempDir()
	put := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
		return path
	}
	a, b := put("a.jsonl", written(t, made("gamma", "1"))), put("b.jsonl", written(t, made("alpha", "1"), made("gamma", "1")))
	records, err := ReadRecordFiles(a, b)
	require.NoError(t, err)
	require.Equal(t, []Record{made("gamma", "1"), made("alpha", "1"), made("gamma", "1")}, records)
	merged, err := MergeFiles(a, a, b) // over one of them
	require.NoError(t, err)
	require.Equal(t, []Record{made("alpha", "1"), made("gamma", "1")}, merged)
	records, err = ReadRecordFiles(a)
	require.NoError(t, err)
	require.Equal(t, merged, records)

	wrong := made("alpha", "1")
	wrong.ImageAUROC -= 0.01
	before, err := os.ReadFile(a)
	require.NoError(t, err)
	for name, is := range map[string]error{put("wrong.jsonl", written(t, wrong)): ErrRecords, put("none.jsonl", "{}"): ErrRecords, filepath.Join(dir, "missing"): os.ErrNotExist} {
		_, err := MergeFiles(a, a, name)
		require.ErrorIs(t, err, is)
		require.ErrorContains(t, err, name)
		after, err := os.ReadFile(a)
		require.NoError(t, err)
		require.Equal(t, before, after)
	}
	_, err = ReadRecordFiles(a, filepath.Join(dir, "missing"))
	require.ErrorIs(t, err, os.ErrNotExist)
}
