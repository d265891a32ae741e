package downstream

import (
	"context"
	"image"
	"strconv"

	"github.com/gotab/gotab/downstream/internal/feed"
)

// ramps draws pictures whose pixels name their image; image bad is larger.
func ramps(bad int) feed.Pictures {
	return func(_ context.Context, i int) (image.Image, string, error) {
		side := 8
		if i == bad {
			side = 9
		}
		img := image.NewGray(image.Rect(0, 0, side, side))
		for p := range img.Pix {
			img.Pix[p] = uint8(17*i + p)
		}
		return img, strconv.Itoa(i), nil
	}
}
