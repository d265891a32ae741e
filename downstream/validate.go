package downstream

import (
	"fmt"

	"github.com/gotab/gotab/dataset"
)

const (
	maxSigma  = 64
	maxBatch  = 256
	maxEpochs = 100_000
	maxHidden = 1 << 13 // values of a hidden layer
	maxSide   = 1 << 14 // pixels of a transformed image's side
	maxPixels = 1 << 24 // of a transformed image
)

// invalid makes the errors of a Validate.
type invalid func(format string, args ...any) error

func invalidSetting(detector string) invalid {
	return func(format string, args ...any) error {
		return fmt.Errorf("downstream: %s: %w: %s", detector, ErrConfig, fmt.Sprintf(format, args...))
	}
}

// validateView checks the settings that all detectors have.
func validateView(bad invalid, sigma float64, batch int, t dataset.Transform, n dataset.Normalize) error {
	if !(sigma >= 0 && sigma <= maxSigma) {
		return bad("Sigma is %v, want 0 to %d", sigma, maxSigma)
	}
	if batch < 1 || batch > maxBatch {
		return bad("Batch is %d, want 1 to %d", batch, maxBatch)
	}
	if err := t.Validate(); err != nil {
		return bad("Transform: %v", err)
	}
	if err := n.Validate(); err != nil {
		return bad("Normalize: %v", err)
	}
	return nil
}
