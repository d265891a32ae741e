package tab

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gotab/gotab/internal/identity"
)

// partIdentity tells a collaborator from others, so that a run is not resumed with
// another one. An empty Fingerprint says that its settings cannot be told.
type partIdentity struct {
	Type        string `json:"type"`
	Fingerprint string `json:"fingerprint"`
}

// identify returns what tells v.
func identify(v any) partIdentity {
	return partIdentity{Type: identity.Type(v), Fingerprint: identity.Fingerprint(v)}
}

// generator returns what tells the generator. It is asked for once: textures may be
// many images.
func (p *Pretrainer) generator() partIdentity {
	if p.synth == nil {
		id := identify(p.parts.Synth)
		p.synth = &id
	}
	return *p.synth
}

// same fails where now is not, or not surely, what the checkpoint was written with.
func (was partIdentity) same(what string, now partIdentity, vouched bool) error {
	switch {
	case was.Type != now.Type:
		return fmt.Errorf("%w: the %s is a %s, it was a %s", ErrCheckpoint, what, now.Type, was.Type)
	case was.Fingerprint == "" || now.Fingerprint == "":
		if vouched {
			return nil
		}
		return fmt.Errorf("%w: nothing tells whether the %s, a %s, has the settings it had; give its type (and those it is made of) "+
			"a method Fingerprint() string, or vouch for it with tab.WithSameParts", ErrCheckpoint, what, now.Type)
	case was.Fingerprint != now.Fingerprint:
		return fmt.Errorf("%w: the %s is %s, it was %s", ErrCheckpoint, what, now.Fingerprint, was.Fingerprint)
	}
	return nil
}

// sameParts compares what Resume was given with what the checkpoint tells.
func (p *Pretrainer) sameParts(st state) error {
	if n := p.cfg.Objective.Name(); n != st.Objective {
		return fmt.Errorf("%w: the objective is %s, it was %s", ErrCheckpoint, n, st.Objective)
	}
	if p.given { // one of this package comes from the checkpoint itself
		if err := st.Aim.same("objective", identify(p.cfg.Objective), p.vouched); err != nil {
			return err
		}
	}
	return st.Synth.same("generator", p.generator(), p.vouched)
}

// ownSettings are the settings of an objective that builtin can restore.
func ownSettings(o Objective) json.RawMessage {
	b, err := json.Marshal(o)
	if err != nil {
		return nil
	}
	if r, err := builtin(o.Name(), b); err != nil || identity.Type(r) != identity.Type(o) {
		return nil
	}
	return b
}

// Fingerprint implements [synth.Fingerprinter] by hashes of the mixture and of what
// the table says of the product, which may have been written and read since. It is
// "" where a generator of the mixture cannot be told.
func (f Fitted) Fingerprint() string {
	of := f.Mixture.Fingerprint()
	if of == "" {
		return ""
	}
	table, err := json.Marshal(f.Twins)
	if err != nil { // a number that is none, which no measured table holds
		return ""
	}
	return fmt.Sprintf("%d draws of mixture %s by table %s", f.Attempts, hash([]byte(of)), hash(table))
}

// hash is short enough for a message.
func hash(b []byte) string { return fmt.Sprintf("%x", sha256.Sum256(b)) }

// Fingerprint implements [synth.Fingerprinter]. It is "" where a generator cannot be
// told.
func (t TwinsByClass) Fingerprint() string {
	out := ""
	for _, class := range slices.Sorted(maps.Keys(t)) {
		id := identify(t[class])
		if id.Fingerprint == "" {
			return ""
		}
		if len(id.Fingerprint) > 200 { // the whole of a mixture
			id.Fingerprint = hash([]byte(id.Fingerprint))
		}
		out += fmt.Sprintf("%q: %s %q; ", class, id.Type, id.Fingerprint)
	}
	return "twins by class " + out
}

// Fingerprint implements [synth.Fingerprinter].
func (a Alignment) Fingerprint() string { return fmt.Sprintf("%+v", a) }

// Fingerprint implements [synth.Fingerprinter].
func (k Keep) Fingerprint() string { return fmt.Sprintf("%+v", k) }

// Fingerprint implements [synth.Fingerprinter].
func (a Amplify) Fingerprint() string { return fmt.Sprintf("%+v", a) }

// Fingerprint implements [synth.Fingerprinter].
func (d Dense) Fingerprint() string { return fmt.Sprintf("%+v", d) }

// Fingerprint implements [synth.Fingerprinter]: the parts', and none where a part
// has none.
func (m Mix) Fingerprint() string {
	var parts []string
	for _, t := range m {
		f := identity.Fingerprint(t.Objective)
		if f == "" {
			return ""
		}
		parts = append(parts, fmt.Sprintf("%g %s %s", t.Weight, identity.Type(t.Objective), f))
	}
	return strings.Join(parts, "; ")
}

// Fingerprint implements [synth.Fingerprinter].
func (c Classification) Fingerprint() string { return fmt.Sprintf("%+v", c) }
