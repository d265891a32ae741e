package compare

import (
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"text/tabwriter"

	"github.com/gotab/gotab/internal/atomicfile"
	"github.com/gotab/gotab/metrics"
)

// Row is what is reported of one model. Shares and rates are from 0 to 1.
type Row struct {
	Split        string  `json:"split"`
	Backbone     string  `json:"backbone"` // frozen or trained
	Weights      string  `json:"weights"`
	Model        string  `json:"model"` // sigmoids, softmax, or nearest neighbour
	Epochs       int     `json:"epochs"`
	Train        int     `json:"train_images"`
	Test         int     `json:"test_images"`
	FitSeconds   float64 `json:"fit_seconds"`
	PredictSpeed float64 `json:"predict_images_per_second"`

	metrics.TallyFigures // of classes, or of combinations of the eight labels
}

// Report is all rows and how they came about.
type Report struct {
	out string // folder of [Config.Out]

	Data        string  `json:"data"`
	Test        string  `json:"test,omitempty"`
	Size        int     `json:"size"`
	Encoding    string  `json:"encoding"`
	Turn        string  `json:"turn"`
	Batch       int     `json:"batch"`
	LR          float64 `json:"lr"`
	BackboneLR  float64 `json:"backbone_lr"`
	WeightDecay float64 `json:"weight_decay"`
	Balance     bool    `json:"balance"`
	Seed        uint64  `json:"seed"`
	Rows        []Row   `json:"rows"`

	Skipped []string `json:"skipped_images,omitempty"` // which cannot be read
}

// report is a report without rows.
func (o Config) report() *Report {
	return &Report{out: o.Out, Data: o.Data, Test: o.Test, Size: o.Size, Encoding: o.Encoding, Turn: onOff(o.Turn), Batch: o.Batch,
		LR: o.LR, BackboneLR: o.BackboneLR, WeightDecay: o.WeightDecay, Balance: o.Balance, Seed: o.Seed}
}

// add appends a row and, with [Config.Out], writes the report as it is by then.
func (r *Report) add(one Row) error {
	r.Rows = append(r.Rows, one)
	if r.out == "" {
		return nil
	}
	err := atomicfile.Write(filepath.Join(r.out, "report.json"), func(w io.Writer) error {
		enc := json.NewEncoder(w)
		enc.SetIndent("", " ")
		return enc.Encode(r)
	})
	if err != nil {
		return err
	}
	return atomicfile.Write(filepath.Join(r.out, "report.txt"), r.WriteText)
}

// heading says in one line how the numbers came about.
func (r *Report) heading() string {
	s := fmt.Sprintf("%s, %dx%d pixels", r.Data, r.Size, r.Size)
	if ofWafers(r.Data) {
		s += ", " + r.Encoding
	}
	if n := len(r.Skipped); n > 0 {
		s += fmt.Sprintf(", %d images left out that cannot be read", n)
	}
	return s + fmt.Sprintf(", seed %d, AdamW with rates %g (layer) and %g (backbone) and decay %g, batches of %d, turns %s, balanced %t",
		r.Seed, r.LR, r.BackboneLR, r.WeightDecay, r.Batch, r.Turn, r.Balance)
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

// Pair holds the model of a row against that of the same split, backbone and kind with the weights that come
// first, on the same images: which of both called each rightly ([Row.Right]).
type Pair struct {
	Row, First Row
	metrics.PairedShares
}

// Pairs are those of all rows that have a first one to stand beside, in their order; rows of older reports, which lack Right, are passed over. It returns an error that wraps
// metrics.ErrLength if two rows do not tell of the same number of images, as those of a file that was changed.
func (r *Report) Pairs() ([]Pair, error) {
	type key struct{ split, backbone, model string }
	first, out := map[key]Row{}, []Pair(nil)
	for _, row := range r.Rows {
		if row.Right == "" {
			continue // a report of a build that did not keep it
		}
		k := key{row.Split, row.Backbone, row.Model}
		from, ok := first[k]
		if !ok {
			first[k] = row
			continue
		}
		s, err := metrics.McNemar(right(row), right(from), 0.95)
		if err != nil {
			return nil, fmt.Errorf("compare: weights %s and %s: %w", row.Weights, from.Weights, err)
		}
		out = append(out, Pair{row, from, s})
	}
	return out, nil
}

func right(r Row) []bool {
	out := make([]bool, len(r.Right))
	for i := range out {
		out[i] = r.Right[i] == '1'
	}
	return out
}

// writePairs writes a line for each pair: two models on the same images differ by less than their own intervals say.
func (r *Report) writePairs(w io.Writer) error {
	pairs, err := r.Pairs()
	if err != nil || len(pairs) == 0 {
		return err
	}
	fmt.Fprint(w, "\nless the first weights, on the same images: points of top-1 with an interval of 95 % (Newcombe's for pairs), images that only\none of both calls rightly, and the P of McNemar's exact test\n")
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(tw, "split\tbackbone\tmodel\tweights\tless\tpoints\t\tonly these\tonly the first\tP\t\n")
	for _, p := range pairs {
		d := p.Difference
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%+.2f\t[%+.2f, %+.2f]\t%d\t%d\t%.2g\t\n", p.Row.Split, p.Row.Backbone, p.Row.Model, p.Row.Weights, p.First.Weights,
			100*d.Value, 100*d.Low, 100*d.High, p.OnlyA, p.OnlyB, p.P)
	}
	return tw.Flush()
}

// WriteTable writes one line a model, and where there are several weights one a pair of them. The interval behind a share is that of Wilson
// at 95 %. Errors are those of [Report.Pairs] and of w.
func (r *Report) WriteTable(w io.Writer) error {
	fmt.Fprintln(w, r.heading())
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for i, one := range r.Rows {
		if i == 0 || one.Split != r.Rows[i-1].Split {
			fmt.Fprintf(tw, "\nsplit %s: %d images to train, %d to test\n", one.Split, one.Train, one.Test)
			labels := ""
			if one.Labels != nil {
				labels = "exact match\t\t8 labels: P\tR\tF1\t"
			}
			fmt.Fprintf(tw, "backbone\tweights\tmodel\tepochs\t%stop-1 of %d\t\tP\tR\tF1\tfit s\tpredict /s\t\n", labels, len(one.PerKind))
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%d\t", one.Backbone, one.Weights, one.Model, one.Epochs)
		if one.Labels != nil {
			fmt.Fprintf(tw, "%s\t%s\t", one.Exact, one.Labels)
		}
		fmt.Fprintf(tw, "%s\t%s\t%.0f\t%.0f\t\n", one.Top1, one.Kinds, one.FitSeconds, one.PredictSpeed)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	return r.writePairs(w)
}

// WriteText writes the table and, model by model, the tables of labels and classes
// and the confusions.
func (r *Report) WriteText(w io.Writer) error {
	if err := r.WriteTable(w); err != nil {
		return err
	}
	for _, one := range r.Rows {
		fmt.Fprintf(w, "\n%s backbone, weights %s, %s, split %s\n\n", one.Backbone, one.Weights, one.Model, one.Split)
		if err := one.WriteText(w); err != nil {
			return err
		}
	}
	return nil
}
