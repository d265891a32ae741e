package downstream

// Detector returns the detector that sees the tiles, for what saves it with its
// settings. It stays t's: Close of either closes both.
func (t *Tiled) Detector() Detector { return t.d }
