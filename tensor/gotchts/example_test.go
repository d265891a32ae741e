package gotchts_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/gotab/gotab/tensor"
	"github.com/gotab/gotab/tensor/gotchts"
)

// A value goes to gotch's ts, is worked on there, and comes back.
func Example() {
	err := tensor.Run(context.Background(), tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
		x, err := gotchts.ToGotch(s, s.FromFloats([]float32{1, 4, 9}, 3))
		if err != nil {
			return err
		}
		root, err := x.Sqrt(true) // true: x is dropped
		if err != nil {
			return err
		}
		v, err := s.Floats(s.AddScalar(gotchts.FromGotch(s, root), 10))
		fmt.Println(v)
		return errors.Join(err, root.Drop())
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output:
	// [11 12 13]
}
