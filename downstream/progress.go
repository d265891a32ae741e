package downstream

import (
	"iter"

	"github.com/gotab/gotab/downstream/internal/engine"
)

// Progress is how far a detector or classifier has come with what it is doing.
type Progress struct {
	Detector string // "PaDiM"
	// Stage is what is going on: "features", where a network's answers are kept
	// for the training that follows; "train"; "fit" and "update" of statistics;
	// "choose patches", "choose" and "keep patches" of a [PatchCore], which looks at
	// the images, chooses and looks at them again; "score"; "calibrate"; "predict".
	Stage string
	// Done of Total are images; in "train" batches of the epoch, in "choose" patches
	// that are chosen, which may end before Total where patches are alike, and in
	// RegAD's "fit" variations of images, 22 for each.
	Done, Total int
	// Epoch counts from 1 to Epochs while a detector trains; both are 0 elsewhere.
	Epoch, Epochs int
	// Loss is that of the last batch of a training, before its update. A
	// classifier also tells the share of the batch that it had right, 0 to 1, and
	// the learning rate of its linear layer.
	Loss, Accuracy, LR float64
}

// Step counts the batches of a training through all its epochs, from 1; 0 elsewhere.
func (p Progress) Step() int64 {
	if p.Epoch == 0 {
		return 0
	}
	return int64(p.Epoch-1)*int64(p.Total) + int64(p.Done)
}

// Scalars yields the figures of a batch of a training by name, for a log such as package
// scalars writes: loss and epoch, and of a classifier accuracy and lr. Elsewhere there are
// none.
func (p Progress) Scalars() iter.Seq2[string, float64] {
	return func(yield func(string, float64) bool) {
		if p.Epoch == 0 || !yield("loss", p.Loss) || !yield("epoch", float64(p.Epoch)) || p.LR == 0 && p.Accuracy == 0 {
			return
		}
		_ = yield("accuracy", p.Accuracy) && yield("lr", p.LR)
	}
}

// Option adds a collaborator to a detector or classifier.
type Option func(*engine.Options)

// WithProgress calls f after every batch of a Fit, Update, Train, Score, Calibrate or Predict,
// on the goroutine that called it. f should return soon; several scorings at once call
// it at once.
func WithProgress(f func(Progress)) Option {
	return func(o *engine.Options) {
		o.Progress = nil
		if f != nil {
			o.Progress = func(p engine.Progress) { f(Progress(p)) }
		}
	}
}
