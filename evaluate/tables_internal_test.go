package evaluate

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/metrics"
)

func TestTableOfHandMadeRecords(t *testing.T) {
	var records []Record
	half, most, limit := 0.5, 0.75, 0.3
	exact, none := true, 0.0
	areas := map[string][2]float64{"plate|a": {0.8, 0.9}, "plate b": {0.875, 0.825}}
	for i, seed := range []string{"7", "reference"} { // the reference comes first, whatever the order
		for _, name := range []string{"plate|a", "plate b"} {
			r := made(name, seed)
			r.ImageAUROC, r.PeakRSS, r.Chance = areas[name][i], 5e8, "the draw"
			r.Cut = &CrossFit{Rule: "overkill:0.05", Defects: 10, Escaped: 1 + i, Good: 20, Overkilled: 1}
			r.keep(ImageAUROC, metrics.Interval{Low: 0.7, High: 0.9 + float64(i)/10, Level: 0.95, Method: "DeLong"})
			if name == "plate b" {
				r.PixelAUROC, r.PixelAP, r.AUPRO, r.AUPROLimit, r.Exact = &most, &half, &half, &limit, &exact
				r.PixelBound, r.PixelAPBound, r.AUPROBound = &none, &none, &none
			}
			records = append(records, r)
		}
	}
	var text strings.Builder
	require.NoError(t, WriteMarkdown(&text, append(records, records...))) // twice the same counts once
	stdout := text.String()
	for _, line := range []string{
		"| padim | resnet18, layers layer1 | 2 | 85.00 ± 1.77 | 75.00 ± 0.00 (of 1) | 50.00 ± 0.00 (of 1) | 15.00 ± 7.07 | 5.00 ± 0.00 |",
		// 0.8 and 0.9 deviate by 0.0707 about their mean.
		"| plate/a | 85.00 ± 7.07 [70.0, 95.0] | 50.00 ± 0.00 | 25.00 ± 0.00 | - | - | - | 15.00 ± 7.07 | 5.00 ± 0.00 | 30.0 | 40.0 | 500 |",
		// The other class has 0.875 and 0.825: 0.8375 and 0.8625 in the mean.
		"| plate b | 85.00 ± 3.54 [70.0, 95.0] | 50.00 ± 0.00 | 25.00 ± 0.00 | 75.00 ± 0.00 | 50.00 ± 0.00 | 50.00 ± 0.00 | 15.00 ± 7.07 | 5.00 ± 0.00 | 30.0 | 40.0 | 500 |",
		"| mean | 85.00 ± 1.77 | 50.00 ± 0.00 | 25.00 ± 0.00 | 75.00 ± 0.00 | 50.00 ± 0.00 | 50.00 ± 0.00 | 15.00 ± 7.07 | 5.00 ± 0.00 |  |  |  |",
		"- Made by `evaluate -data plant`; go1.24, libtorch 2.1.2, cpu, 2 cores.",
		"- ±: deviation over the 2 seeds reference, 7. A seed decides the draw.",
	} {
		require.Contains(t, strings.Split(stdout, "\n"), line)
	}
	require.NotContains(t, stdout, "pixel F1-max", "no record has it")
	require.Contains(t, stdout, "(SHA-256 01234567); 224 x 200 px")
	require.Equal(t, 1, strings.Count(stdout, "Made by"))
}

// Two data sets may have a class of one name; rows then say whose it is.
func TestRowsOfOneClassNameSayWhose(t *testing.T) {
	w := Setting{}
	for _, name := range [][2]string{{"old", "screw"}, {"new", "screw"}, {"new", "nut"}} {
		w.Classes = append(w.Classes, &Summary{Records: []Record{{Data: name[0], Class: name[1]}}})
	}
	var labels []string
	for _, s := range w.Classes {
		labels = append(labels, w.Label(s))
	}
	require.Equal(t, []string{"old/screw", "new/screw", "nut"}, labels)
}

// A method of the caller's own has no network, and the tables say nothing of one.
func TestTablesOfAMethodWithoutNetwork(t *testing.T) {
	o := dark(t, newDark(), "alpha", true, 1)
	var text, table, details strings.Builder
	require.NoError(t, WriteMarkdown(&text, []Record{o.Record}))
	require.NoError(t, WriteTable(&table, []Record{o.Record}))
	require.NoError(t, WriteDetails(&details, []Record{o.Record}))
	require.Contains(t, text.String(), "### dark\n")
	require.Contains(t, text.String(), "| dark |  | 1 |")
	require.Contains(t, table.String(), "dark; 23 x 17 px (exactly 23x17 bilinear); masks: nearest, >= 128; weights taken: no training; image score: maximum of map.")
	require.Contains(t, details.String(), "{plant, fitted on 4 good training images, 4 test images; 23 x 17 px; masks: nearest, >= 128; weights: no training; image score: maximum of map; 1 seed}")
	require.NotContains(t, text.String()+table.String(), "SHA-256")
}

// Figures up to two limits of AUPRO are not in one mean; a class without masks goes
// with either.
func TestSettingsKeepLimitsApart(t *testing.T) {
	half, limits := 0.5, []float64{0.3, 0.05}
	var records []Record
	for i, name := range []string{"a", "b", "plain"} {
		r := made(name, "1")
		if i < 2 {
			r.PixelAUROC, r.PixelAP, r.AUPRO, r.AUPROLimit = &half, &half, &half, &limits[i]
		}
		records = append(records, r)
	}
	all := Settings(Summarize(records))
	require.Len(t, all, 2)
	require.Len(t, all[0].Classes, 2)
	var text strings.Builder
	require.NoError(t, WriteMarkdown(&text, records))
	require.Contains(t, text.String(), "| AUPRO to 0.05 |")
	require.Contains(t, text.String(), "up to a false positive rate of 0.05.")
	require.Contains(t, text.String(), "up to a false positive rate of 0.3.")
}

// A writer that fails is an error, whatever was to be written.
func TestTablesThatCannotBeWritten(t *testing.T) {
	full := errors.New("disk is full")
	for name, write := range map[string]func(w io.Writer, records []Record) error{"table": WriteTable, "details": WriteDetails, "markdown": WriteMarkdown} {
		r, w := io.Pipe()
		require.NoError(t, r.CloseWithError(full))
		require.ErrorIs(t, write(w, []Record{made("a", "1")}), full, name)
		require.ErrorIs(t, write(nil, []Record{made("a", "1")}), ErrConfig, name)
	}
	require.ErrorIs(t, WriteMarkdown(io.Discard, nil), ErrRecords)
}
