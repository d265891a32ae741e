package main

import (
	"cmp"
	"context"
	"fmt"
	"hash/fnv"
	"image"
	"io/fs"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/synth"
)

// attempts is how many draws the sheet allows for one cell.
const attempts = 20

// find opens the good pictures below dir by class.
func find(dir string) (dataset.Dataset, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	root := os.DirFS(dir)
	var items []dataset.Item
	err = fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			if n := d.Name(); name != "." && (n == "test" || n == "ground_truth" || strings.HasPrefix(n, ".")) {
				return fs.SkipDir
			}
		case dataset.PictureFile(name):
			items = append(items, dataset.Item{Name: name, Class: cmp.Or(className(name), filepath.Base(abs)), Split: dataset.Train, Defect: dataset.Good, Label: dataset.LabelGood})
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("synth: look for pictures: %w", err)
	}
	if len(items) == 0 {
		return nil, fmt.Errorf("synth: %s holds no picture (PNG, JPEG, BMP, TIFF, WebP, GIF, PNM)", dir)
	}
	return dataset.NewList(root, items, dataset.DefaultDecoder())
}

// className is the class by a picture's slash path below the root: its folders
// without a train and good at their end; empty for the root itself.
func className(rel string) string {
	dir := path.Dir(rel)
	for _, last := range []string{"good", "train"} {
		if path.Base(dir) == last {
			dir = path.Dir(dir)
		}
	}
	if dir == "." {
		return ""
	}
	return dir
}

// read loads up to n pictures of a class, evenly spread over its files.
func read(ctx context.Context, class dataset.Dataset, n, size int) ([]image.Image, error) {
	scale := dataset.Square(size)
	n = min(n, class.Len())
	var pictures []image.Image
	for i := range n {
		s, err := class.Sample(ctx, i*class.Len()/n)
		if err != nil {
			return nil, fmt.Errorf("synth: %w", err)
		}
		img, err := scale.Image(s.Image)
		if err != nil {
			return nil, fmt.Errorf("synth: %s: %w", s.Name, err)
		}
		pictures = append(pictures, img)
	}
	return pictures, nil
}

// block is what the sheet and the table show of one class.
type block struct {
	class string
	apart float64      // how far two good pictures are from each other, in grey levels
	rates []synth.Rate // one a generator
	rows  []row
}

// row is one picture and its twins.
type row struct {
	original image.Image
	twins    []twin // one a generator
}

// twin is one damaged picture, or why there is none.
type twin struct {
	pair synth.Pair
	none string
}

// block makes the draws of a class. Every generator has random numbers of its
// own, so that leaving one out does not change the others.
func (o options) block(ctx context.Context, all dataset.Dataset, class string) (block, error) {
	b := block{class: class}
	pictures, err := read(ctx, dataset.Only(all, class, ""), o.images, o.size)
	if err != nil {
		return b, err
	}
	b.apart = apart(pictures)
	b.rows = make([]row, min(o.rows, len(pictures)))
	for i := range b.rows {
		b.rows[i].original = pictures[i]
	}
	for _, g := range o.generators {
		survey := synth.Survey{Least: o.least}
		if err := survey.Run(ctx, g.gen, class, pictures, o.draws, o.stream("survey", g.name, class, 0)); err != nil {
			return b, err
		}
		b.rates = append(b.rates, survey.Rates()[0])
		shown := synth.Visible{Generator: g.gen, Least: o.least, Attempts: attempts}
		for i := range b.rows {
			t, err := o.twin(shown, pictures[i], pictures[(i+1)%len(pictures)], o.stream("sheet", g.name, class, i))
			if err != nil {
				return b, fmt.Errorf("synth: %s of %s: %w", g.name, class, err)
			}
			b.rows[i].twins = append(b.rows[i].twins, t)
		}
	}
	return b, nil
}

// apart is the median over the pictures of the mean absolute difference between
// a picture and the next one, the channels taken together, in grey levels.
func apart(pictures []image.Image) float64 {
	var all []float64
	for i, p := range pictures {
		a, b := dataset.ToRGBA(p), dataset.ToRGBA(pictures[(i+1)%len(pictures)])
		sum := 0
		for k, v := range a.Pix { // alpha is 255 in both
			sum += max(int(v)-int(b.Pix[k]), int(b.Pix[k])-int(v))
		}
		all = append(all, float64(sum)/float64(len(a.Pix)/4*3))
	}
	slices.Sort(all)
	return all[len(all)/2]
}

// stream is a random source that depends on the seed and on what it is for.
func (o options) stream(use, generator, class string, row int) *rand.Rand {
	h := fnv.New64a()
	fmt.Fprintf(h, "%q %q %q %d", use, generator, class, row)
	return rand.New(rand.NewPCG(o.seed, h.Sum64()))
}
