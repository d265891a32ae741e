package metrics_test

import (
	"fmt"

	"github.com/gotab/gotab/metrics"
)

func ExampleAUROC() {
	scores := []float64{0.1, 0.7, 0.4, 0.9}
	defective := []bool{false, false, true, true}
	auroc, err := metrics.AUROC(scores, defective)
	fmt.Println(auroc, err)
	// Output: 0.75 <nil>
}

func ExamplePixelAUROC() {
	p := metrics.NewPixelAUROC(64 << 20) // exact in at most 64 MiB
	if err := p.Add([]float32{0.2, 0.3, 2.5, 0.1}, []bool{false, false, true, false}); err != nil {
		fmt.Println(err)
		return
	}
	if err := p.AddMask([]float32{0.4, 0.1}, nil); err != nil { // an image without a defect
		fmt.Println(err)
		return
	}
	r, err := p.Result()
	fmt.Println(r.AUROC, r.Exact, r.Pixels, r.Positive, err)
	// Output: 1 true 6 1 <nil>
}
