package session

import (
	"bytes"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/evaluate/detectors"
)

// named is a network of which only the name and the checksum are there.
func named(weights, sha256 string) network {
	return network{Network: &detectors.Network{Weights: weights, SHA256: sha256}}
}

func TestNetworksAreToldApart(t *testing.T) {
	for want, paths := range map[[2]string][2]string{
		{"plant", "other"}:                 {"runs/plant.pth", "runs/other.pth"},
		{"plant.pth", "plant.safetensors"}: {"runs/plant.pth", "runs/plant.safetensors"},
		{"a/plant.pth", "b/plant.pth"}:     {"runs/a/plant.pth", "runs/b/plant.pth"},
		{"a/x/plant.pth", "b/x/plant.pth"}: {"a/x/plant.pth", "./b/./x/plant.pth"},
		{"random:1", "random:2"}:           {"random", "random:2"},
	} {
		var n [2]network
		for i, p := range paths {
			n[i] = named(filepath.Base(p), p)
			if p == "random" {
				n[i].Weights = "random:1"
			}
		}
		require.NoError(t, tellApart(&n[0], &n[1], paths[0], paths[1]))
		require.Equal(t, want, [2]string{n[0].label, n[1].label})
	}
	// A file that was written anew between the two reads.
	one, two := named("w.pth", "0123456789"), named("w.pth", "9876543210")
	require.NoError(t, tellApart(&one, &two, "w.pth", "w.pth"))
	require.Contains(t, one.label, "w.pth 01234567")
	require.Contains(t, two.label, "w.pth 98765432")
	require.Contains(t, one.about(), "w.pth (resnet18, SHA-256 01234567), below called ")
}

func TestTellerTellsNowAndThen(t *testing.T) {
	var out bytes.Buffer
	now := time.Unix(1000, 0)
	tell := newTeller(&out)
	tell.now = func() time.Time { return now }
	tell.start("[1/2] alpha")
	tell.tell(downstream.Progress{Stage: "fit", Done: 1, Total: 9})
	now = now.Add(tell.every)
	tell.tell(downstream.Progress{Stage: "fit", Done: 2, Total: 9})
	tell.tell(downstream.Progress{Stage: "fit", Done: 3, Total: 9})
	now = now.Add(2 * tell.every)
	tell.tell(downstream.Progress{Stage: "train", Done: 3, Total: 9, Epoch: 2, Epochs: 40, Loss: 0.123456})
	require.Equal(t, "[1/2] alpha: fit 2 of 9\n[1/2] alpha: train epoch 2 of 40, batch 3 of 9, loss 0.1235\n", out.String())
}
