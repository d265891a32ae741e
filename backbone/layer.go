package backbone

import "fmt"

// Layer names a place in a ResNet where features can be taken.
type Layer int

// The layers. For an input of 224x224, ResNet-18 and ResNet-34 give the shapes in
// brackets (batch first); ResNet-50 and WideResNet-50-2 have four times as many
// channels from stage 1 on.
const (
	Stem   Layer = iota // after the max-pool [64 56 56]
	Layer1              // stage 1 [64 56 56]
	Layer2              // stage 2 [128 28 28]
	Layer3              // stage 3 [256 14 14]
	Layer4              // stage 4 [512 7 7]
	Pooled              // stage 4 averaged over its positions [512]
)

var layerNames = [...]string{"stem", "layer1", "layer2", "layer3", "layer4", "pooled"}

// String returns torchvision's name: "layer1" to "layer4", "stem" or "pooled".
func (l Layer) String() string {
	if l < Stem || l > Pooled {
		return fmt.Sprintf("layer(%d)", int(l))
	}
	return layerNames[l]
}

// ParseLayer reads what String writes. Anything else is an error that wraps
// [ErrLayer].
func ParseLayer(s string) (Layer, error) {
	for i, n := range layerNames {
		if n == s {
			return Layer(i), nil
		}
	}
	return 0, fmt.Errorf("backbone: %w: %q, want one of %v", ErrLayer, s, layerNames)
}

// ParseLayers reads several of them, in their order; none gives nil. The error is that of [ParseLayer].
func ParseLayers(names ...string) ([]Layer, error) {
	var all []Layer
	for _, name := range names {
		l, err := ParseLayer(name)
		if err != nil {
			return nil, err
		}
		all = append(all, l)
	}
	return all, nil
}
