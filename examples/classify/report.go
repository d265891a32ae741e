package main

import (
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"text/tabwriter"

	"github.com/gotab/gotab/internal/atomicfile"
	"github.com/gotab/gotab/metrics"
)

// row is what is reported of one model. Shares and rates are from 0 to 1.
type row struct {
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

// report is all rows and how they came about.
type report struct {
	o options

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
	Rows        []row   `json:"rows"`

	Skipped []string `json:"skipped_images,omitempty"` // which cannot be read
}

// add appends a row and, with -out, writes the report as it is by then.
func (r *report) add(one row) error {
	o := r.o
	r.Data, r.Test, r.Size, r.Encoding, r.Turn, r.Batch = o.data, o.test, o.size, o.encoding, o.turn, o.batch
	r.LR, r.BackboneLR, r.WeightDecay, r.Balance, r.Seed = o.lr, o.backboneLR, o.weightDecay, o.balance, o.seed
	r.Rows = append(r.Rows, one)
	if o.out == "" {
		return nil
	}
	err := atomicfile.Write(filepath.Join(o.out, "report.json"), func(w io.Writer) error {
		enc := json.NewEncoder(w)
		enc.SetIndent("", " ")
		return enc.Encode(r)
	})
	if err != nil {
		return err
	}
	return atomicfile.Write(filepath.Join(o.out, "report.txt"), r.text)
}

// heading says in one line how the numbers came about.
func (r *report) heading() string {
	o := r.o
	s := fmt.Sprintf("%s, %dx%d pixels", o.data, o.size, o.size)
	if o.wafers() {
		s += ", " + o.encoding
	}
	if n := len(r.Skipped); n > 0 {
		s += fmt.Sprintf(", %d pictures left out that cannot be read", n)
	}
	return s + fmt.Sprintf(", seed %d, AdamW with rates %g (layer) and %g (backbone) and decay %g, batches of %d, turns %s, balanced %t",
		o.seed, o.lr, o.backboneLR, o.weightDecay, o.batch, o.turn, o.balance)
}

// table writes one line a model. The interval behind a share is that of Wilson
// at 95 %.
func (r *report) table(w io.Writer) error {
	fmt.Fprintln(w, r.heading())
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for i, one := range r.Rows {
		if i == 0 || one.Split != r.Rows[i-1].Split {
			fmt.Fprintf(tw, "\nsplit %s: %d pictures to train, %d to test\n", one.Split, one.Train, one.Test)
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
	return tw.Flush()
}

// text writes the table and, model by model, the tables of labels and classes
// and the confusions.
func (r *report) text(w io.Writer) error {
	if err := r.table(w); err != nil {
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
