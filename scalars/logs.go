package scalars

import (
	"errors"
	"iter"
)

// Log takes the values of each step: [CSV] and [Events] do.
type Log interface {
	Add(step int64, values iter.Seq2[string, float64]) error
	Close() error
}

// Logs are several logs that are written as one; none is one too.
type Logs []Log

// Open begins the logs of a training, or goes on with them where the run stands at a step: a table at csv and event files in the folder
// tensorboard. An empty path leaves a log out. Errors are those of [OpenCSV] and [OpenEvents].
func Open(csv, tensorboard string, after int64) (Logs, error) {
	var l Logs
	if csv != "" {
		c, err := OpenCSV(csv, after)
		if err != nil {
			return nil, err
		}
		l = append(l, c)
	}
	if tensorboard != "" {
		e, err := OpenEvents(tensorboard, after)
		if err != nil {
			return nil, errors.Join(err, l.Close())
		}
		l = append(l, e)
	}
	return l, nil
}

// Add writes the values of a step to all logs, and joins their errors.
func (l Logs) Add(step int64, values iter.Seq2[string, float64]) error {
	var errs []error
	for _, w := range l {
		errs = append(errs, w.Add(step, values))
	}
	return errors.Join(errs...)
}

// Close closes all logs; what an Add could not write is told again.
func (l Logs) Close() error {
	var errs []error
	for _, w := range l {
		errs = append(errs, w.Close())
	}
	return errors.Join(errs...)
}
