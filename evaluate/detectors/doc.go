// Package detectors brings the detectors of package downstream into evaluations.
//
// [Kinds] are the methods by name, with the settings and the protocol of their
// references for any ResNet:
//
//	net, err := detectors.OpenNetwork("resnet18.safetensors", detectors.NetworkOptions{}, tensor.CPU)
//	m, err := detectors.PaDiM(detectors.Choice{Net: net})
//	o, err := evaluate.Run(ctx, evaluate.Trial{Method: m, Seed: m.Seed, Train: train, Test: test})
//
// [Memory] lets many fits on the same images share one pass through a network.
//
// [Of] makes an evaluate.Detector of a detector that a program has set up itself.
package detectors
