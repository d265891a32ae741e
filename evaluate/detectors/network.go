package detectors

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/tab/card"
	"github.com/gotab/gotab/tensor"
)

// Network is a backbone and where its weights come from.
type Network struct {
	Net     *backbone.ResNet
	Arch    backbone.Arch
	Weights string // last part of the path, or "random:SEED"
	SHA256  string // of the file, or of what random weights depend on
	// Memory is what PaDiM and PatchCore read features through; nil for the network
	// itself. It is asked for when a detector is made.
	Memory *Memory
}

// Features are those that a detector reads that leaves the network alone: the memory's,
// or the network's own.
func (n *Network) Features() downstream.Extractor {
	if n.Memory != nil {
		return n.Memory
	}
	return n.Net
}

// NetworkOptions say which network is meant.
type NetworkOptions struct {
	// Arch is the architecture of random weights, ResNet-18 by default, or what a file
	// must hold; empty: whatever it holds.
	Arch string
	// Prefix stands before the network's names in a file that holds several networks.
	Prefix string
	// Precision is that of features: float32, or bfloat16 on processors that have it. RegAD
	// and classifiers that train the backbone have networks of their own, in float32.
	Precision backbone.Precision
	// Layers are those that methods will read, such as [LayersOf] says: what a file has beyond the deepest one is not kept. Empty: all.
	Layers []backbone.Layer
}

// OpenNetwork reads the weights of a file, as backbone.OpenChoice does, or draws them, then all,
// where weights is "random" (which is "random:1") or "random:SEED". It returns
// backbone.ErrArch if the file holds another architecture than the options name,
// backbone.ErrPrecision where it cannot compute in the precision, and
// downstream.ErrConfig for a seed that is no whole number. The caller closes the
// network.
func OpenNetwork(weights string, o NetworkOptions, dev tensor.Device) (_ *Network, err error) {
	var arch backbone.Arch
	if o.Arch != "" {
		if arch, err = backbone.ParseArch(o.Arch); err != nil {
			return nil, err
		}
	}
	n, err := openNetwork(weights, backbone.Choice{Prefix: o.Prefix, Layers: o.Layers}, arch, dev)
	if err != nil {
		return nil, err
	}
	n.Arch = n.Net.Arch()
	if o.Arch != "" && n.Arch != arch {
		err = fmt.Errorf("detectors: open network: %w: %s holds %s, want %s", backbone.ErrArch, n.Weights, n.Arch, arch)
		return nil, errors.Join(err, n.Close())
	}
	if err := n.Net.SetPrecision(o.Precision); err != nil {
		return nil, errors.Join(fmt.Errorf("detectors: open network: %w", err), n.Close())
	}
	return n, nil
}

func openNetwork(weights string, of backbone.Choice, arch backbone.Arch, dev tensor.Device) (*Network, error) {
	n := &Network{}
	name, rest, seeded := strings.Cut(weights, ":")
	var err error
	if name != "random" {
		file, err := card.FileAt(weights)
		if err != nil {
			return nil, fmt.Errorf("detectors: open network: %w", err)
		}
		n.SHA256 = file.SHA256
		n.Weights = filepath.Base(weights)
		n.Net, err = backbone.OpenChoice(weights, of, dev)
		return n, err
	}
	draw := uint64(1)
	if seeded {
		if draw, err = strconv.ParseUint(rest, 10, 64); err != nil {
			return nil, fmt.Errorf("detectors: open network: %w: weights %s, want random:SEED with a whole number", downstream.ErrConfig, weights)
		}
	}
	n.Weights = fmt.Sprintf("random:%d", draw)
	sum := sha256.Sum256([]byte(arch.String() + " " + n.Weights))
	n.SHA256 = hex.EncodeToString(sum[:])
	n.Net, err = backbone.New(arch, dev, rand.New(rand.NewPCG(draw, 0)))
	return n, err
}

// Close frees the weights, if there are any.
func (n *Network) Close() error {
	if n == nil || n.Net == nil {
		return nil
	}
	return n.Net.Close()
}
