package synth

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/gotab/gotab/internal/identity"
)

// Fingerprinter is what a Generator, a Textures, or another collaborator of a training implements so that the training can
// be resumed with an equal one and no other. All generators and textures of this package do.
type Fingerprinter interface {
	// Fingerprint returns a text that is the same for two values of a type exactly if both make the same of the same input;
	// pointers, work memory and the process are not in it. It returns "" where it cannot tell, because of a part that has no
	// Fingerprint and is no struct without fields. A type that embeds another one needs a method of its own.
	Fingerprint() string
}

// Fingerprint implements Fingerprinter.
func (g NSA) Fingerprint() string {
	g.Blender = nil // makes the same, only slower
	if len(g.Backgrounds) == 0 {
		g.Backgrounds = nil
	}
	return fmt.Sprintf("%#v", g)
}

// Fingerprint implements Fingerprinter.
func (g CutPaste) Fingerprint() string { return fmt.Sprintf("%#v", g) }

// Fingerprint implements Fingerprinter. It is "" where Textures cannot be told.
func (g Perlin) Fingerprint() string {
	textures := g.Textures
	if textures == nil {
		textures = DrawnTextures{}
	}
	source := part(textures)
	if source == "" {
		return ""
	}
	g.Textures, g.Buffers = nil, nil
	return fmt.Sprintf("%#v over %s", g, source)
}

// Fingerprint implements Fingerprinter.
func (g Mask) Fingerprint() string { return fmt.Sprintf("%#v", g) }

// Fingerprint implements Fingerprinter. It is "" where a part cannot be told.
func (m Mix) Fingerprint() string {
	var parts []string
	for _, p := range m.Parts {
		of := part(p.Generator)
		if of == "" {
			return ""
		}
		parts = append(parts, fmt.Sprintf("%#v x %q", p.Weight, of))
	}
	return "synth.Mix of " + strings.Join(parts, ", ")
}

// Fingerprint implements Fingerprinter. It is "" where Generator cannot be told.
func (v Visible) Fingerprint() string {
	of := part(v.Generator)
	if of == "" {
		return ""
	}
	return fmt.Sprintf("synth.Visible %#v %d of %q", v.Least, v.Attempts, of)
}

// Fingerprint implements Fingerprinter. It is "" where Textures cannot be told.
func (g Overlay) Fingerprint() string {
	source := "its own material"
	if g.Textures != nil {
		if source = part(g.Textures); source == "" {
			return ""
		}
	}
	g.Textures, g.Buffers = nil, nil
	return fmt.Sprintf("%#v of %s", g, source)
}

// Fingerprint implements Fingerprinter.
func (g Noise) Fingerprint() string {
	g.Buffers = nil
	return fmt.Sprintf("%#v", g)
}

// Fingerprint implements Fingerprinter.
func (g Stain) Fingerprint() string {
	g.Buffers = nil
	return fmt.Sprintf("%#v", g)
}

// Fingerprint implements Fingerprinter.
func (g Warp) Fingerprint() string {
	g.Buffers = nil
	return fmt.Sprintf("%#v", g)
}

// Fingerprint implements Fingerprinter.
func (g Unchanged) Fingerprint() string { return fmt.Sprintf("%#v", g) }

// Fingerprint implements Fingerprinter.
func (g Reseam) Fingerprint() string {
	g.Blender = nil
	return fmt.Sprintf("%#v", g)
}

// Fingerprint implements Fingerprinter. It is "" where a part cannot be told.
func (m Mixture) Fingerprint() string {
	var kinds []string
	for i, list := range [][]Ingredient{m.Kinds, m.Normal} {
		for _, k := range list {
			of := part(k.Generator)
			if of == "" {
				return ""
			}
			kinds = append(kinds, fmt.Sprintf("%d %#v %#v x %q", i, k.Kind, k.Weight, of))
		}
	}
	return fmt.Sprintf("synth.Mixture %#v %d of %s", m.Share, m.Attempts, strings.Join(kinds, ", "))
}

// Fingerprint implements Fingerprinter: a hash of all pixels, in order. It takes the time of reading them.
func (t TextureCrops) Fingerprint() string { return TextureImages(t).Fingerprint() }

// Fingerprint implements Fingerprinter: a hash of all pixels, in order. It takes the time of reading them.
func (t TextureImages) Fingerprint() string {
	h := sha256.New()
	var size [16]byte
	for i, img := range t {
		m, err := asRGBA("texture", img)
		if err != nil {
			fmt.Fprintf(h, "picture %d cannot be used", i)
			continue
		}
		w, rows := m.Rect.Dx(), m.Rect.Dy()
		binary.LittleEndian.PutUint64(size[:8], uint64(w))
		binary.LittleEndian.PutUint64(size[8:], uint64(rows))
		h.Write(size[:])
		for y := range rows {
			h.Write(m.Pix[y*m.Stride:][:4*w])
		}
	}
	return fmt.Sprintf("%d pictures with hash %s", len(t), hex.EncodeToString(h.Sum(nil)))
}

// part is the fingerprint of a part with its type, "" where it has none.
func part(v any) string {
	f := identity.Fingerprint(v)
	if f == "" {
		return ""
	}
	return identity.Type(v) + " " + f
}
