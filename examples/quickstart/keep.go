package main

import (
	"context"
	"fmt"
	"image/png"
	"io"
	"os"
	"path/filepath"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/internal/atomicfile"
)

// keepWeights is the file of the trained network in the folder of -keep, and keepPictures
// the folder of pictures there.
const (
	keepWeights  = "resnet18.safetensors"
	keepPictures = "pictures"
)

// keep writes the drawn pictures in MVTec AD's layout, and the trained network, for other
// programs to go on with. The pictures that set the scale of colours become good ones of
// train.
func keep(ctx context.Context, dir string, pictures dataset.Dataset, net *backbone.ResNet18) error {
	count := map[string]int{}
	for i := range pictures.Len() {
		s, err := pictures.Sample(ctx, i)
		if err != nil {
			return err
		}
		split := s.Split
		if split == splitScale {
			split = splitTrain
		}
		folder := filepath.Join(dir, keepPictures, s.Class, split, s.Defect)
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return fmt.Errorf("-keep: %w", err)
		}
		name := filepath.Join(folder, fmt.Sprintf("%03d.png", count[folder]))
		count[folder]++
		if err := atomicfile.Write(name, func(w io.Writer) error { return png.Encode(w, s.Image) }); err != nil {
			return fmt.Errorf("-keep: %w", err)
		}
	}
	if err := net.Save(filepath.Join(dir, keepWeights)); err != nil {
		return fmt.Errorf("-keep: %w", err)
	}
	return nil
}
