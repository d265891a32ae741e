package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/gotab/gotab/internal/atomicfile"
)

// row is what is reported of one class. AUROCs are from 0 to 1.
type row struct {
	Class       string   `json:"class"`
	ImageAUROC  float64  `json:"image_auroc"`
	PixelAUROC  *float64 `json:"pixel_auroc"` // null without masks
	FitSpeed    float64  `json:"fit_images_per_second"`
	ScoreSpeed  float64  `json:"score_images_per_second"`
	PeakRSS     int64    `json:"peak_rss_bytes"`
	PixelExact  *bool    `json:"pixel_auroc_exact"` // false: counted in bins, null without masks
	PixelBound  *float64 `json:"pixel_auroc_bound"` // the true value is within this of pixel_auroc
	Method      string   `json:"method"`
	FitImages   int      `json:"fit_images"`
	ScoreImages int      `json:"score_images"`
}

// writeJSON replaces path by one object a line; it is written anew after every
// class, so that it is whole at any time.
func writeJSON(path string, rows []row) error {
	return atomicfile.Write(path, func(w io.Writer) error {
		enc := json.NewEncoder(w)
		for _, r := range rows {
			if err := enc.Encode(r); err != nil {
				return err
			}
		}
		return nil
	})
}

// writeTable prints the rows for people, AUROCs in percent, and their mean.
func writeTable(w io.Writer, rows []row) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tw, "class\timage AUROC %\tpixel AUROC %\tfit images/s\tscore images/s\tpeak MB\t")
	var image, pixel float64
	masked := 0
	for _, r := range rows {
		p := "-"
		if r.PixelAUROC != nil {
			p = fmt.Sprintf("%.2f", 100**r.PixelAUROC)
			if !*r.PixelExact {
				p += fmt.Sprintf(" ±%.2g", 100**r.PixelBound)
			}
			pixel += *r.PixelAUROC
			masked++
		}
		image += r.ImageAUROC
		fmt.Fprintf(tw, "%s\t%.2f\t%s\t%.1f\t%.1f\t%d\t\n", r.Class, 100*r.ImageAUROC, p, r.FitSpeed, r.ScoreSpeed, r.PeakRSS/1e6)
	}
	if len(rows) > 1 {
		p := "-"
		if masked > 0 {
			p = fmt.Sprintf("%.2f", 100*pixel/float64(masked))
		}
		fmt.Fprintf(tw, "mean\t%.2f\t%s\t\t\t\t\n", 100*image/float64(len(rows)), p)
	}
	return tw.Flush()
}

// peakRSS is the largest resident memory of this process so far, in bytes.
func peakRSS() (int64, error) {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, fmt.Errorf("peak memory: %w", err)
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(v), "kB")), 10, 64)
			if err != nil {
				return 0, fmt.Errorf("peak memory: %w", err)
			}
			return kb << 10, nil
		}
	}
	return 0, fmt.Errorf("peak memory: /proc/self/status has no VmHWM")
}
