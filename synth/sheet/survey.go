package sheet

import (
	"cmp"
	"context"
	"fmt"
	"hash/fnv"
	"image"
	"io"
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

// Open opens the good images below a folder by class: one folder a class with images in it or
// below it in train/good, or images alone; folders named test or ground_truth are passed over. A folder
// without images is an error that wraps dataset.ErrLayout.
func Open(dir string) (dataset.Dataset, error) {
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
		case dataset.ImageFile(name):
			items = append(items, dataset.Item{Name: name, Class: cmp.Or(className(name), filepath.Base(abs)), Split: dataset.Train, Defect: dataset.Good, Label: dataset.LabelGood})
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("sheet: look for images: %w", err)
	}
	if len(items) == 0 {
		return nil, fmt.Errorf("sheet: %w: %s holds no image (PNG, JPEG, BMP, TIFF, WebP, GIF, PNM)", dataset.ErrLayout, dir)
	}
	return dataset.NewList(root, items, dataset.DefaultDecoder())
}

// className is the class by an image's slash path below the root: its folders
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

// read loads up to n images of a class, evenly spread over its files.
func read(ctx context.Context, class dataset.Dataset, n, size int) ([]image.Image, error) {
	scale := dataset.Square(size)
	n = min(n, class.Len())
	var images []image.Image
	for i := range n {
		s, err := class.Sample(ctx, i*class.Len()/n)
		if err != nil {
			return nil, fmt.Errorf("sheet: %w", err)
		}
		img, err := scale.Image(s.Image)
		if err != nil {
			return nil, fmt.Errorf("sheet: %s: %w", s.Name, err)
		}
		images = append(images, img)
	}
	return images, nil
}

// Block is what sheet and table show of one class.
type Block struct {
	Class string
	Apart float64      // how far two good images are from each other, in grey levels
	Rates []synth.Rate // one a column
	rows  []row
}

// row is one image and its twins.
type row struct {
	original image.Image
	twins    []twin // one a generator
}

// twin is one damaged image, or why there is none.
type twin struct {
	pair synth.Pair
	none string
}

// Survey makes the draws of a class. Every generator has random numbers of its
// own, so that leaving one out does not change the others. It returns an error that wraps
// [ErrConfig], also for a class without images, those of reading and of the generators, or that of ctx.
func Survey(ctx context.Context, all dataset.Dataset, class string, o Config) (Block, error) {
	b := Block{Class: class}
	if ctx == nil || all == nil {
		return b, fmt.Errorf("sheet: %w: context and data set must not be nil", ErrConfig)
	}
	if err := o.Validate(); err != nil {
		return b, err
	}
	of := dataset.Only(all, class, "")
	if of.Len() == 0 {
		return b, fmt.Errorf("sheet: %w: there is no image of class %q, the classes are %q", ErrConfig, class, all.Classes())
	}
	images, err := read(ctx, of, o.Images, o.Size)
	if err != nil {
		return b, err
	}
	b.Apart = apart(images)
	b.rows = make([]row, min(o.Rows, len(images)))
	for i := range b.rows {
		b.rows[i].original = images[i]
	}
	for _, g := range o.Columns {
		survey := synth.Survey{Least: o.Least}
		if err := survey.Run(ctx, g.Generator, class, images, o.Draws, o.stream("survey", g.Name, class, 0)); err != nil {
			return b, err
		}
		b.Rates = append(b.Rates, survey.Rates()[0])
		shown := synth.Visible{Generator: g.Generator, Least: o.Least, Attempts: attempts}
		for i := range b.rows {
			t, err := o.twin(shown, images[i], images[(i+1)%len(images)], o.stream("sheet", g.Name, class, i))
			if err != nil {
				return b, fmt.Errorf("sheet: %s of %s: %w", g.Name, class, err)
			}
			b.rows[i].twins = append(b.rows[i].twins, t)
		}
	}
	return b, nil
}

// SurveyAll makes the draws of every class, in the order of their names, and says to log which one it is at; nil for nowhere.
// Errors are those of [Survey] and of log.
func SurveyAll(ctx context.Context, all dataset.Dataset, o Config, log io.Writer) ([]Block, error) {
	if all == nil {
		return nil, fmt.Errorf("sheet: %w: the data set must not be nil", ErrConfig)
	}
	if log == nil {
		log = io.Discard
	}
	var blocks []Block
	for _, class := range all.Classes() {
		if _, err := fmt.Fprintf(log, "%s: %d images\n", class, dataset.Only(all, class, "").Len()); err != nil {
			return nil, err
		}
		b, err := Survey(ctx, all, class, o)
		if err != nil {
			return nil, err
		}
		blocks = append(blocks, b)
	}
	return blocks, nil
}

// apart is the median over the images of the mean absolute difference between
// an image and the next one, the channels taken together, in grey levels.
func apart(images []image.Image) float64 {
	var all []float64
	for i, p := range images {
		a, b := dataset.ToRGBA(p), dataset.ToRGBA(images[(i+1)%len(images)])
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
func (o Config) stream(use, generator, class string, row int) *rand.Rand {
	h := fnv.New64a()
	fmt.Fprintf(h, "%q %q %q %d", use, generator, class, row)
	return rand.New(rand.NewPCG(o.Seed, h.Sum64()))
}
