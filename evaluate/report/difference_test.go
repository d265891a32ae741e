package report_test

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/evaluate/report"
	"github.com/gotab/gotab/metrics"
)

// A detector is compared with another one on the same images, in every form of the table.
func TestDifferences(t *testing.T) {
	d, _, _ := data(t)
	d.Gallery = report.Gallery{}
	dets := d.Classes[0].Detectors
	dets[1].Beside = dets[0].Name
	var labels []bool
	for _, s := range d.Classes[0].Samples {
		labels = append(labels, s.Defective)
	}
	want, err := metrics.DeLongTest(dets[1].Scores, dets[0].Scores, labels, 0.95)
	require.NoError(t, err)
	require.Greater(t, want.Difference.Value, 0.1)
	dir := t.TempDir()
	require.NoError(t, report.Write(t.Context(), dir, d))
	says := fmt.Sprintf("image AUROC less that of PaDiM, ImageNet: %+.2f points [%.2f, %.2f], p = %.3f (95 %% interval; DeLong's paired test on the same images, seed 1)",
		100*want.Difference.Value, 100*want.Difference.Low, 100*want.Difference.High, want.P)
	lines, err := d.Classes[0].Differences()
	require.NoError(t, err)
	require.Equal(t, []string{"plate, PaDiM, pre-trained, " + says}, lines)
	b, err := os.ReadFile(filepath.Join(dir, "table.md"))
	require.NoError(t, err)
	require.Contains(t, string(b), "\n- plate, PaDiM, pre-trained, "+says+"\n")
	page := readPage(t, dir).text
	require.Contains(t, page, "Difference: image AUROC less")
	require.Contains(t, page, strings.NewReplacer("+", "&#43;", "'", "&#39;").Replace(says))
	require.Contains(t, page, "Thresholds, counts, curves and pictures are of one of them: PaDiM, ImageNet, seed 1; PaDiM, pre-trained, seed 1.")

	f, err := os.Open(filepath.Join(dir, "table.csv"))
	require.NoError(t, err)
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	require.NoError(t, err)
	require.Len(t, rows, 1+3*2+1)
	row := rows[5]
	require.Equal(t, []string{"plate", "PaDiM, pre-trained", "image AUROC less that of PaDiM, ImageNet", fmt.Sprint(want.Difference.Value)}, row[:4])
	require.Equal(t, fmt.Sprint(want.P), row[slices.Index(rows[0], "p")])

	b, err = os.ReadFile(filepath.Join(dir, "table.json"))
	require.NoError(t, err)
	var got []struct {
		Difference *struct {
			Beside        string
			Value, Low, P float64
		}
	}
	require.NoError(t, json.Unmarshal(b, &got))
	require.Nil(t, got[0].Difference)
	require.Equal(t, [3]float64{want.Difference.Value, want.Difference.Low, want.P}, [3]float64{got[1].Difference.Value, got[1].Difference.Low, got[1].Difference.P})

	// Two of a kind that differ by the same in every image: there is no error to hold it against.
	c := report.Class{Name: "c", Samples: []report.Sample{{Defective: true}, {Defective: true}, {}, {}}, Detectors: []report.Detector{
		{Name: "a", Scores: []float64{0, 0, 1, 1}}, {Name: "b", Scores: []float64{1, 1, 0, 0}, Beside: "a"}}}
	lines, err = c.Differences()
	require.NoError(t, err)
	require.Len(t, lines, 1)
	require.Contains(t, lines[0], "+100.00 points [100.00, 100.00], p is not known")
	c.Samples, c.Detectors[0].Scores, c.Detectors[1].Scores = c.Samples[1:], []float64{0, 1, 1}, []float64{1, 0, 0}
	lines, err = c.Differences()
	require.NoError(t, err)
	require.Empty(t, lines, "of one defective part there is no variance")
}
