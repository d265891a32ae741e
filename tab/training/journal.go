package training

import (
	"context"
	"errors"

	"github.com/gotab/gotab/scalars"
	"github.com/gotab/gotab/tab"
)

// journal is all that is written of a run while it goes on.
type journal struct {
	lines  *scalars.Lines // nil without [Config.Journal]
	curves scalars.Logs
}

// openJournal begins the logs, or goes on with them after a step; 0 begins them, also where a run goes on from
// a checkpoint before its first step.
func openJournal(o Config, after int64) (*journal, error) {
	j := &journal{}
	var err error
	if o.Journal != "" {
		if j.lines, err = scalars.OpenLines(o.Journal, after); err != nil {
			return nil, err
		}
	}
	if j.curves, err = o.Curves.Open(after); err != nil {
		return nil, errors.Join(err, j.close())
	}
	return j, nil
}

// line adds a line to the log, if there is one.
func (j *journal) line(v any) error {
	if j.lines == nil {
		return nil
	}
	return j.lines.Add(v)
}

// measure writes what a probe says before the first step.
func (j *journal) measure(ctx context.Context, pr tab.Probe, net tab.VisualEncoder) error {
	probe, err := pr.Probe(ctx, net)
	if err != nil {
		return err
	}
	err = j.line(struct {
		Probe []tab.Measure `json:"probe"`
		Epoch int           `json:"epoch"`
	}{probe, -1})
	return errors.Join(err, j.curves.Add(0, func(yield func(string, float64) bool) {
		for _, m := range probe {
			if !yield("probe/"+m.Name, m.Value) {
				return
			}
		}
	}))
}

func (j *journal) step(st tab.Step) error {
	return errors.Join(j.line(st), j.curves.Add(st.Number, st.Scalars()))
}

func (j *journal) close() error {
	err := j.curves.Close()
	if j.lines != nil {
		err = errors.Join(j.lines.Close(), err)
	}
	return err
}
