package audit

import (
	"bufio"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
	_ "image/jpeg" // formats that image.DecodeConfig knows
	_ "image/png"
	"runtime"
	"slices"

	_ "golang.org/x/image/bmp"
	_ "golang.org/x/image/tiff"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/internal/pipeline"
)

// Facts are what one look at a sample leaves behind.
type Facts struct {
	Item  dataset.Item
	Err   error             // the sample cannot be read; what follows is empty then, but for Depth
	Size  image.Point       // of the image in pixels
	Depth string            // colours and bits as the file has them; empty where they are not known
	Sum   [sha256.Size]byte // of size and pixels: equal for images that are the same
	Mask  bool              // there is one
	Area  int               // pixels that the mask marks
}

// Survey holds the facts of all samples of a data set, in its order.
type Survey []Facts

// Look reads every sample, several at a time. A sample that cannot be read is a fact and no
// error. It returns an error that wraps [dataset.ErrConfig] if ds is nil, and ctx's.
func Look(ctx context.Context, ds dataset.Dataset) (Survey, error) {
	if ctx == nil || ds == nil {
		return nil, fmt.Errorf("audit: look: %w: context and data set must not be nil", dataset.ErrConfig)
	}
	workers := runtime.GOMAXPROCS(0)
	var out Survey
	for f, err := range pipeline.Ordered(ctx, ds.Len(), workers, 4*workers, func(ctx context.Context, i int) (Facts, error) {
		return look(ctx, ds, i), ctx.Err()
	}) {
		if err != nil {
			return nil, err
		}
		out = append(out, f)
	}
	return out, nil
}

func look(ctx context.Context, ds dataset.Dataset, i int) Facts {
	f := Facts{Item: ds.Item(i), Depth: depthOf(ds, i)}
	sample, err := ds.Sample(ctx, i)
	if err == nil && sample.Image == nil {
		err = fmt.Errorf("audit: sample %s: %w: it has no image", f.Item.Name, dataset.ErrSize)
	}
	if err == nil {
		err = drawable(sample)
	}
	if err != nil {
		f.Err = err
		return f
	}
	f.Size = sample.Image.Rect.Size()
	h := sha256.New()
	var head [8]byte // two images of other sizes may have the same bytes
	binary.LittleEndian.PutUint32(head[:], uint32(f.Size.X))
	binary.LittleEndian.PutUint32(head[4:], uint32(f.Size.Y))
	h.Write(head[:])
	h.Write(sample.Image.Pix)
	h.Sum(f.Sum[:0])
	if sample.Mask != nil {
		f.Mask = true
		for _, v := range sample.Mask.Pix {
			if v != 0 {
				f.Area++
			}
		}
	}
	return f
}

// depthOf reads colours and bits from the head of a file; the empty string where it
// cannot, which reading the sample reports.
func depthOf(ds dataset.Dataset, i int) string {
	file, err := dataset.OpenFile(ds, i)
	if err != nil {
		return ""
	}
	defer func() { _ = file.Close() }() // nothing was written
	cfg, format, err := image.DecodeConfig(bufio.NewReader(file))
	if err != nil {
		return ""
	}
	if _, ok := cfg.ColorModel.(color.Palette); ok {
		return "palette " + format
	}
	switch cfg.ColorModel {
	case color.GrayModel:
		return "grey 8-bit " + format
	case color.Gray16Model:
		return "grey 16-bit " + format
	case color.RGBAModel, color.YCbCrModel, color.NYCbCrAModel:
		return "colour 8-bit " + format
	case color.NRGBAModel:
		return "colour 8-bit with alpha " + format
	case color.RGBA64Model, color.NRGBA64Model:
		return "colour 16-bit " + format
	case color.CMYKModel:
		return "CMYK " + format
	}
	return fmt.Sprintf("%T %s", cfg.ColorModel, format)
}

// SplitOf names the split of an item, "(no split)" where it has none.
func SplitOf(it dataset.Item) string {
	if it.Split == "" {
		return "(no split)"
	}
	return it.Split
}

// Group counts the samples of a class, a split and a kind.
type Group struct {
	Class, Split, Kind string
	Samples, Masks     int
	Areas              []float64 // share of the image that each mask with a defect marks, 0 to 1, rising
}

// Groups counts the samples by class, split and kind, sorted by class, split (train first) and kind.
func (s Survey) Groups() []Group {
	at := map[[3]string]int{}
	var out []Group
	for _, f := range s {
		key := [3]string{f.Item.Class, SplitOf(f.Item), f.Item.Kind()}
		i, ok := at[key]
		if !ok {
			i = len(out)
			at[key] = i
			out = append(out, Group{Class: key[0], Split: key[1], Kind: key[2]})
		}
		g := &out[i]
		g.Samples++
		if f.Mask {
			g.Masks++
		}
		if f.Area > 0 && f.Size.X > 0 && f.Size.Y > 0 {
			g.Areas = append(g.Areas, float64(f.Area)/float64(f.Size.X*f.Size.Y))
		}
	}
	for _, g := range out {
		slices.Sort(g.Areas)
	}
	slices.SortFunc(out, func(a, b Group) int {
		return cmp.Or(cmp.Compare(a.Class, b.Class), cmp.Compare(b.Split, a.Split), cmp.Compare(a.Kind, b.Kind))
	})
	return out
}
