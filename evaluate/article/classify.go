package article

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"

	"github.com/gotab/gotab/downstream/classify/compare"
	"github.com/gotab/gotab/evaluate/study"
	"github.com/gotab/gotab/metrics"
)

// maxReport bounds a report, in bytes.
const maxReport = 64 << 20

// classifying runs the program classify on each network.
type classifying struct {
	*runner
	of map[string][]compare.Report // by network
}

func (c *classifying) judge(ctx context.Context, v study.Variant) error {
	got, err := c.classified(ctx, v)
	if ctx.Err() != nil {
		return fmt.Errorf("stopped: %w", ctx.Err())
	}
	if err != nil {
		c.failures = append(c.failures, fmt.Sprintf("%s: %v", v, err))
		fmt.Fprintln(c.Log, err)
		return fmt.Errorf("%w: %w", study.ErrTrials, err)
	}
	c.of[v.Name] = append(c.of[v.Name], got)
	return nil
}

// classified is the report of one network, made unless it is there.
func (r *classifying) classified(ctx context.Context, v study.Variant) (compare.Report, error) {
	kind := "full"
	if r.o.Small {
		kind = "small"
	}
	sum, err := r.startSum()
	if err != nil {
		return compare.Report{}, err
	}
	data := strings.TrimSuffix(filepath.Base(r.data.wafer), ".npz")
	dir := filepath.Join(r.o.Out, "wafers", fmt.Sprintf("%s-%s-%s-%d", data, kind, v.Name, v.Seed))
	if v.Name == study.Start {
		dir = filepath.Join(r.o.Out, "wafers", fmt.Sprintf("%s-%s-start-%s", data, kind, sum[:8]))
	}
	done := filepath.Join(dir, "report.json")
	if got, err := openReport(done); err == nil && len(got.Rows) == 4 {
		return got, nil
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return got, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return compare.Report{}, err
	}
	args := []string{"-data", r.data.wafer, "-weights", v.File, "-backbone", "both", "-model", "both", "-split", "stratified", "-out", dir, "-force"}
	if r.o.Small {
		args = append(args, "-epochs", "1", "-head-epochs", "1", "-size", "64")
	}
	args = append(args, r.o.machine()...)
	if err := r.Program(ctx, r.o.programs["classify"], args, filepath.Join(dir, "log")); err != nil {
		return compare.Report{}, fmt.Errorf("classify: %w", err)
	}
	return openReport(done)
}

func openReport(path string) (compare.Report, error) {
	f, err := os.Open(path)
	if err != nil {
		return compare.Report{}, err
	}
	defer f.Close()
	r, err := readReport(f)
	if err != nil {
		return r, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

// readReport reads what classify writes, and refuses what it never does.
func readReport(in io.Reader) (r compare.Report, err error) {
	b, err := io.ReadAll(io.LimitReader(in, maxReport+1))
	if err != nil {
		return r, err
	}
	if len(b) > maxReport {
		return r, fmt.Errorf("%w: longer than %d bytes", errReport, maxReport)
	}
	if err := json.Unmarshal(b, &r); err != nil {
		return r, fmt.Errorf("%w: %w", errReport, err)
	}
	for i, row := range r.Rows {
		if strings.Trim(row.Right, "01") != "" {
			return r, fmt.Errorf("%w: \"right\" of row %d has other digits than 0 and 1", errReport, i)
		}
		if v := row.Top1.Value; !(v >= 0 && v <= 1) {
			return r, fmt.Errorf("%w: \"top1\" of row %d is %v, want 0 to 1", errReport, i, v)
		}
	}
	return r, nil
}

var errReport = errors.New("not a report of classify")

// body has the four figures for each way to classify, accuracy with the paired
// difference from the start over the test images.
func (r *classifying) body(_ context.Context, b *strings.Builder) error {
	b.WriteString("| backbone | model | network | accuracy | precision | recall | F1 |\n|---|---|---|---|---|---|---|\n")
	for _, backbone := range []string{compare.Frozen, compare.Trained} {
		for _, model := range []string{compare.Sigmoids, compare.Softmax} {
			base := rowsOf(r.of[study.Start], backbone, model)
			for _, c := range r.columns {
				rows := rowsOf(r.of[c.name], backbone, model)
				if len(rows) == 0 {
					fmt.Fprintf(b, "| %s | %s | %s | - | - | - | - |\n", backbone, model, c.label)
					continue
				}
				a, err := accuracy(rows, base, c.name == study.Start)
				if err != nil {
					return fmt.Errorf("%s, %s, %s: %w", c.label, backbone, model, err)
				}
				m, from := macro(rows), macro(base)
				fmt.Fprintf(b, "| %s | %s | %s | %s |", backbone, model, c.label, a)
				for i := range m {
					n := number{value: m[i], known: true}
					if c.name != study.Start && len(base) > 0 {
						n.difference, n.paired = m[i]-from[i], true
					}
					fmt.Fprintf(b, " %s |", n)
				}
				b.WriteString("\n")
			}
		}
	}
	b.WriteString("\nAccuracy: share of maps whose combination of labels is right, %. Precision, recall and F1 are macro means, over the eight labels for sigmoids and over\n" +
		"the combinations for softmax. In brackets: less the start on the same maps, ± standard error over the test maps.\n")
	return nil
}

func rowsOf(of []compare.Report, backbone, model string) (out []compare.Row) {
	for _, r := range of {
		for _, row := range r.Rows {
			if row.Backbone == backbone && row.Model == model {
				out = append(out, row)
			}
		}
	}
	return out
}

// macro are the mean rates of several trainings.
func macro(rows []compare.Row) (m [3]float64) {
	for _, row := range rows {
		by := row.Kinds
		if row.Model == compare.Sigmoids && row.Labels != nil {
			by = *row.Labels
		}
		for i, v := range []float64{by.Precision, by.Recall, by.F1} {
			m[i] += v / float64(len(rows))
		}
	}
	return m
}

// accuracy is the mean over trainings, with the difference from the start image by
// image.
func accuracy(rows, base []compare.Row, start bool) (n number, err error) {
	n.known = true
	for _, row := range rows {
		n.value += row.Top1.Value / float64(len(rows))
	}
	if start || len(base) == 0 {
		return n, nil
	}
	more := make([]float64, len(base[0].Right))
	for _, side := range []struct {
		of   []compare.Row
		sign float64
	}{{base, -1}, {rows, 1}} {
		for _, row := range side.of {
			if len(row.Right) != len(more) {
				return n, fmt.Errorf("%w: %d and %d test images", errReport, len(row.Right), len(more))
			}
			for i, c := range row.Right {
				if c == '1' {
					more[i] += side.sign / float64(len(side.of))
				}
			}
		}
	}
	s, err := metrics.OverSeeds(more)
	if err != nil {
		return n, fmt.Errorf("%w: no test images: %w", errReport, err)
	}
	n.difference, n.err, n.paired, n.errs = s.Mean, s.Deviation/math.Sqrt(float64(s.N)), true, true
	return n, nil
}
