package main

import (
	"errors"

	"github.com/gotab/gotab/examples/internal/curves"
	"github.com/gotab/gotab/tab"
)

// journal is all that is written of a run while it goes on.
type journal struct {
	lines  *logFile
	curves curves.Logs
}

// openJournal begins the logs, or goes on with them after a step.
func openJournal(o options, after int64) (*journal, error) {
	lines, err := openLog(o)
	if err != nil {
		return nil, err
	}
	logs, err := o.curves.Open(after)
	if err != nil {
		return nil, errors.Join(err, lines.close())
	}
	return &journal{lines, logs}, nil
}

// start writes what was measured before the first step.
func (j *journal) start(probe []tab.Measure) error {
	err := j.lines.write(struct {
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
	return errors.Join(j.lines.write(st), j.curves.Add(st.Number, st.Scalars()))
}

func (j *journal) close() error { return errors.Join(j.lines.close(), j.curves.Close()) }
