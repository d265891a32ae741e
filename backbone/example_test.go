package backbone_test

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/tensor"
)

// Features of two images at a stage and averaged at the end. Weights from a file
// come by Open in New's place.
func Example() {
	net, err := backbone.New(backbone.ArchResNet18, tensor.CPU, rand.New(rand.NewPCG(1, 1)))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer net.Close()
	images := make([]float32, 2*64*64*3) // normalised as in training, rows of RGB pixels
	err = tensor.Run(context.Background(), net.Device(), tensor.Evaluation, func(s *tensor.Scope) error {
		x := s.FromNHWC(images, 2, 64, 64, 3)
		f := net.Forward(s, x, backbone.Layer3, backbone.Pooled)
		fmt.Println(net.Arch(), backbone.Layer3, f[0].Shape(), backbone.Pooled, f[1].Shape())
		return s.Err()
	})
	if err != nil {
		fmt.Println(err)
	}
	// Output:
	// resnet18 layer3 [2 256 4 4] pooled [2 512]
}

// The architectures differ in blocks and in the channels that detectors read.
func ExampleArch_Channels() {
	for _, a := range backbone.Archs() {
		fmt.Println(a, a.Channels(backbone.Layer1), a.Channels(backbone.Layer2), a.Channels(backbone.Layer3), a.Channels(backbone.Layer4))
	}
	// Output:
	// resnet18 64 128 256 512
	// resnet34 64 128 256 512
	// resnet50 256 512 1024 2048
	// wide_resnet50_2 256 512 1024 2048
}
