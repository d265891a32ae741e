package tensor_test

import (
	"context"
	"fmt"
	"log"

	"github.com/gotab/gotab/tensor"
)

// A line is fitted to four points: weights live in a Params, everything else is
// freed at the end of each Run.
func Example() {
	ctx := context.Background()
	p := tensor.NewParams(tensor.CPU)
	defer p.Close()
	err := tensor.Run(ctx, tensor.CPU, tensor.Training, func(s *tensor.Scope) error {
		if err := p.Put(s, "weight", s.Zeros(1, 1)); err != nil {
			return err
		}
		return p.Put(s, "bias", s.Zeros(1))
	})
	if err != nil {
		log.Fatal(err)
	}
	sgd, err := tensor.NewSGD(tensor.DefaultSGD(), tensor.CPU)
	if err != nil {
		log.Fatal(err)
	}
	defer sgd.Close()

	rate := func(name string) float64 { return 0.02 }
	for range 200 {
		err := tensor.Run(ctx, tensor.CPU, tensor.Training, func(s *tensor.Scope) error {
			x := s.FromFloats([]float32{0, 1, 2, 3}, 4, 1)
			y := s.FromFloats([]float32{-1, 2, 5, 8}, 4, 1) // 3 x - 1
			off := s.Minus(s.Linear(x, p.Get("weight"), p.Get("bias")), y)
			s.Backward(s.Mean(s.Square(off), false))
			if err := sgd.Step(s, p, rate); err != nil {
				return err
			}
			return p.ZeroGrad()
		})
		if err != nil {
			log.Fatal(err)
		}
	}
	arrays, err := p.Arrays(ctx)
	if err != nil {
		log.Fatal(err)
	}
	for _, a := range arrays {
		v, err := a.Floats()
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s %.2f\n", a.Name, v[0])
	}
	// Output:
	// weight 3.00
	// bias -1.00
}
