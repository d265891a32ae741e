package downstream

import (
	"github.com/gotab/gotab/dataset"
)

const (
	maxSigma  = 64
	maxBatch  = 256
	maxEpochs = 100_000
	maxHidden = 1 << 13 // values of a hidden layer
)

// validateView checks the settings that all detectors have.
func validateView(w who, sigma float64, batch int, t dataset.Transform, n dataset.Normalize) error {
	if !(sigma >= 0 && sigma <= maxSigma) {
		return w.invalid("Sigma is %v, want 0 to %d", sigma, maxSigma)
	}
	if batch < 1 || batch > maxBatch {
		return w.invalid("Batch is %d, want 1 to %d", batch, maxBatch)
	}
	if err := t.Validate(); err != nil {
		return w.invalid("Transform: %v", err)
	}
	if err := n.Validate(); err != nil {
		return w.invalid("Normalize: %v", err)
	}
	return nil
}
