package prompt_test

import (
	"fmt"

	"github.com/gotab/gotab/prompt"
)

func ExampleIDPA_Sentences() {
	p := prompt.DefaultIDPA()
	normal, abnormal, err := p.Sentences("metal_nut")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(len(normal), len(abnormal))
	fmt.Println(normal[0])
	fmt.Println(normal[7])
	fmt.Println(abnormal[len(abnormal)-1])
	// Output:
	// 224 224
	// a photo of a good metal nut.
	// an industrial photo of a good metal nut.
	// an industrial image of a metal nut with damage for anomaly detection
}

func ExamplePreset() {
	p, err := prompt.Preset("two-class-defect")
	if err != nil {
		fmt.Println(err)
		return
	}
	normal, abnormal, err := p.Sentences("wood")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(normal, abnormal)
	// Output: [normal wood.] [defect wood.]
}
