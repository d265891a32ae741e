package downstream_test

import (
	"context"
	"fmt"
	"image"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
)

// Fit on good images, then score new ones. A real program passes a
// *backbone.ResNet18; the small extractor here keeps the example quick.
func ExampleNewPaDiM() {
	cfg := downstream.DefaultPaDiM()
	cfg.Channels = nil // all that the extractor has
	cfg.Transform = dataset.Square(32)
	det, err := downstream.NewPaDiM(&fake{scale: 1}, cfg, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer det.Close()

	good, err := dataset.NewImages("texture", textures(20, 1, 32)...)
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	if err := det.Fit(ctx, good); err != nil {
		fmt.Println(err)
		return
	}
	fresh := textures(2, 2, 32)
	results, err := det.Score(ctx, fresh[0], scratched(fresh[1]))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("the scratched one scores higher:", results[1].Score > results[0].Score)
	fmt.Println("map:", image.Pt(results[1].Map.W, results[1].Map.H))
	// Output:
	// the scratched one scores higher: true
	// map: (32,32)
}
