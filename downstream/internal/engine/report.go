package engine

// Progress is downstream.Progress, which says what the fields are.
type Progress struct {
	Detector           string
	Stage              string
	Done, Total        int
	Epoch, Epochs      int
	Loss, Accuracy, LR float64
}

// Options are the collaborators of a detector or classifier.
type Options struct{ Progress func(Progress) }

// OptionsOf collects the options of a package.
func OptionsOf[O ~func(*Options)](opts []O) (o Options) {
	for _, set := range opts {
		set(&o)
	}
	return o
}

// Report tells how far a stage has come.
func (d *Core[M]) Report(stage string, done, total int) {
	d.ReportTraining(Progress{Stage: stage, Done: done, Total: total})
}

// ReportTraining tells how far a training has come.
func (d *Core[M]) ReportTraining(p Progress) {
	if d.Options.Progress != nil {
		p.Detector = d.Who.Name
		d.Options.Progress(p)
	}
}
