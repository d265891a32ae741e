package backbone

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/gotab/gotab/internal/layers"
	"github.com/gotab/gotab/tensor"
)

// Read reads a safetensors stream with torchvision's or timm's names (they are
// the same), with or without a common prefix such as "module." or "backbone.".
// Which of the architectures it is the names and shapes tell; [ResNet.Arch] says
// it afterwards. Every missing, unexpected and misshapen name is reported at once
// in an error that wraps [ErrWeights]. Exceptions: a classification layer (fc)
// of any number of classes may be there or not, a projection layer that
// pre-training added is passed over, and so may the counters of batch norm be
// missing.
func Read(r io.Reader, dev tensor.Device) (*ResNet, error) {
	w, err := tensor.ReadWeights(r)
	if err != nil {
		return nil, fmt.Errorf("backbone: read weights: %w", err)
	}
	return FromWeights(w, dev)
}

// ReadTorch reads the state dict of a .pth file, such as torchvision publishes,
// with a reader that runs nothing of what the file asks for. Otherwise it is
// Read.
func ReadTorch(r io.ReaderAt, size int64, dev tensor.Device) (*ResNet, error) {
	w, err := tensor.ReadTorchWeights(r, size)
	if err != nil {
		return nil, fmt.Errorf("backbone: read weights: %w", err)
	}
	return FromWeights(w, dev)
}

// Open reads a weight file of either kind, as Read does.
func Open(path string, dev tensor.Device) (*ResNet, error) { return open(path, dev, detect) }

// FromWeights builds a network of weights that were read before, as Read does.
func FromWeights(w *tensor.Weights, dev tensor.Device) (*ResNet, error) {
	return fromWeights(w, dev, detect)
}

// FromStages builds the first stages of a network, as far as last (Stem to
// Layer4), of weights that were read before or copied from a whole network
// (Params().Arrays). It is what a detector keeps that trains a part of a network.
// The network has no layers beyond last: Channels are 0 and Forward refuses them;
// it is written with the stages that it has. Weights of deeper stages are passed
// over, else they are judged as Read judges them.
func FromStages(w *tensor.Weights, arch Arch, last Layer, dev tensor.Device) (*ResNet, error) {
	if err := arch.check(); err != nil {
		return nil, fmt.Errorf("backbone: read weights: %w", err)
	}
	if last < Stem || last > Layer4 {
		return nil, fmt.Errorf("backbone: read weights: %w: %s is no stage, want %s to %s", ErrLayer, last, Stem, Layer4)
	}
	fitted, err := fit(arch, last, strip(w.Arrays))
	if err != nil {
		return nil, fmt.Errorf("backbone: read weights: %w", err)
	}
	return build(arch, last, fitted, dev)
}

// ReadResNet18 is [Read] for ResNet-18 alone: weights of another architecture do
// not fit.
func ReadResNet18(r io.Reader, dev tensor.Device) (*ResNet18, error) {
	w, err := tensor.ReadWeights(r)
	if err != nil {
		return nil, fmt.Errorf("backbone: read weights: %w", err)
	}
	return fromWeights(w, dev, only18)
}

// OpenResNet18 is [Open] for ResNet-18 alone: weights of another architecture do
// not fit.
func OpenResNet18(path string, dev tensor.Device) (*ResNet18, error) { return open(path, dev, only18) }

func only18([]tensor.Array) Arch { return ArchResNet18 }

func open(path string, dev tensor.Device, choose func([]tensor.Array) Arch) (*ResNet, error) {
	w, err := tensor.OpenWeights(path)
	if err != nil {
		return nil, fmt.Errorf("backbone: read weights: %w", err)
	}
	m, err := fromWeights(w, dev, choose)
	if err != nil {
		return nil, fmt.Errorf("%w (file %s)", err, path)
	}
	return m, nil
}

// fromWeights builds the architecture that choose names.
func fromWeights(w *tensor.Weights, dev tensor.Device, choose func([]tensor.Array) Arch) (*ResNet, error) {
	arrays := strip(w.Arrays)
	arch := choose(arrays)
	fitted, err := fit(arch, Pooled, arrays)
	if err != nil {
		if is := detect(arrays); is != arch {
			return nil, fmt.Errorf("backbone: read weights: %w (they look like %s, which Read and Open take)", err, is)
		}
		return nil, fmt.Errorf("backbone: read weights: %w", err)
	}
	return build(arch, Pooled, fitted, dev)
}

// detect says which architecture the names and shapes are nearest to; fit
// decides whether they are it. Only bottleneck blocks have a third convolution,
// only ResNet-34 has basic blocks and a third one in stage 1, and a wide
// network's first 1x1 convolution gives more than 64 channels.
func detect(arrays []tensor.Array) Arch {
	var third, more, wide bool
	for _, a := range arrays {
		switch a.Name {
		case "layer1.0.conv3.weight":
			third = true
		case "layer1.2.conv1.weight":
			more = true
		case "layer1.0.conv1.weight":
			wide = len(a.Shape) == 4 && a.Shape[0] > plans[ArchResNet50].width
		}
	}
	switch {
	case third && wide:
		return ArchWideResNet50
	case third:
		return ArchResNet50
	case more:
		return ArchResNet34
	}
	return ArchResNet18
}

// prefixes that wrappers put before torchvision's names.
var prefixes = []string{"module.", "model.", "backbone.", "encoder.", "net."}

// strip removes wrappers' prefixes as long as all names carry one.
func strip(arrays []tensor.Array) []tensor.Array {
	out := append([]tensor.Array(nil), arrays...)
	for again := true; again && len(out) > 0; {
		again = false
		for _, p := range prefixes {
			all := true
			for _, a := range out {
				all = all && strings.HasPrefix(a.Name, p)
			}
			if all {
				for i := range out {
					out[i].Name = out[i].Name[len(p):]
				}
				again = true
			}
		}
	}
	return out
}

// extra says which names there may be beside a network that ends with last: what
// pre-training or fine-tuning adds, and deeper stages.
func extra(name string, last Layer) bool {
	if strings.HasPrefix(name, "projection.") {
		return true
	}
	for l := last + 1; l < Pooled; l++ {
		if strings.HasPrefix(name, l.String()+".") {
			return true
		}
	}
	return last < Pooled && (name == "fc.weight" || name == "fc.bias")
}

// fit checks arrays, whose prefixes are stripped, against the architecture as far
// as last and returns exactly what build needs. Nothing is made on the device
// before all of it is right.
func fit(arch Arch, last Layer, arrays []tensor.Array) ([]tensor.Array, error) {
	pooled := int64(arch.Channels(Pooled))
	want := map[string][]int64{}
	var order []string
	need := func(name string, shape ...int64) {
		want[name] = shape
		order = append(order, name)
	}
	for _, u := range describe(arch, last).units() {
		for _, sp := range u.Specs() {
			need(sp.Name, sp.Shape...)
		}
	}
	have := map[string]tensor.Array{}
	var faults []error
	for _, a := range arrays {
		shape, ok := want[a.Name]
		switch {
		case extra(a.Name, last):
			continue
		case a.Name == "fc.weight" && len(a.Shape) == 2 && a.Shape[1] == pooled, a.Name == "fc.bias" && len(a.Shape) == 1:
			shape, ok = a.Shape, true // any number of classes
		case strings.HasSuffix(a.Name, layers.Counter) && ok && len(a.Data) == 8 && a.DType == tensor.Int64:
			a.Shape = []int64{} // some writers store the counter as [1]
		}
		switch {
		case !ok:
			faults = append(faults, fmt.Errorf("%s %v is not expected", a.Name, a.Shape))
			continue
		case !slices.Equal(shape, a.Shape):
			faults = append(faults, fmt.Errorf("%s is %v, file has %v", a.Name, shape, a.Shape))
		case len(shape) == 0 && a.DType != tensor.Int64:
			faults = append(faults, fmt.Errorf("%s is %s, want int64", a.Name, a.DType))
		case len(shape) > 0 && a.DType != tensor.Float32:
			faults = append(faults, fmt.Errorf("%s is %s, want float32", a.Name, a.DType))
		}
		if _, twice := have[a.Name]; twice {
			faults = append(faults, fmt.Errorf("%s comes twice", a.Name))
		}
		if err := a.CheckFinite(); err != nil {
			faults = append(faults, err)
		}
		have[a.Name] = a
	}
	var out []tensor.Array
	for _, n := range order {
		a, ok := have[n]
		if !ok && strings.HasSuffix(n, layers.Counter) {
			continue
		}
		if !ok {
			faults = append(faults, fmt.Errorf("%s %v is missing", n, want[n]))
		}
		out = append(out, a)
	}
	w, b := have["fc.weight"], have["fc.bias"]
	switch {
	case last < Pooled:
	case w.Name == "" && b.Name == "":
		w = tensor.FloatArray("fc.weight", make([]float32, classes*pooled), classes, pooled)
		b = tensor.FloatArray("fc.bias", make([]float32, classes), classes)
	case w.Name == "" || b.Name == "" || w.Shape[0] != b.Shape[0]:
		faults = append(faults, fmt.Errorf("fc.weight %v and fc.bias %v do not belong together", w.Shape, b.Shape))
	}
	if len(faults) > 0 {
		return nil, fmt.Errorf("%w %s (%d faults): %w", ErrWeights, arch, len(faults), errors.Join(first(faults, 12)...))
	}
	if last < Pooled {
		return out, nil
	}
	return append(out, w, b), nil
}

// first shortens a long list of faults: a file of another network has hundreds.
func first(faults []error, n int) []error {
	if len(faults) <= n {
		return faults
	}
	rest := len(faults) - n
	return append(append([]error(nil), faults[:n]...), fmt.Errorf("and %d more", rest))
}
