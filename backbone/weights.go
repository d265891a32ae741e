package backbone

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/gotab/gotab/internal/layers"
	"github.com/gotab/gotab/tensor"
)

// Choice says which network of a weight file is meant. The zero value takes the
// one that is there.
type Choice struct {
	// Prefix is what stands before the names of the network, such as
	// "module.encoder_q.". It is needed where a file holds several networks, for
	// example a student and a teacher; the error then lists their prefixes.
	Prefix string
	// Layers are all that the network will be asked for. Stages beyond the deepest one, which the file must have all the same, are not
	// read and take no memory: layer 4 is three quarters of a ResNet-18, and most detectors end before it. The network is one of
	// [FromStages] then, and so is what it is saved as. Empty, or with [Pooled] or a layer that there is not: all of it.
	Layers []Layer
}

// last is what the network ends with.
func (c Choice) last() Layer {
	if len(c.Layers) == 0 || slices.Min(c.Layers) < Stem || slices.Max(c.Layers) >= Pooled {
		return Pooled
	}
	return slices.Max(c.Layers)
}

// Read reads a network from a safetensors stream. [Open] says what is accepted.
func Read(r io.Reader, dev tensor.Device) (*ResNet, error) {
	w, err := tensor.ReadWeights(r)
	if err != nil {
		return nil, fmt.Errorf("backbone: read weights: %w", err)
	}
	return FromWeights(w, dev)
}

// ReadTorch reads a network from the size bytes of a .pth file behind r. [Open] says
// what is accepted.
func ReadTorch(r io.ReaderAt, size int64, dev tensor.Device) (*ResNet, error) {
	f, err := tensor.NewWeightFile(r, size)
	if err != nil {
		return nil, fmt.Errorf("backbone: read weights: %w", err)
	}
	return fromSource(f, Choice{}, dev, detect)
}

// Open reads a network from a weight file, safetensors or a .pth, with nothing of
// the file being run. Parameters may have torchvision's names (timm's are the same),
// Hugging Face's, or those of a torch.nn.Sequential of the network's children, behind any one
// prefix such as "state_dict.module.backbone.". What stands beside the network in
// the file is not read: heads, queues, optimizer states. The architecture is
// detected from names and shapes; [ResNet.Arch] returns it.
//
// Weights may be of any floating-point type and become float32. A classification
// layer (fc) of any number of classes may be there or not, and the counters of batch norm
// may be of any type, or be missing. Every missing, unexpected and misshapen name is reported
// at once in an error that wraps [ErrWeights]. A file of several complete networks
// returns an error that wraps [ErrWeights] and lists their prefixes for [OpenChoice].
func Open(path string, dev tensor.Device) (*ResNet, error) {
	return open(path, Choice{}, dev, detect)
}

// OpenChoice is [Open] for a file of several networks, and for a part of one.
func OpenChoice(path string, choice Choice, dev tensor.Device) (*ResNet, error) {
	return open(path, choice, dev, detect)
}

// FromWeights builds a network of weights that were read before, as [Open] does.
func FromWeights(w *tensor.Weights, dev tensor.Device) (*ResNet, error) {
	return fromSource(arrays(w.Arrays), Choice{}, dev, detect)
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
	src := arrays(w.Arrays)
	found := candidates(src.Infos())
	n := network{infos: src.Infos()}
	if len(found) == 1 {
		n = found[0]
	}
	fitted, err := fit(arch, last, last, n, src)
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
	return fromSource(arrays(w.Arrays), Choice{}, dev, only18)
}

// OpenResNet18 is [Open] for ResNet-18 alone: weights of another architecture do
// not fit.
func OpenResNet18(path string, dev tensor.Device) (*ResNet18, error) {
	return open(path, Choice{}, dev, only18)
}

func only18([]tensor.WeightInfo) Arch { return ArchResNet18 }

func open(path string, choice Choice, dev tensor.Device, arch func([]tensor.WeightInfo) Arch) (*ResNet, error) {
	f, err := tensor.OpenWeightFile(path)
	if err != nil {
		return nil, fmt.Errorf("backbone: read weights: %w", err)
	}
	m, err := fromSource(f, choice, dev, arch)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("%w (file %s)", err, path)
	}
	return m, nil
}

// beside says of a name what may stand beside a network that ends with last: what
// is not named as a part of a ResNet, the classification layer of a network without
// one, and deeper stages.
func beside(name string, last Layer) bool {
	part, _, _ := strings.Cut(name, ".")
	switch part {
	case "conv1", "bn1":
		return false
	case "layer1", "layer2", "layer3", "layer4":
		return deeper(name, last)
	}
	return name != "fc.weight" && name != "fc.bias" || deeper(name, last)
}

// fit checks a network of a file against the architecture as far as last and returns
// exactly what build needs of the stages as far as kept, which is not beyond last; what is deeper is checked by name and shape and not
// read. Nothing is made on the device before all of it is right.
func fit(arch Arch, last, kept Layer, n network, src source) ([]tensor.Array, error) {
	pooled := int64(arch.Channels(Pooled))
	want := map[string][]int64{}
	var order []string
	for _, u := range describe(arch, last).units() {
		for _, sp := range u.Specs() {
			want[sp.Name] = sp.Shape
			order = append(order, sp.Name)
		}
	}
	have := map[string]tensor.Array{}
	var faults []error
	for _, info := range n.infos {
		if beside(info.Name, last) {
			continue
		}
		shape, ok := want[info.Name]
		counter := ok && strings.HasSuffix(info.Name, layers.Counter)
		switch {
		case info.Name == "fc.weight" && len(info.Shape) == 2 && info.Shape[1] == pooled, info.Name == "fc.bias" && len(info.Shape) == 1:
			shape, ok = info.Shape, true // any number of classes
		case counter && len(info.Shape) == 1 && info.Shape[0] == 1:
			shape = info.Shape // some writers store the counter as [1]
		}
		switch {
		case !ok:
			faults = append(faults, fmt.Errorf("%s %v is not expected", info.Name, info.Shape))
			continue
		case !slices.Equal(shape, info.Shape):
			faults = append(faults, fmt.Errorf("%s is %v, file has %v", info.Name, shape, info.Shape))
			have[info.Name] = tensor.Array{Name: info.Name, Shape: info.Shape}
			continue
		}
		a := tensor.Array{Name: info.Name, Shape: info.Shape}
		if !deeper(info.Name, kept) {
			var err error
			if a, err = src.Array(n.origin(info.Name)); err == nil {
				a.Name = info.Name
				a, err = convert(a, counter)
			}
			if err != nil {
				faults = append(faults, err)
			}
		}
		if _, twice := have[info.Name]; twice {
			faults = append(faults, fmt.Errorf("%s comes twice", info.Name))
		}
		have[info.Name] = a
	}
	var out []tensor.Array
	for _, name := range order {
		a, ok := have[name]
		if !ok && strings.HasSuffix(name, layers.Counter) {
			continue
		}
		if !ok {
			faults = append(faults, fmt.Errorf("%s %v is missing", name, want[name]))
		}
		if !deeper(name, kept) {
			out = append(out, a)
		}
	}
	w, b := have["fc.weight"], have["fc.bias"]
	switch {
	case last < Pooled:
	case w.Name == "" && b.Name == "" && kept < Pooled:
	case w.Name == "" && b.Name == "":
		w = tensor.FloatArray("fc.weight", make([]float32, classes*pooled), classes, pooled)
		b = tensor.FloatArray("fc.bias", make([]float32, classes), classes)
	case w.Name == "" || b.Name == "" || w.Shape[0] != b.Shape[0]:
		faults = append(faults, fmt.Errorf("fc.weight %v and fc.bias %v do not belong together", w.Shape, b.Shape))
	}
	if len(faults) > 0 {
		return nil, fmt.Errorf("%w %s (%s): %w", ErrWeights, arch, number(len(faults), "fault"), errors.Join(first(faults, 12)...))
	}
	if kept < Pooled {
		return out, nil
	}
	return append(out, w, b), nil
}

// deeper says that a name of the network is of what comes behind last.
func deeper(name string, last Layer) bool {
	part, _, _ := strings.Cut(name, ".")
	for l := Layer1; l < Pooled; l++ {
		if part == l.String() {
			return l > last
		}
	}
	return part == "fc" && last < Pooled
}

// convert makes an array what the network takes: float32, or int64 without a
// dimension for a counter.
func convert(a tensor.Array, counter bool) (tensor.Array, error) {
	if err := a.CheckFinite(); err != nil {
		return a, err
	}
	if counter {
		return toCounter(a)
	}
	switch a.DType {
	case tensor.Float32:
		return a, nil
	case tensor.Float64:
		v := make([]float32, len(a.Data)/8)
		for i := range v {
			v[i] = float32(math.Float64frombits(binary.LittleEndian.Uint64(a.Data[8*i:])))
		}
		a = tensor.FloatArray(a.Name, v, a.Shape...)
		if err := a.CheckFinite(); err != nil {
			return a, fmt.Errorf("%w: a float64 value is too large for float32", err)
		}
		return a, nil
	}
	return a, fmt.Errorf("%s is %s, want a floating-point type", a.Name, a.DType)
}

// toCounter reads one whole number of any type.
func toCounter(a tensor.Array) (tensor.Array, error) {
	var v float64
	switch {
	case a.DType == tensor.Int64 && len(a.Data) == 8:
		a.Shape = []int64{}
		return a, nil
	case a.DType == tensor.Uint8 && len(a.Data) == 1:
		v = float64(a.Data[0])
	case a.DType == tensor.Float32 && len(a.Data) == 4:
		v = float64(math.Float32frombits(binary.LittleEndian.Uint32(a.Data)))
	case a.DType == tensor.Float64 && len(a.Data) == 8:
		v = math.Float64frombits(binary.LittleEndian.Uint64(a.Data))
	default:
		return a, fmt.Errorf("%s is %s %v, want one number", a.Name, a.DType, a.Shape)
	}
	if v < 0 || v > 1<<53 || v != math.Trunc(v) {
		return a, fmt.Errorf("%s is %g, want a count", a.Name, v)
	}
	return tensor.IntArray(a.Name, []int64{int64(v)}), nil
}

// number is "1 fault", "2 faults".
func number(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}
