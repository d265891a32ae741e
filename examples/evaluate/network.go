package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
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
	label   string // what tells it from the other network of -compare; empty without one
}

// about is the network for the head of a report.
func (n network) about() string {
	text := fmt.Sprintf("%s (%s, SHA-256 %s)", n.weights, n.arch, short(n.sha256))
	if n.label != "" && n.label != stem(n.weights) && n.label != n.weights {
		text += ", below called " + n.label
	}
	return text
}

// tellApart names two networks whose files lie at the paths a and b: by the last parts
// of the paths, as many as it takes. Networks of equal weights are refused: a
// comparison of them is a mistake that takes hours to show.
func tellApart(one, two *network, a, b string) error {
	if one.sha256 == two.sha256 {
		return fmt.Errorf("%w: -weights %s and -compare %s hold the same weights (SHA-256 %s): there is nothing to compare",
			errUsage, a, b, short(one.sha256))
	}
	if one.label, two.label = stem(one.weights), stem(two.weights); one.label != two.label {
		return nil
	}
	one.label, two.label = one.weights, two.weights
	for n := 2; one.label == two.label; n++ {
		x, y := lastParts(a, n), lastParts(b, n)
		if x == one.label && y == two.label { // the same path: the file has changed in between
			x, y = x+" "+short(one.sha256), y+" "+short(two.sha256)
		}
		one.label, two.label = x, y
	}
	return nil
}

// stem is a file's name without its ending.
func stem(name string) string { return strings.TrimSuffix(name, filepath.Ext(name)) }

// lastParts are the last n parts of a path.
func lastParts(path string, n int) string {
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	parts := strings.Split(filepath.ToSlash(filepath.Clean(path)), "/")
	return strings.Join(parts[max(0, len(parts)-n):], "/")
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
	n, err := open(o.weights, o.reading.Prefix, arch, dev)
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

func open(weights, prefix string, arch backbone.Arch, dev tensor.Device) (n network, err error) {
	name, rest, seeded := strings.Cut(weights, ":")
	if name != "random" {
		if n.sha256, err = sumFile(weights); err != nil {
			return n, err
		}
		n.weights = baseOf(weights)
		n.ResNet, err = backbone.OpenChoice(weights, backbone.Choice{Prefix: prefix}, dev)
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
