package heatmap_test

import (
	"fmt"
	"image"

	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/downstream/heatmap"
)

// One scale, from good parts, for all parts: what is usual on good parts stays grey.
func ExampleGood() {
	var good heatmap.Good
	for _, m := range []downstream.Map{
		{W: 3, H: 1, Data: []float32{1, 2, 2}},
		{W: 3, H: 1, Data: []float32{2, 2, 4}},
	} {
		if err := good.Add(m); err != nil {
			fmt.Println(err)
			return
		}
	}
	scale, err := good.Scale(heatmap.DefaultGood())
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("colours from %.1f to %.1f\n", scale.Low, scale.High)

	part := image.NewGray(image.Rect(0, 0, 3, 1))
	over, err := heatmap.Overlay(part, downstream.Map{W: 3, H: 1, Data: []float32{2, 5, 9}}, scale)
	if err != nil {
		fmt.Println(err)
		return
	}
	for x := range 3 {
		fmt.Println(over.RGBAAt(x, 0))
	}
	// Output:
	// colours from 4.0 to 10.0
	// {104 104 104 255}
	// {198 168 53 255}
	// {145 68 21 255}
}
