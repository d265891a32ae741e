package tab

import (
	"slices"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/synth"
)

// BlindBelow is the limit of [Detectability.Blind], in units of what 95 % of good parts vary by. It lies between products whose
// results are known (docs/results.md): in ImageNet's weights foreign matter stands out by 1.2 to 1.3 on circuit boards and by 1.8 to 2.2 on screws, and
// pre-training gained there, on screws after a first limit of 2 had said that it would not; on five other sets it stands out by 2.8 to 9.7, and
// four of them lost up to five points and one stayed. The 2.8 is of magnetic tiles measured alone, with one seed; other seeds have 3.5 and 4.3, four times
// as many draws 3.3 and 3.7, and beside other products, whose material is more foreign than drawn textures, they have 5. So the number
// moves by a fifth from seed to seed with a hundred draws, and what lies near the limit is not known.
const BlindBelow = 2.5

// foreignKinds are the kinds of damage that bring matter from elsewhere, and foreignLayer where they are looked at.
var (
	foreignKinds = []synth.Kind{synth.KindTexture, synth.KindNoise}
	foreignLayer = backbone.Layer2.String()
)

// Detectability says how far foreign matter stands out on a product in the network that a table was measured in, and so whether
// training that network is likely to help: where it sees such damage already, there is little to gain.
type Detectability struct {
	Class string `json:"class"`
	// Foreign holds, of the kinds texture and noise, those of which the table has twins that were placed: how far the median
	// twin stands out at layer 2, which is KindTwins.Loudness. It is empty where there is none, or the table has not that layer.
	Foreign map[synth.Kind]float64 `json:"foreign,omitempty"`
	// StandsOut is the largest of Foreign, 0 where that is empty.
	StandsOut float64 `json:"stands_out"`
	// Blind says that StandsOut is below [BlindBelow]: the network hardly sees any of Foreign. It is false where that is empty.
	Blind bool `json:"blind"`
}

// Detectability returns that of each product, in their order. It is computed of the table's kinds, and so of tables of any age; a
// file has it for who reads it with other programs.
func (t *TwinTable) Detectability() []Detectability {
	out := make([]Detectability, 0, len(t.Products))
	l := slices.Index(t.Layers, foreignLayer)
	for _, p := range t.Products {
		d := Detectability{Class: p.Class}
		for _, k := range p.Kinds {
			if !slices.Contains(foreignKinds, k.Kind) || k.Normal || k.All.placed() == 0 || l < 0 || l >= len(k.Loudness) {
				continue
			}
			if d.Foreign == nil {
				d.Foreign = map[synth.Kind]float64{}
			}
			d.Foreign[k.Kind] = k.Loudness[l]
			d.StandsOut = max(d.StandsOut, k.Loudness[l])
		}
		d.Blind = len(d.Foreign) > 0 && d.StandsOut < BlindBelow
		out = append(out, d)
	}
	return out
}
