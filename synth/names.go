package synth

import "strings"

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
