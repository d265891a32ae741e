// Package scalars writes the figures of a training step by step: as event files that
// TensorBoard reads ([Events]) and as a table of comma-separated values ([CSV]).
//
// It knows nothing of trainings. What they report has a method that gives names and
// values, so a log is a line in a callback:
//
//	log, err := scalars.OpenEvents("runs/first", 0)
//	...
//	tab.WithProgress(func(s tab.Step) { _ = log.Add(s.Number, s.Scalars()) })
//	downstream.WithProgress(func(p downstream.Progress) { _ = log.Add(p.Step(), p.Scalars()) })
//	...
//	err = log.Close() // what an Add could not write is told here again
//
// A run that goes on opens its logs with the number of the step that it stands at. Steps
// beyond it, which an interrupted run may have left, are taken back.
package scalars
