package dataset_test

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"log"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing/fstest"

	"github.com/gotab/gotab/dataset"
)

// A data set in MVTec AD's layout, read in batches. On a disk it would be
// opened with OpenMVTecAD("mvtec", "bottle", dataset.Train).
func Example() {
	picture := func(v uint8) *fstest.MapFile {
		img := image.NewGray(image.Rect(0, 0, 300, 280))
		for i := range img.Pix {
			img.Pix[i] = v
		}
		var buf bytes.Buffer
		if err := png.Encode(&buf, img); err != nil {
			log.Fatal(err)
		}
		return &fstest.MapFile{Data: buf.Bytes()}
	}
	ds, err := dataset.NewMVTecAD(fstest.MapFS{
		"bottle/train/good/000.png": picture(100),
		"bottle/train/good/001.png": picture(120),
		"bottle/train/good/002.png": picture(140),
		"bottle/train/good/notes":   {Data: []byte("taken on line 3")},
	}, dataset.DefaultMVTecAD())
	if err != nil {
		log.Fatal(err)
	}
	for _, issue := range ds.Issues() {
		fmt.Println("passed over:", issue)
	}

	cfg := dataset.DefaultLoader() // shorter side 256, centre 224, ImageNet's mean and deviation
	cfg.Batch = 2
	loader, err := dataset.NewLoader(ds, cfg)
	if err != nil {
		log.Fatal(err)
	}
	for batch, err := range loader.Batches(context.Background(), nil) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%d images of %dx%d, first %s, first value %.4f\n",
			batch.N, batch.W, batch.H, batch.Items[0].Name, batch.Pixels[0])
	}
	// Output:
	// passed over: bottle/train/good/notes: not an image by its name (png, jpg, jpeg, jpe, jfif, bmp, dib, tif, tiff, webp, gif, pgm, ppm, pbm, pnm)
	// 2 images of 224x224, first bottle/train/good/000.png, first value -0.4054
	// 1 images of 224x224, first bottle/train/good/002.png, first value 0.2796
}

// The rectangle tells where a heat map over the output lies in the input.
func ExampleTransform_Rect() {
	tr := dataset.PaDiM224()
	img := image.NewRGBA(image.Rect(0, 0, 1024, 768))
	img.Set(0, 0, color.White)
	out, err := tr.Image(img)
	if err != nil {
		log.Fatal(err)
	}
	r, err := tr.Rect(1024, 768)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(out.Rect.Size())
	fmt.Printf("x %.1f to %.1f, y %.1f to %.1f\n", r.MinX, r.MaxX, r.MinY, r.MaxY)
	// Output:
	// (224,224)
	// x 174.2 to 846.8, y 48.0 to 720.0
}

// A split with all pictures of one part on one side, saved and read back.
func ExampleSplitConfig() {
	var items []dataset.Item
	for part := range 5 {
		for view := range 2 {
			items = append(items, dataset.Item{
				Name: fmt.Sprintf("bolt/%d_%d.png", part, view), Class: "bolt", Defect: dataset.Good, Label: dataset.LabelGood, Group: fmt.Sprint(part),
			})
		}
	}
	divided, err := dataset.DefaultSplit().Assign(items, rand.New(rand.NewPCG(1, 2)))
	if err != nil {
		log.Fatal(err)
	}
	var file bytes.Buffer
	if err := dataset.WriteManifest(&file, divided); err != nil {
		log.Fatal(err)
	}
	again, err := dataset.ReadManifest(&file)
	if err != nil {
		log.Fatal(err)
	}
	counts := map[string]int{}
	for _, it := range again {
		counts[it.Split]++
	}
	fmt.Println(counts)
	// Output:
	// map[train:8 validation:2]
}

// Images in a few large files, read in one go in a shuffled order that is gone on with by
// a number.
func ExampleShards_Window() {
	dir, err := os.MkdirTemp("", "shards")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	var imgs []image.Image
	for i := range 10 {
		img := image.NewGray(image.Rect(0, 0, 8, 8))
		img.Pix[0] = uint8(i)
		imgs = append(imgs, img)
	}
	ds, err := dataset.NewImages("bottle", imgs...)
	if err != nil {
		log.Fatal(err)
	}
	ctx, set := context.Background(), filepath.Join(dir, "set")
	if err := dataset.WriteShards(ctx, set, ds, dataset.DefaultShards()); err != nil {
		log.Fatal(err)
	}
	shards, err := dataset.NewShards(ctx, os.DirFS(set), dataset.DefaultConfig())
	if err != nil {
		log.Fatal(err)
	}
	defer shards.Close()
	w, err := shards.Window(dataset.DefaultWindow())
	if err != nil {
		log.Fatal(err)
	}
	defer w.Close()
	cfg := dataset.DefaultLoader()
	cfg.Batch, cfg.Transform = 4, dataset.Square(8)
	loader, err := dataset.NewLoader(w, cfg)
	if err != nil {
		log.Fatal(err)
	}
	seen := 0
	for b, err := range loader.BatchesFrom(ctx, 0) {
		if err != nil {
			log.Fatal(err)
		}
		if seen += b.N; seen == 8 {
			break // stopped
		}
	}
	again, err := shards.Resume(w.Position(seen)) // the position is kept as JSON
	if err != nil {
		log.Fatal(err)
	}
	defer again.Close()
	fmt.Println(again.Len()-seen, "images are left")
	// Output: 2 images are left
}
