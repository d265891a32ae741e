package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
	_ "image/jpeg" // formats that image.DecodeConfig knows
	_ "image/png"
	"io/fs"
	"runtime"
	"sync"

	_ "golang.org/x/image/bmp"
	_ "golang.org/x/image/tiff"

	"github.com/gotab/gotab/dataset"
)

// facts are what one look at a sample's pixels leaves behind.
type facts struct {
	item  dataset.Item
	err   error // the sample cannot be read
	size  image.Point
	depth string // colours and bits as the file has them; empty where not known
	hash  [sha256.Size]byte
	mask  bool
	area  int // pixels of the mask
}

// survey looks at every sample, several at a time. It fails only when ctx ends.
func survey(ctx context.Context, s *set) ([]facts, error) {
	out := make([]facts, s.ds.Len())
	next := make(chan int)
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range next {
				out[i] = look(ctx, s, i)
			}
		}()
	}
	for i := range out {
		if ctx.Err() != nil {
			break
		}
		next <- i
	}
	close(next)
	wg.Wait()
	return out, ctx.Err()
}

func look(ctx context.Context, s *set, i int) facts {
	f := facts{item: s.ds.Item(i)}
	if s.fsys != nil {
		f.depth = depthOf(s.fsys, f.item.Name)
	}
	sample, err := s.ds.Sample(ctx, i)
	if err != nil {
		f.err = err
		return f
	}
	f.size = sample.Image.Rect.Size()
	h := sha256.New()
	var head [8]byte // two pictures of other sizes may have the same bytes
	binary.LittleEndian.PutUint32(head[:], uint32(f.size.X))
	binary.LittleEndian.PutUint32(head[4:], uint32(f.size.Y))
	h.Write(head[:])
	h.Write(sample.Image.Pix)
	h.Sum(f.hash[:0])
	if sample.Mask != nil {
		f.mask = true
		for _, v := range sample.Mask.Pix {
			if v != 0 {
				f.area++
			}
		}
	}
	return f
}

// depthOf reads colours and bits from a file's header; the empty string where it
// cannot, which reading the sample reports.
func depthOf(fsys fs.FS, name string) string {
	file, err := fsys.Open(name)
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

func where(it dataset.Item) string {
	if it.Split == "" {
		return "(no split)"
	}
	return it.Split
}
