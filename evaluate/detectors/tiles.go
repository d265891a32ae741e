package detectors

import (
	"errors"
	"fmt"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/evaluate"
)

// Tiled is a method whose detectors see images tile by tile (downstream.Tiled). The
// transform of the method must show all of a tile. It returns downstream.ErrConfig for
// tiles that there are not, and for a method that learns from other classes. A method
// of another program, and one that chooses the images that it learns from
// ([Kind.Chooses]), fails when it makes a detector.
func Tiled(m evaluate.Method, t dataset.Tiles) (evaluate.Method, error) {
	cfg := downstream.DefaultTiled()
	cfg.Tiles = t
	if err := cfg.Validate(); err != nil {
		return m, err
	}
	if m.Others || m.New == nil {
		return m, fmt.Errorf("detectors: tiles: %w: %s learns from other classes, or makes no detectors", downstream.ErrConfig, m.Name)
	}
	m.Protocol.Tiles = &t
	m.Settings = struct{ Tiles, Detector any }{cfg, m.Settings}
	whole := m.New
	m.New = func(s evaluate.Seed) (evaluate.Detector, error) {
		d, err := whole(s)
		if err != nil {
			return nil, err
		}
		a, ok := d.(*Adapter)
		if !ok || a.learn != nil {
			err := fmt.Errorf("detectors: tiles: %w: %s is no detector of package downstream, or chooses the images that it learns from", downstream.ErrConfig, m.Name)
			return nil, errors.Join(err, d.Close())
		}
		return made(downstream.NewTiled(a.SetScorer, cfg)) // cfg is valid, so the detector is the tiles'
	}
	return m, nil
}
