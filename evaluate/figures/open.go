package figures

import (
	"errors"
	"math/rand/v2"
	"path/filepath"
	"strings"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/tensor"
)

// Random is the name by which [Open] draws weights in place of reading a file.
const Random = "random"

// Open opens the networks of two files of weights, each named after its file, or draws a ResNet-18 in the place of [Random]: the two
// differ where both are drawn. prefix stands before the network's names in a file that holds several networks. Errors are
// those of backbone.OpenChoice and backbone.NewResNet18; nothing is open after one. The caller closes both.
func Open(files [2]string, prefix string, seed uint64, dev tensor.Device) (nets [2]Network, err error) {
	for i, from := range files {
		nets[i].Name = strings.TrimSuffix(filepath.Base(from), filepath.Ext(from))
		if from == Random {
			nets[i].ResNet, err = backbone.NewResNet18(dev, rand.New(rand.NewPCG(seed, uint64(i))))
		} else {
			nets[i].ResNet, err = backbone.OpenChoice(from, backbone.Choice{Prefix: prefix}, dev)
		}
		if err != nil {
			if i == 1 {
				err = errors.Join(err, nets[0].Close())
			}
			return [2]Network{}, err
		}
	}
	return nets, nil
}
