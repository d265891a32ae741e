package tab

import (
	"context"
	"fmt"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/synth"
)

// MixturesByClass gives each class of good images a mixture that of makes, with foreign textures from so many images of the other
// classes, as a transform brings them; nil where there are no others, so that a mixture draws its own. The seed draws the
// images. The result is what [MeasureTwinsByClass] and [ScaleByTwins] take. It returns [ErrConfig] if of or the data set is nil, the errors of [ForeignTextures] and of of,
// and ctx's.
func MixturesByClass(ctx context.Context, good dataset.Dataset, tr dataset.Transform, images int, seed uint64,
	of func(class string, foreign synth.Textures) (synth.Mixture, error)) (map[string]synth.Mixture, error) {
	if good == nil || of == nil {
		return nil, fmt.Errorf("tab: mixtures: %w: data set and mixture must not be nil", ErrConfig)
	}
	out := map[string]synth.Mixture{}
	classes := good.Classes()
	for _, class := range classes {
		var textures synth.Textures
		if len(classes) > 1 {
			others, err := ForeignTextures(ctx, good, class, tr, images, seed)
			if err != nil {
				return nil, err
			}
			textures = others
		}
		m, err := of(class, textures)
		if err != nil {
			return nil, err
		}
		out[class] = m
	}
	return out, nil
}
