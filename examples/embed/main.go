// Embed is the programs of the README: it pre-trains on the good images of one class, where the
// network hardly sees damage, fits a detector for it, calibrates it on the labelled test images, and
// says of one image whether to reject it, and why. Network and detector are saved in
// the working directory, from which they are opened again for the same verdict, as a service does.
//
//	embed WEIGHTS BANK ROOT CLASS IMAGE
package main

import (
	"context"
	"fmt"
	"image"
	"os"

	"github.com/gotab/gotab/dataset"
)

func main() {
	if len(os.Args) != 6 {
		fmt.Fprintln(os.Stderr, "usage: embed WEIGHTS BANK ROOT CLASS IMAGE")
		os.Exit(2)
	}
	img, err := read(os.Args[5])
	weights, bank, root, class := os.Args[1], os.Args[2], os.Args[3], os.Args[4]
	if err == nil {
		var good dataset.Dataset
		if good, err = dataset.OpenMVTecAD(root, class, dataset.Train); err == nil {
			err = pretrain(context.Background(), weights, bank, good, class+".safetensors")
		}
	}
	if err == nil {
		err = inspect(context.Background(), class+".safetensors", root, class, img)
	}
	if err == nil {
		err = verdict(context.Background(), class, img)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// read gives the pixels that the data set of the fit gives of such a file: turned as
// its EXIF orientation says, for instance.
func read(path string) (image.Image, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return dataset.Decode(f)
}
