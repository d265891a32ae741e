package downstream

import (
	"context"
	"fmt"
	"image"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/downstream/internal/network"
	"github.com/gotab/gotab/tensor"
)

// Memory is how many bytes a detector or a classifier takes, without those of the network
// that it borrows.
type Memory struct {
	// Fitted are those of a fitted one.
	Fitted int64
	// Fitting are the most during a fit, those of Fitted among them.
	Fitting int64
}

// probe returns the shapes of the maps that fe makes of images that the transform brings
// to a size.
func probe(who string, fe Extractor, layers []backbone.Layer, input image.Point) ([]network.MapShape, error) {
	if fe == nil {
		return nil, fmt.Errorf("%s: %w: the extractor is nil", whoIs(who).Doing("estimate"), ErrConfig)
	}
	shapes, err := network.Probe(context.Background(), fe, layers, input)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", whoIs(who).Doing("estimate"), err)
	}
	return shapes, nil
}

func cores() int { return tensor.GetThreads().Cores }
