package backbone

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/gotab/gotab/tensor"
)

// ReadResNet18 reads a safetensors stream with torchvision's or timm's names
// (they are the same), with or without a common prefix such as "module." or
// "backbone.". Every missing, unexpected and misshapen name is reported at once
// in an error that wraps [ErrWeights]. Exceptions: a classification layer (fc)
// of any number of classes may be there or not, a projection layer that
// pre-training added is passed over, and so may the counters of batch norm be
// missing.
func ReadResNet18(r io.Reader, dev tensor.Device) (*ResNet18, error) {
	w, err := tensor.ReadWeights(r)
	if err != nil {
		return nil, fmt.Errorf("backbone: read weights: %w", err)
	}
	return FromWeights(w, dev)
}

// ReadTorch reads the state dict of a .pth file, such as torchvision publishes,
// with a reader that runs nothing of what the file asks for. Otherwise it is
// ReadResNet18.
func ReadTorch(r io.ReaderAt, size int64, dev tensor.Device) (*ResNet18, error) {
	w, err := tensor.ReadTorchWeights(r, size)
	if err != nil {
		return nil, fmt.Errorf("backbone: read weights: %w", err)
	}
	return FromWeights(w, dev)
}

// OpenResNet18 reads a weight file of either kind.
func OpenResNet18(path string, dev tensor.Device) (*ResNet18, error) {
	w, err := tensor.OpenWeights(path)
	if err != nil {
		return nil, fmt.Errorf("backbone: read weights: %w", err)
	}
	m, err := FromWeights(w, dev)
	if err != nil {
		return nil, fmt.Errorf("%w (file %s)", err, path)
	}
	return m, nil
}

// FromWeights builds a network of weights that were read before.
func FromWeights(w *tensor.Weights, dev tensor.Device) (*ResNet18, error) {
	arrays, err := fit(w.Arrays)
	if err != nil {
		return nil, fmt.Errorf("backbone: read weights: %w", err)
	}
	return build(arrays, dev)
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

// extra says which names pre-training or fine-tuning adds beside the network.
func extra(name string) bool { return strings.HasPrefix(name, "projection.") }

// fit checks arrays against the architecture and returns exactly what build
// needs. Nothing is made on the device before all of it is right.
func fit(arrays []tensor.Array) ([]tensor.Array, error) {
	want := map[string][]int64{}
	var order []string
	need := func(name string, shape ...int64) {
		want[name] = shape
		order = append(order, name)
	}
	for _, u := range describe().units() {
		need(u.name+".weight", u.out, u.in, u.kernel, u.kernel)
		for _, n := range []string{"weight", "bias", "running_mean", "running_var"} {
			need(u.norm+"."+n, u.out)
		}
		need(u.norm + ".num_batches_tracked")
	}
	have := map[string]tensor.Array{}
	var faults []error
	for _, a := range strip(arrays) {
		switch shape, ok := want[a.Name]; {
		case extra(a.Name):
			continue
		case a.Name == "fc.weight" && len(a.Shape) == 2 && a.Shape[1] == 512, a.Name == "fc.bias" && len(a.Shape) == 1:
		case !ok:
			faults = append(faults, fmt.Errorf("%s %v is not expected", a.Name, a.Shape))
		case strings.HasSuffix(a.Name, ".num_batches_tracked") && len(a.Data) == 8 && a.DType == tensor.Int64:
			a.Shape = []int64{} // some writers store the counter as [1]
		case !equal(shape, a.Shape):
			faults = append(faults, fmt.Errorf("%s is %v, file has %v", a.Name, shape, a.Shape))
		case a.DType != tensor.Float32:
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
		if !ok && strings.HasSuffix(n, ".num_batches_tracked") {
			continue
		}
		if !ok {
			faults = append(faults, fmt.Errorf("%s %v is missing", n, want[n]))
		}
		out = append(out, a)
	}
	w, b := have["fc.weight"], have["fc.bias"]
	switch {
	case w.Name == "" && b.Name == "":
		w = tensor.FloatArray("fc.weight", make([]float32, classes*512), classes, 512)
		b = tensor.FloatArray("fc.bias", make([]float32, classes), classes)
	case w.Name == "" || b.Name == "" || w.Shape[0] != b.Shape[0]:
		faults = append(faults, fmt.Errorf("fc.weight %v and fc.bias %v do not belong together", w.Shape, b.Shape))
	}
	if len(faults) > 0 {
		return nil, fmt.Errorf("%w ResNet18 (%d faults): %w", ErrWeights, len(faults), errors.Join(first(faults, 12)...))
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

func equal(a, b []int64) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}
