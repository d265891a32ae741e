package downstream

// progress is downstream.Progress, which says what the fields are.
type progress struct {
	Detector           string
	Stage              string
	Done, Total        int
	Epoch, Epochs      int
	Loss, Accuracy, LR float64
}

// options are the collaborators of a detector or classifier.
type options struct{ progress func(progress) }

// optionsOf collects the options of a package.
func optionsOf[O ~func(*options)](opts []O) (o options) {
	for _, set := range opts {
		set(&o)
	}
	return o
}

// report tells how far a stage has come.
func (d *core[M]) report(stage string, done, total int) {
	d.reportTraining(progress{Stage: stage, Done: done, Total: total})
}

func (d *core[M]) reportTraining(p progress) {
	if d.options.progress != nil {
		p.Detector = d.who.name
		d.options.progress(p)
	}
}
