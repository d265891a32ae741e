package backbone

import (
	"fmt"

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

// unit is a convolution without bias and the batch norm after it.
type unit struct {
	name, norm                string
	conv                      tensor.Conv
	w                         *tensor.Tensor
	gamma, beta, mean, sigma2 *tensor.Tensor
	seen                      *tensor.Tensor
	in, out, kernel           int64
	stage                     Layer
}

// block is a residual block: two units (basic) or three (bottleneck) one after
// the other, and a path around them, which is the input itself where down is nil.
type block struct {
	path []unit
	down *unit
}

// units returns all units in torchvision's order.
func (m *ResNet) units() []*unit {
	us := []*unit{&m.stem}
	for i := range m.stages {
		for j := range m.stages[i] {
			b := &m.stages[i][j]
			for k := range b.path {
				us = append(us, &b.path[k])
			}
			if b.down != nil {
				us = append(us, b.down)
			}
		}
	}
	return us
}

// describe lays a valid architecture out without making a tensor.
func describe(a Arch) *ResNet {
	p := plans[a]
	m := &ResNet{arch: a, stem: unit{name: "conv1", norm: "bn1", in: 3, out: stemWidth, kernel: 7,
		conv: tensor.Conv{Stride: 2, Padding: 3}, stage: Stem}}
	in := int64(stemWidth)
	for i := range m.stages {
		stage := Layer1 + Layer(i)
		width, out := p.width<<i, int64(a.Channels(stage))
		for j := range p.blocks[i] {
			stride := int64(1)
			if i > 0 && j == 0 {
				stride = 2
			}
			prefix := fmt.Sprintf("layer%d.%d.", i+1, j)
			var b block
			add := func(in, out, kernel, stride int64) {
				k := len(b.path) + 1
				b.path = append(b.path, unit{name: fmt.Sprintf("%sconv%d", prefix, k), norm: fmt.Sprintf("%sbn%d", prefix, k),
					in: in, out: out, kernel: kernel, conv: tensor.Conv{Stride: stride, Padding: kernel / 2}, stage: stage})
			}
			if p.bottleneck {
				add(in, width, 1, 1)
				add(width, width, 3, stride)
				add(width, out, 1, 1)
			} else {
				add(in, out, 3, stride)
				add(out, out, 3, 1)
			}
			if stride != 1 || in != out {
				b.down = &unit{name: prefix + "downsample.0", norm: prefix + "downsample.1", in: in, out: out, kernel: 1,
					conv: tensor.Conv{Stride: stride}, stage: stage}
			}
			m.stages[i] = append(m.stages[i], b)
			in = out
		}
	}
	return m
}
