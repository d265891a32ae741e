package tab

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/gotab/gotab/prompt"
)

// WriteTable writes what tells whether the anchors are of use, a line a class: its words in the sentences of prompts, which
// made the bank, the cosine between its normal and abnormal anchors, and the other class whose normal anchor is nearest. Classes
// whose anchors are the same cannot be told apart in training. Errors are those of w and of prompt.IDPA.ClassName, and
// [ErrBank] for a bank that is none.
func (b *Bank) WriteTable(w io.Writer, prompts prompt.IDPA) error {
	if w == nil {
		return fmt.Errorf("tab: table of a bank: %w: the writer is nil", ErrConfig)
	}
	if err := b.check(); err != nil {
		return fmt.Errorf("tab: table of a bank: %w", err)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	normal, abnormal := prompts.Count()
	fmt.Fprintf(t, "class\tin sentences\t%d normal, %d damaged sentences: cosine\tnearest other class\tcosine\n", normal, abnormal)
	for i, c := range b.Classes {
		words, err := prompts.ClassName(c)
		if err != nil {
			return err
		}
		other, most := "-", "-"
		best := -2.0
		for j, d := range b.Classes {
			if v := cosine(b.Normal[i], b.Normal[j]); i != j && v > best {
				best, other, most = v, d, fmt.Sprintf("%.3f", v)
			}
		}
		fmt.Fprintf(t, "%s\t%s\t%.3f\t%s\t%s\n", c, words, cosine(b.Normal[i], b.Abnormal[i]), other, most)
	}
	return t.Flush()
}

// cosine is that of two unit rows.
func cosine(a, b []float32) (sum float64) {
	for i := range a {
		sum += float64(a[i]) * float64(b[i])
	}
	return sum
}
