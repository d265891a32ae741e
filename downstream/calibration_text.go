package downstream

import (
	"encoding/json"
	"fmt"
	"math"
)

// maxCalibrationText bounds what ParseCalibration takes: two lists of maxScores numbers,
// each of at most 26 bytes, and the rest. 4 MiB.
const maxCalibrationText = 1 << 22

// calibrationText is the JSON form of a calibration with its scores.
type calibrationText struct {
	savedCalibration
	Good      []float64 `json:"good"`
	Defective []float64 `json:"defective,omitempty"`
}

// MarshalJSON implements [encoding/json.Marshaler], for files that keep a calibration
// beside a detector. [ParseCalibration] reads it; nothing is lost.
func (c *Calibration) MarshalJSON() ([]byte, error) {
	if c == nil {
		return []byte("null"), nil
	}
	return json.Marshal(calibrationText{
		savedCalibration{calibrationVersion, c.point, [2]float64{c.scale.Low, c.scale.High}, c.tiles}, c.good, c.defective,
	})
}

// ParseCalibration reads what [Calibration.MarshalJSON] wrote. What no calibration can be
// is [ErrFile], as is a text of more than 4 MiB.
func ParseCalibration(text []byte) (*Calibration, error) {
	c, err := parseCalibration(text)
	if err != nil {
		return nil, fmt.Errorf("downstream: parse calibration: %w: %w", ErrFile, err)
	}
	return c, nil
}

func parseCalibration(text []byte) (*Calibration, error) {
	if len(text) > maxCalibrationText {
		return nil, fmt.Errorf("%d bytes, at most %d are taken", len(text), maxCalibrationText)
	}
	var t calibrationText
	if err := json.Unmarshal(text, &t); err != nil {
		return nil, err
	}
	head, err := json.Marshal(t.savedCalibration)
	if err != nil {
		return nil, err
	}
	bits := func(list []float64) []uint64 {
		out := make([]uint64, len(list))
		for i, s := range list {
			out[i] = math.Float64bits(s)
		}
		return out
	}
	return readCalibration(string(head), bits(t.Good), bits(t.Defective))
}
