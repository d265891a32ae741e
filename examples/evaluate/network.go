package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/tensor"
)

// network is a backbone and where its weights come from.
type network struct {
	*backbone.ResNet
	arch    backbone.Arch
	weights string // last part of the path, or "random:SEED"
	sha256  string // of the file, or of what random weights depend on
}

// openNetwork reads or draws the network that the flags name.
func openNetwork(o options, dev tensor.Device) (network, error) {
	var arch backbone.Arch
	var err error
	if o.arch != "" {
		if arch, err = backbone.ParseArch(o.arch); err != nil {
			return network{}, err
		}
	}
	n, err := open(o.weights, arch, dev)
	if err != nil {
		return n, err
	}
	n.arch = n.Arch()
	if o.arch != "" && n.arch != arch {
		err = fmt.Errorf("%w: %s holds %s, -arch is %s", backbone.ErrArch, n.weights, n.arch, arch)
		return network{}, errors.Join(err, n.Close())
	}
	for _, l := range o.layers {
		if n.Channels(l) < 1 || l == backbone.Pooled {
			err = fmt.Errorf("%w: -layers %s: %s has no such map", backbone.ErrLayer, l, n.arch)
			return network{}, errors.Join(err, n.Close())
		}
	}
	return n, nil
}

func open(weights string, arch backbone.Arch, dev tensor.Device) (n network, err error) {
	name, rest, seeded := strings.Cut(weights, ":")
	if name != "random" {
		if n.sha256, err = sumFile(weights); err != nil {
			return n, err
		}
		n.weights = baseOf(weights)
		n.ResNet, err = backbone.Open(weights, dev)
		return n, err
	}
	draw := uint64(1)
	if seeded {
		if draw, err = strconv.ParseUint(rest, 10, 64); err != nil {
			return n, fmt.Errorf("%w: -weights %s, want random:SEED with a whole number", errUsage, weights)
		}
	}
	n.weights = fmt.Sprintf("random:%d", draw)
	sum := sha256.Sum256([]byte(arch.String() + " " + n.weights))
	n.sha256 = hex.EncodeToString(sum[:])
	n.ResNet, err = backbone.New(arch, dev, rand.New(rand.NewPCG(draw, 0)))
	return n, err
}

func sumFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("read %s: %w", path, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// Close frees the weights, if there are any.
func (n network) Close() error {
	if n.ResNet == nil {
		return nil
	}
	return n.ResNet.Close()
}
