package backbone

import (
	"fmt"

	"github.com/gotab/gotab/internal/layers"
	"github.com/gotab/gotab/tensor"
)

// Arch names one of the residual networks that this package has. The zero value
// is ResNet-18.
type Arch int

// The architectures, all as torchvision builds them. Parameters are counted
// without the classification layer.
const (
	// ArchResNet18 has basic blocks, 2 2 2 2 (11.2 million parameters).
	ArchResNet18 Arch = iota
	// ArchResNet34 has basic blocks, 3 4 6 3 (21.3 million parameters).
	ArchResNet34
	// ArchResNet50 has bottleneck blocks, 3 4 6 3 (23.5 million parameters), with
	// the stride in the 3x3 convolution as torchvision has it.
	ArchResNet50
	// ArchWideResNet50 is torchvision's wide_resnet50_2: ResNet-50 whose 3x3
	// convolutions are twice as wide (66.8 million parameters; Zagoruyko and
	// Komodakis, arXiv 1605.07146).
	ArchWideResNet50
)

// plan is what tells the architectures apart.
type plan struct {
	name       string
	blocks     [4]int
	bottleneck bool
	width      int64 // channels of stage 1's 3x3 convolutions; twice as many in each later stage
}

var plans = [...]plan{
	ArchResNet18:     {"resnet18", [4]int{2, 2, 2, 2}, false, 64},
	ArchResNet34:     {"resnet34", [4]int{3, 4, 6, 3}, false, 64},
	ArchResNet50:     {"resnet50", [4]int{3, 4, 6, 3}, true, 64},
	ArchWideResNet50: {"wide_resnet50_2", [4]int{3, 4, 6, 3}, true, 128},
}

// stemWidth is the number of channels that the stem gives in every architecture.
const stemWidth = 64

// Archs returns all architectures.
func Archs() []Arch {
	as := make([]Arch, len(plans))
	for i := range as {
		as[i] = Arch(i)
	}
	return as
}

func (a Arch) valid() bool { return a >= 0 && int(a) < len(plans) }

func (a Arch) check() error {
	if !a.valid() {
		return fmt.Errorf("%w: %d, want one of %v", ErrArch, int(a), Archs())
	}
	return nil
}

// String returns torchvision's name: "resnet18", "resnet34", "resnet50" or
// "wide_resnet50_2".
func (a Arch) String() string {
	if !a.valid() {
		return fmt.Sprintf("arch(%d)", int(a))
	}
	return plans[a].name
}

// ParseArch reads what String writes. Anything else is an error that wraps
// [ErrArch].
func ParseArch(s string) (Arch, error) {
	for i := range plans {
		if plans[i].name == s {
			return Arch(i), nil
		}
	}
	return 0, fmt.Errorf("backbone: %w: %q, want one of %v", ErrArch, s, Archs())
}

// Channels returns the number of channels at a layer, 0 where there is none.
func (a Arch) Channels(l Layer) int {
	if !a.valid() || l < Stem || l > Pooled {
		return 0
	}
	if l == Stem {
		return stemWidth
	}
	c := stemWidth << (min(l, Layer4) - Layer1)
	if plans[a].bottleneck {
		c *= 4
	}
	return c
}

// units returns all units in torchvision's order.
func (m *ResNet) units() []*layers.ConvNorm {
	us := []*layers.ConvNorm{&m.stem}
	for i := range m.stages {
		for j := range m.stages[i] {
			us = append(us, m.stages[i][j].Units()...)
		}
	}
	return us
}

// describe lays a valid architecture out, as far as the layer last, without
// making a tensor.
func describe(a Arch, last Layer) *ResNet {
	p := plans[a]
	m := &ResNet{arch: a, last: last, stem: layers.ConvNorm{Name: "conv1", Norm: "bn1", In: 3, Out: stemWidth, Kernel: 7,
		Conv: tensor.Conv{Stride: 2, Padding: 3}}}
	in := int64(stemWidth)
	for i := range min(int(last), len(m.stages)) {
		stage := Layer1 + Layer(i)
		width, out := p.width<<i, int64(a.Channels(stage))
		for j := range p.blocks[i] {
			stride := int64(1)
			if i > 0 && j == 0 {
				stride = 2
			}
			sh := layers.Shape{In: in, Out: out, Stride: stride}
			if p.bottleneck {
				sh.Width = width
			}
			m.stages[i] = append(m.stages[i], layers.NewBlock(fmt.Sprintf("layer%d.%d.", i+1, j), sh))
			in = out
		}
	}
	return m
}
