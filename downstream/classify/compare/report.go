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

// WriteTable writes one line a model. The interval behind a share is that of Wilson
// at 95 %.
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
	return tw.Flush()
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
