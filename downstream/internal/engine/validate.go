package engine

import (
	"github.com/gotab/gotab/dataset"
)

const (
	maxSigma  = 64
	MaxBatch  = 256
	MaxEpochs = 100_000
	MaxHidden = 1 << 13 // values of a hidden layer
)

// ValidateView checks the settings that all detectors have.
func ValidateView(w Who, sigma float64, batch int, t dataset.Transform, n dataset.Normalize) error {
	if !(sigma >= 0 && sigma <= maxSigma) {
		return w.Invalid("Sigma is %v, want 0 to %d", sigma, maxSigma)
	}
	if batch < 1 || batch > MaxBatch {
		return w.Invalid("Batch is %d, want 1 to %d", batch, MaxBatch)
	}
	if err := t.Validate(); err != nil {
		return w.Invalid("Transform: %v", err)
	}
	if err := n.Validate(); err != nil {
		return w.Invalid("Normalize: %v", err)
	}
	return nil
}
