package main

import (
	"context"
	"errors"
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

// class is one class of good pictures.
type class struct {
	name  string
	files []string // rising
}

// find lists the good pictures below dir by class.
func find(dir string) ([]class, error) {
	byName := map[string][]string{}
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if n := d.Name(); name != dir && (n == "test" || n == "ground_truth" || strings.HasPrefix(n, ".")) {
				return fs.SkipDir
			}
			return nil
		}
		if !dataset.PictureFile(name) {
			return nil
		}
		rel, err := filepath.Rel(dir, name)
		if err != nil {
			return err
		}
		c := className(filepath.ToSlash(rel))
		if c == "" {
			abs, err := filepath.Abs(dir)
			if err != nil {
				return err
			}
			c = filepath.Base(abs)
		}
		byName[c] = append(byName[c], name)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("synth: look for pictures: %w", err)
	}
	if len(byName) == 0 {
		return nil, fmt.Errorf("synth: %s holds no picture (PNG, JPEG, BMP, TIFF, WebP, GIF, PNM)", dir)
	}
	var classes []class
	for name, files := range byName {
		slices.Sort(files)
		classes = append(classes, class{name, files})
	}
	slices.SortFunc(classes, func(a, b class) int { return strings.Compare(a.name, b.name) })
	return classes, nil
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
func (c class) read(n, size int) ([]image.Image, error) {
	dec, scale := dataset.DefaultDecoder(), dataset.Square(size)
	n = min(n, len(c.files))
	var pictures []image.Image
	for i := range n {
		name := c.files[i*len(c.files)/n]
		img, err := readOne(dec, scale, name)
		if err != nil {
			return nil, fmt.Errorf("synth: %s: %w", name, err)
		}
		pictures = append(pictures, img)
	}
	return pictures, nil
}

func readOne(dec dataset.Decoder, scale dataset.Transform, name string) (*image.RGBA, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	img, err := dec.Image(f)
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	return scale.Image(img)
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
func (o options) block(ctx context.Context, c class) (block, error) {
	b := block{class: c.name}
	pictures, err := c.read(o.images, o.size)
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
		if err := survey.Run(ctx, g.gen, c.name, pictures, o.draws, o.stream("survey", g.name, c.name, 0)); err != nil {
			return b, err
		}
		b.rates = append(b.rates, survey.Rates()[0])
		shown := synth.Visible{Generator: g.gen, Least: o.least, Attempts: attempts}
		for i := range b.rows {
			t, err := o.twin(shown, pictures[i], pictures[(i+1)%len(pictures)], o.stream("sheet", g.name, c.name, i))
			if err != nil {
				return b, fmt.Errorf("synth: %s of %s: %w", g.name, c.name, err)
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
