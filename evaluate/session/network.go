package session

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/gotab/gotab/evaluate/detectors"
	"github.com/gotab/gotab/internal/apart"
)

// network is a backbone with what a report calls it.
type network struct {
	*detectors.Network
	label string // what tells it from the other network of a comparison; empty without one
}

// about is the network for the head of a report.
func (n network) about() string {
	text := fmt.Sprintf("%s (%s, SHA-256 %s)", n.Weights, n.Arch, short(n.SHA256))
	if n.label != "" && n.label != stem(n.Weights) && n.label != n.Weights {
		text += ", below called " + n.label
	}
	return text
}

// tellApart names two networks whose files lie at the paths a and b: by the last parts
// of the paths, as many as it takes. Networks of equal weights are refused: a
// comparison of them is a mistake that takes hours to show.
func tellApart(one, two *network, a, b string) error {
	if one.SHA256 == two.SHA256 {
		return fmt.Errorf("session: %w: %s and %s hold the same weights (SHA-256 %s): there is nothing to compare",
			ErrConfig, a, b, short(one.SHA256))
	}
	names, ok := apart.Names([]string{filepath.Join(filepath.Dir(a), one.Weights), filepath.Join(filepath.Dir(b), two.Weights)}, nil)
	if !ok { // the same path: the file has changed in between
		names = []string{one.Weights + " " + short(one.SHA256), two.Weights + " " + short(two.SHA256)}
	}
	one.label, two.label = names[0], names[1]
	return nil
}

// stem is a file's name without its ending.
func stem(name string) string { return strings.TrimSuffix(name, filepath.Ext(name)) }

// short is enough of a checksum to tell files apart.
func short(sha256 string) string { return sha256[:min(8, len(sha256))] }
