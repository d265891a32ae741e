package metrics_test

import (
	"context"
	"fmt"
	"image"
	"math/rand/v2"

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

func ExampleAUPRO() {
	a := metrics.NewAUPRO(64 << 20)
	mask := image.NewGray(image.Rect(0, 0, 4, 2))
	mask.Pix[0], mask.Pix[3] = 255, 255 // two defects of a pixel each
	scores := []float32{9, 1, 2, 3, 1, 0, 4, 2}
	if err := a.AddMask(scores, mask); err != nil {
		fmt.Println(err)
		return
	}
	r, err := a.Result(metrics.LimitMVTec)
	fmt.Printf("%.4f of %d defects, exact: %v, %v\n", r.AUPRO, r.Components, r.Exact, err)
	// Output: 0.8611 of 2 defects, exact: true, <nil>
}

func ExampleDeLong() {
	scores := []float64{0.1, 0.2, 0.3, 0.6, 0.4, 0.7, 0.8, 0.9}
	defective := []bool{false, false, false, false, true, true, true, true}
	interval, err := metrics.DeLong(scores, defective, 0.95)
	fmt.Println(interval, err)
	// Output: 0.9375 [0.7643, 1.0000] (95 % DeLong) <nil>
}

func ExampleBootstrap() {
	scores := []float64{0.1, 0.2, 0.3, 0.6, 0.4, 0.7, 0.8, 0.9}
	defective := []bool{false, false, false, false, true, true, true, true}
	interval, err := metrics.Bootstrap(context.Background(), scores, defective, metrics.AveragePrecision,
		metrics.DefaultBootstrap(), rand.New(rand.NewPCG(1, 1)))
	fmt.Println(interval, err)
	// Output: 0.9500 [0.8333, 1.0000] (95 % bootstrap, 2000 sets) <nil>
}

func ExampleCutForEscape() {
	scores := []float64{0.1, 0.2, 0.3, 0.6, 0.4, 0.7, 0.8, 0.9}
	defective := []bool{false, false, false, false, true, true, true, true}
	cut, err := metrics.CutForEscape(scores, defective, 0.01) // at most 1 % of the defects may be shipped
	fmt.Println(cut, err)
	// Output: at threshold 0.4: escape 0.00 % (0 of 4 defects), overkill 25.00 % (1 of 4 good parts) <nil>
}

func ExampleConfusion() {
	c, err := metrics.NewConfusion([]string{"good", "scratch", "dent"})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, v := range [][2]int{{0, 0}, {0, 0}, {1, 1}, {1, 2}, {2, 2}} { // truth, predicted
		if err := c.Add(v[0], v[1]); err != nil {
			fmt.Println(err)
			return
		}
	}
	top1, err := c.Top1()
	if err != nil {
		fmt.Println(err)
		return
	}
	macro, err := c.Macro()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Print(c)
	fmt.Printf("top-1 %.2f, macro F1 %.4f\n", top1, macro.F1)
	// Output:
	// truth \ predicted  good  scratch  dent
	//                good     2        0     0
	//             scratch     0        1     1
	//                dent     0        0     1
	// top-1 0.80, macro F1 0.7778
}

func ExampleMultiLabel() {
	m, err := metrics.NewMultiLabel([]string{"center", "edge"})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, v := range [][2][]bool{ // truth, predicted
		{{true, false}, {true, false}},
		{{true, true}, {true, false}},
		{{false, false}, {false, false}},
	} {
		if err := m.Add(v[0], v[1]); err != nil {
			fmt.Println(err)
			return
		}
	}
	exact, err := m.ExactMatch()
	fmt.Print(m)
	fmt.Printf("exact match %.4f, %v\n", exact, err)
	// Output:
	// label  TP  FP  FN  TN  precision  recall      F1
	//   center   2   0   0   1     1.0000  1.0000  1.0000
	//     edge   0   0   1   2     0.0000  0.0000  0.0000
	// exact match 0.6667, <nil>
}

func ExampleFigure() {
	f, err := metrics.NewFigure("AUPRO to 0.3", 0.9123, metrics.Protocol{
		Data: "grid, official test split", Width: 224, Height: 224, Mask: metrics.MaskNearest,
		Epoch: metrics.EpochNone, Score: metrics.ScoreMapMax, Seeds: 1,
	})
	fmt.Println(f, err)
	// Output: AUPRO to 0.3 0.9123 {grid, official test split; 224 x 224 px; masks: nearest, >= 128; weights: no training; image score: maximum of map; 1 seed} <nil>
}

// A threshold from good parts alone, and what so many of them can promise.
func ExampleRule_Choose() {
	good := make([]float64, 40)
	for i := range good {
		good[i] = float64(i + 1)
	}
	p, err := metrics.Overkill(0.05).Choose(good, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(p)
	if p, err = metrics.Conformal(0.05).Choose(good, nil); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(p)
	_, err = metrics.Overkill(0.001).Choose(good[:30], nil)
	fmt.Println(err)
	// Output:
	// threshold 38 (overkill of at most 5 %): 2 of 40 good parts rejected, true rate up to 16.9 % (Clopper-Pearson)
	// threshold 39 (conformal p-value of at most 5 %): 1 of 40 good parts rejected, true rate up to 13.2 % (Clopper-Pearson)
	// metrics: choose threshold: too few scores: 30 good parts cannot promise overkill of at most 0.1 %: it takes 1000 or more; with none of the 30 rejected the true rate may still be 11.6 % (95 % Clopper-Pearson)
}
