package safetensors_test

import (
	"bytes"
	"fmt"

	"github.com/gotab/gotab/internal/safetensors"
)

func Example() {
	var buf bytes.Buffer
	_, err := safetensors.Write(&buf, map[string]string{"model": "demo"}, []safetensors.Tensor{
		{Name: "fc.bias", DType: safetensors.F32, Shape: []int64{2}, Data: safetensors.Float32Bytes([]float32{0.5, -1})},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	f, err := safetensors.Open(bytes.NewReader(buf.Bytes()), int64(buf.Len()))
	if err != nil {
		fmt.Println(err)
		return
	}
	x, err := f.Float32("fc.bias")
	fmt.Println(f.Metadata()["model"], x, err)
	// Output: demo [0.5 -1] <nil>
}
