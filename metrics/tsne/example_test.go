package tsne_test

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/gotab/gotab/metrics"
	"github.com/gotab/gotab/metrics/tsne"
)

// Points on a plane, with numbers that say how far to trust them.
func ExampleEmbed() {
	rng := rand.New(rand.NewPCG(1, 1))
	var features [][]float64
	var damaged []int
	for i := range 80 {
		row := make([]float64, 16)
		for k := range row {
			row[k] = rng.NormFloat64()
		}
		row[0] += float64(12 * (i % 2))
		features, damaged = append(features, row), append(damaged, i%2)
	}
	cfg := tsne.Default()
	cfg.Perplexity = 10
	cfg.Iterations = 400
	e, err := tsne.Embed(context.Background(), features, cfg)
	if err != nil {
		fmt.Println(err)
		return
	}
	plane := make([][]float64, len(e.Points))
	for i := range e.Points {
		plane[i] = e.Points[i][:]
	}
	trust, err := metrics.Trustworthiness(context.Background(), features, plane, 10)
	if err != nil {
		fmt.Println(err)
		return
	}
	told, err := metrics.NeighbourAccuracy(context.Background(), features, damaged, 5)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("trustworthy: %v, neighbours tell damage in %.0f of 100\n", trust > 0.8, 100*told)
	// Output: trustworthy: true, neighbours tell damage in 100 of 100
}
