package synth

import (
	"fmt"
	"strings"
)

// Short is the name of a kind without the method that it belongs to: "patch" for CutPaste's patches.
func (k Kind) Short() string { return strings.TrimPrefix(string(k), "cutpaste ") }

// Find returns the kind of the mixture with a name, or a [Kind.Short] one; false where it has none.
func (m Mixture) Find(name string) (Kind, bool) {
	for _, k := range m.List() {
		if name == string(k) || name == k.Short() {
			return k, true
		}
	}
	return KindOther, false
}

// FindAll returns the kinds with some names, in the order of the names, as [Mixture.Find] does; none gives nil. ErrSettings says that the
// mixture has no kind of a name, and which it has.
func (m Mixture) FindAll(names ...string) ([]Kind, error) {
	var kinds []Kind
	for _, name := range names {
		k, ok := m.Find(name)
		if !ok {
			return nil, fmt.Errorf("synth: Mixture.FindAll: there is no kind %q here, want one of %s: %w", name, strings.Join(m.ShortNames(), ", "), ErrSettings)
		}
		kinds = append(kinds, k)
	}
	return kinds, nil
}

// ShortNames are those of the kinds of [Mixture.List].
func (m Mixture) ShortNames() []string {
	var names []string
	for _, k := range m.List() {
		names = append(names, k.Short())
	}
	return names
}
