package report_test

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/evaluate/report"
	"github.com/gotab/gotab/metrics"
)

func TestTables(t *testing.T) {
	d, _, _ := data(t)
	d.Gallery = report.Gallery{}
	dir := t.TempDir()
	require.NoError(t, report.Write(t.Context(), dir, d))

	f, err := os.Open(filepath.Join(dir, "table.csv"))
	require.NoError(t, err)
	defer f.Close()
	lines, err := csv.NewReader(f).ReadAll()
	require.NoError(t, err)
	require.Len(t, lines, 1+3*2, "two figures for each class and detector, and nothing that was counted where the threshold was chosen")
	require.Equal(t, []string{"class", "detector", "figure", "value"}, lines[0][:4])
	require.Equal(t, []string{"plate", "PaDiM, ImageNet", "pixel AUROC", "0.9712"}, lines[2][:4])

	b, err := os.ReadFile(filepath.Join(dir, "table.json"))
	require.NoError(t, err)
	var rows []struct {
		Class, Detector string
		Figures         []struct {
			Name     string
			Value    float64
			Interval *struct{ Low, High, Level float64 }
			Seeds    int
		}
		Seeds []string
		Cut   struct {
			Seed                             string
			Threshold                        *float64
			Defects, Escapes, Good, Overkill int
		} `json:"on_these_images"`
	}
	require.NoError(t, json.Unmarshal(b, &rows))
	require.Len(t, rows, 3)
	det := d.Classes[0].Detectors[0]
	require.Equal(t, det.Figures[0].Value, rows[0].Figures[0].Value, "to the last bit")
	require.Equal(t, det.Figures[0].Interval.Low, rows[0].Figures[0].Interval.Low)
	require.Equal(t, det.Seeds, rows[0].Seeds)
	require.Equal(t, "1", rows[0].Cut.Seed)
	require.Equal(t, det.Threshold, *rows[0].Cut.Threshold)
	var labels []bool
	for _, s := range d.Classes[0].Samples {
		labels = append(labels, s.Defective)
	}
	cut, err := metrics.CutAt(det.Scores, labels, det.Threshold)
	require.NoError(t, err)
	require.Equal(t, [4]int{cut.Defects, cut.Missed, cut.Good, cut.Overkilled}, [4]int{rows[0].Cut.Defects, rows[0].Cut.Escapes, rows[0].Cut.Good, rows[0].Cut.Overkill})

	b, err = os.ReadFile(filepath.Join(dir, "table.md"))
	require.NoError(t, err)
	md := string(b)
	mean := 50 * (det.Figures[0].Value + d.Classes[1].Detectors[0].Figures[0].Value)
	for _, want := range []string{
		"| class | detector | image AUROC, % (1) | pixel AUROC, % (2) |\n",
		fmt.Sprintf("| plate | PaDiM, ImageNet | %.2f [%.2f, %.2f] | 97.12 ± 0.21 (3 seeds), off by at most 0.04 |", 100*det.Figures[0].Value, 100*det.Figures[0].Interval.Low, 100*det.Figures[0].Interval.High),
		fmt.Sprintf("| mean of 2 | PaDiM, ImageNet | %.2f | 97.12 ± 0.21 (3 seeds) |\n", mean),
		"\nNote on columns.\n",
		"\n(1) drawn plates; 224 x 224 px;", "\n(2) ",
	} {
		require.Contains(t, md, want)
	}
	require.NotContains(t, md, "mean of 2 | PaDiM, pre-trained", "one class lacks that detector")
	require.NotContains(t, readPage(t, dir).text, "How to read the pictures", "there are none")
}

// A mean says of how many classes it is where some lack the figure, and its deviation is that of the
// means of each seed: here a seed gives to one class what it takes from the other.
func TestMeans(t *testing.T) {
	d, small, _ := data(t)
	d.Gallery = report.Gallery{}
	third := small.class(t, "third", false, 3)
	d.Classes = append(d.Classes, third)
	figure := func(k int, values ...float64) {
		s, err := metrics.OverSeeds(values)
		require.NoError(t, err)
		f := &d.Classes[k].Detectors[0].Figures[1]
		f.Value, f.Spread, f.Values = s.Mean, &s, values
	}
	figure(0, 0.90, 0.92, 0.94)
	figure(1, 0.84, 0.82, 0.80)
	d.Classes[2].Detectors[0].Figures = d.Classes[2].Detectors[0].Figures[:1]
	md := func() string {
		dir := t.TempDir()
		require.NoError(t, report.Write(t.Context(), dir, d))
		b, err := os.ReadFile(filepath.Join(dir, "table.md"))
		require.NoError(t, err)
		return string(b)
	}
	require.Regexp(t, `\| mean of 3 \| PaDiM, ImageNet \| [0-9.]+ \| 87\.00 ± 0\.00 \(3 seeds\), of 2 \|`, md())
	figure(1, 0.80, 0.82, 0.84)
	require.Contains(t, md(), "| 87.00 ± 2.00 (3 seeds), of 2 |")
	d.Classes[1].Detectors[0].Seeds = []string{"1", "5", "7"}
	require.Contains(t, md(), "| 87.00 of 2 |", "the seeds are not the same")
	d.Classes[1].Detectors[0].Name, d.Classes[2].Detectors[0].Name = "b", "c"
	require.NotContains(t, md(), "mean", "no detector has two classes")
}

// Figures that were made in different ways say so at each cell, and a class that lacks a figure
// has a gap.
func TestEachFigureKeepsItsProtocol(t *testing.T) {
	d, _, _ := data(t)
	d.Gallery = report.Gallery{}
	f := &d.Classes[1].Detectors[0].Figures
	(*f)[0].Protocol.Width = 288
	*f = (*f)[:1]
	dir := t.TempDir()
	require.NoError(t, report.Write(t.Context(), dir, d))
	b, err := os.ReadFile(filepath.Join(dir, "table.md"))
	require.NoError(t, err)
	md := string(b)
	require.Contains(t, md, "| image AUROC, % | pixel AUROC, % (2) |")
	require.Regexp(t, `\| plate \| PaDiM, ImageNet \| [^|]* \(1\) \|`, md)
	require.Regexp(t, `\| large plate \| PaDiM, ImageNet \| [^|]* \(3\) \| - \|`, md)
	require.Regexp(t, `\| mean of 2 \| PaDiM, ImageNet \| [0-9.]+ \| 97\.12 ± 0\.21 \(3 seeds\), of 1 \|`, md)
	require.Contains(t, md, "(3) drawn plates; 288 x 224 px")
}
