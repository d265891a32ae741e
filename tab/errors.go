package tab

import (
	"errors"

	"github.com/gotab/gotab/tensor"
)

// Sentinel errors; test for them with errors.Is.
var (
	// ErrConfig reports a setting that is out of its range or parts that do not
	// fit together.
	ErrConfig = errors.New("invalid configuration")
	// ErrDiverged reports a loss or a gradient that is not a finite number. The
	// weights and statistics are those before the step.
	ErrDiverged = errors.New("training diverged")
	// ErrNotPrepared reports a step before Prepare.
	ErrNotPrepared = errors.New("not prepared")
	// ErrUnknownClass reports a class that has no anchors.
	ErrUnknownClass = errors.New("unknown class")
	// ErrBank reports a text bank whose content does not make sense.
	ErrBank = errors.New("invalid text bank")
	// ErrCheckpoint reports a checkpoint that does not belong to the run.
	ErrCheckpoint = errors.New("checkpoint does not fit")
	// ErrNoTwin reports that no synthetic defect could be placed in many draws.
	ErrNoTwin = errors.New("no damaged twin could be made")
	// ErrClosed reports the use of a closed Pretrainer. It is [tensor.ErrClosed].
	ErrClosed = tensor.ErrClosed
)
