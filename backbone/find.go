package backbone

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/gotab/gotab/tensor"
)

// source is where arrays come from: a file, or arrays that were read before.
type source interface {
	Infos() []tensor.WeightInfo
	Array(name string) (tensor.Array, error)
}

// arrays is a source of what was read before.
type arrays []tensor.Array

func (a arrays) Infos() []tensor.WeightInfo {
	out := make([]tensor.WeightInfo, len(a))
	for i, x := range a {
		out[i] = tensor.WeightInfo{Name: x.Name, Type: x.DType.String(), Shape: x.Shape, Bytes: int64(len(x.Data))}
	}
	return out
}

func (a arrays) Array(name string) (tensor.Array, error) {
	for _, x := range a {
		if x.Name == name {
			return x, nil
		}
	}
	return tensor.Array{}, fmt.Errorf("%s is not there", name)
}

// network is what stands behind one prefix of a file.
type network struct {
	prefix  string
	infos   []tensor.WeightInfo // with torchvision's names
	origins map[string]string   // from torchvision's names to the file's; nil where they are the same
}

func (n network) origin(name string) string {
	if o, ok := n.origins[name]; ok {
		return o
	}
	return name
}

// root names the first convolution of a ResNet in the naming of one publisher, and
// the way from that naming to torchvision's.
type root struct {
	first     string
	translate func(name string) (string, bool) // false for what is no part of the network
}

var roots = []root{
	{"conv1.weight", func(name string) (string, bool) { return name, true }},
	{"embedder.embedder.convolution.weight", fromHuggingFace},
	{"0.weight", fromSequential},
}

// inBlock is a prefix of a part of a ResNet itself, whose blocks have a conv1 too.
var inBlock = regexp.MustCompile(`(^|\.)layer[1-4]\.[0-9]+\.$`)

// candidates returns what may be a network: what stands behind the same prefix as a
// first convolution. In the naming by places, which others use too, that is told by
// its size.
func candidates(infos []tensor.WeightInfo) []network {
	var out []network
	for _, r := range roots {
		for _, info := range infos {
			prefix, ok := strings.CutSuffix(info.Name, r.first)
			if !ok || prefix != "" && !strings.HasSuffix(prefix, ".") || len(info.Shape) != 4 || inBlock.MatchString(prefix) {
				continue
			}
			if r.first == "0.weight" && !slices.Equal(info.Shape[1:], []int64{3, 7, 7}) {
				continue
			}
			if slices.ContainsFunc(out, func(n network) bool { return n.prefix == prefix }) {
				continue // of the naming before, or an array that comes twice
			}
			if n := under(infos, prefix, r); len(n.infos) > 1 {
				out = append(out, n)
			}
		}
	}
	return out
}

// under returns what stands behind a prefix, with torchvision's names.
func under(infos []tensor.WeightInfo, prefix string, r root) network {
	n := network{prefix: prefix, origins: map[string]string{}}
	for _, info := range infos {
		name, ok := strings.CutPrefix(info.Name, prefix)
		if !ok {
			continue
		}
		if name, ok = r.translate(name); !ok {
			continue
		}
		n.origins[name] = info.Name
		info.Name = name
		n.infos = append(n.infos, info)
	}
	return n
}

// fromSequential translates the names of torch.nn.Sequential(*resnet.children()),
// as contrastive learners build their backbones: the places count conv1, bn1, relu,
// maxpool, layer1 to layer4, avgpool.
func fromSequential(name string) (string, bool) {
	place, rest, ok := strings.Cut(name, ".")
	if !ok {
		return "", false
	}
	switch place {
	case "0":
		return "conv1." + rest, true
	case "1":
		return "bn1." + rest, true
	case "4", "5", "6", "7":
		return "layer" + string(place[0]-3) + "." + rest, true
	}
	return "", false
}

// fromHuggingFace translates the names of the transformers library's ResNet.
func fromHuggingFace(name string) (string, bool) {
	if rest, ok := strings.CutPrefix(name, "embedder.embedder."); ok {
		return convOrNorm("", "conv1", "bn1", rest)
	}
	rest, ok := strings.CutPrefix(name, "encoder.stages.")
	if !ok {
		return "", false
	}
	// stage, "layers", block, then "shortcut" or "layer" and its place
	parts := strings.SplitN(rest, ".", 5)
	if len(parts) < 5 || parts[1] != "layers" {
		return "", false
	}
	stage, err := strconv.Atoi(parts[0])
	if err != nil || stage < 0 || stage > 3 {
		return "", false
	}
	block := "layer" + strconv.Itoa(stage+1) + "." + parts[2] + "."
	if parts[3] == "shortcut" {
		return convOrNorm(block, "downsample.0", "downsample.1", parts[4])
	}
	place, rest, ok := strings.Cut(parts[4], ".")
	i, err := strconv.Atoi(place)
	if !ok || err != nil || parts[3] != "layer" || i < 0 || i > 2 {
		return "", false
	}
	k := strconv.Itoa(i + 1)
	return convOrNorm(block, "conv"+k, "bn"+k, rest)
}

func convOrNorm(block, conv, norm, rest string) (string, bool) {
	if p, ok := strings.CutPrefix(rest, "convolution."); ok {
		return block + conv + "." + p, true
	}
	if p, ok := strings.CutPrefix(rest, "normalization."); ok {
		return block + norm + "." + p, true
	}
	return "", false
}

// fromSource builds the one complete network of a source, of the architecture that
// choose names.
func fromSource(src source, choice Choice, dev tensor.Device, choose func([]tensor.WeightInfo) Arch) (*ResNet, error) {
	found := candidates(src.Infos())
	if choice.Prefix != "" {
		found = slices.DeleteFunc(found, func(n network) bool { return n.prefix != choice.Prefix })
		if len(found) == 0 {
			return nil, fmt.Errorf("backbone: read weights: %w: no network stands behind %q; %s", ErrWeights, choice.Prefix, listing(candidates(src.Infos()), src))
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("backbone: read weights: %w: no ResNet is in it; %s", ErrWeights, listing(nil, src))
	}
	whole := found
	if len(found) > 1 {
		whole = slices.DeleteFunc(slices.Clone(found), func(n network) bool { return !complete(choose(n.infos), n) })
	}
	switch {
	case len(whole) > 1:
		return nil, fmt.Errorf("backbone: read weights: %w: it holds %d networks; choose one by its prefix (Choice.Prefix, -prefix in the programs): %s",
			ErrWeights, len(whole), strings.Join(prefixesOf(whole), ", "))
	case len(whole) == 0:
		whole = found[:1] // its faults are told
	}
	n := whole[0]
	arch := choose(n.infos)
	last := choice.last()
	fitted, err := fit(arch, Pooled, last, n, src)
	if err != nil {
		if n.prefix != "" {
			err = fmt.Errorf("%w (behind %q)", err, n.prefix)
		}
		if is := detect(n.infos); is != arch {
			return nil, fmt.Errorf("backbone: read weights: %w (they look like %s, which Read and Open take)", err, is)
		}
		return nil, fmt.Errorf("backbone: read weights: %w", err)
	}
	return build(arch, last, fitted, dev)
}

// complete says whether all that the architecture needs is there by name and shape.
// Nothing is read for it.
func complete(arch Arch, n network) bool {
	have := map[string][]int64{}
	for _, info := range n.infos {
		have[info.Name] = info.Shape
	}
	for _, u := range describe(arch, Pooled).units() {
		for _, sp := range u.Specs() {
			shape, ok := have[sp.Name]
			if len(sp.Shape) > 0 && (!ok || !slices.Equal(shape, sp.Shape)) {
				return false
			}
		}
	}
	return true
}

func prefixesOf(ns []network) []string {
	out := make([]string, len(ns))
	for i, n := range ns {
		out[i] = strconv.Quote(n.prefix)
	}
	return out
}

// listing says what a file has, for one that has not what is wanted.
func listing(found []network, src source) string {
	if len(found) > 0 {
		return "the prefixes of its networks are " + strings.Join(prefixesOf(found), ", ")
	}
	infos := src.Infos()
	var names []string
	for _, info := range infos[:min(3, len(infos))] {
		names = append(names, fmt.Sprintf("%.80s %v", info.Name, info.Shape))
	}
	return fmt.Sprintf("it has %d arrays, the first are %s; wanted are names such as torchvision's, conv1.weight [64 3 7 7] and layer1.0.conv1.weight",
		len(infos), strings.Join(names, ", "))
}

// detect says which architecture the names and shapes are nearest to; fit
// decides whether they are it. Only bottleneck blocks have a third convolution,
// only ResNet-34 has basic blocks and a third one in stage 1, and a wide
// network's first 1x1 convolution gives more than 64 channels.
func detect(infos []tensor.WeightInfo) Arch {
	var third, more, wide bool
	for _, a := range infos {
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

// first shortens a long list of faults: a file of another network has hundreds.
func first(faults []error, n int) []error {
	if len(faults) <= n {
		return faults
	}
	rest := len(faults) - n
	return append(append([]error(nil), faults[:n]...), errors.New("and "+strconv.Itoa(rest)+" more"))
}
