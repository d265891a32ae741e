// Package inputs has the flags and words that the programs share: how files are read, by how
// many threads, and what can be done about files that are not as they should be.
package inputs

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/tensor"
)

// Flags are the flags that the programs share.
type Flags struct {
	dataset.Reading        // of AddReading and, its View, of AddTransform
	Threads         int    // 0: as many as the process may use
	Prefix          string // of the network's names in a file of weights
	transform       string
	device          string
}

// AddReading adds the flags that say how files are read, and -threads.
func (f *Flags) AddReading(fs *flag.FlagSet) {
	f.Reading = dataset.DefaultReading()
	d := &f.Decoder
	fs.IntVar(&d.MaskAbove, "mask-above", d.MaskAbove, "`brightness` above which a pixel of a mask is a defect, 0 to 254; -1 takes what is not the background")
	fs.IntVar(&d.Bits16, "bits", d.Bits16, "how many `bits` of 16-bit images count (Bits16), 8 to 16")
	fs.IntVar(&d.MaxPixels, "max-pixels", d.MaxPixels, "largest `number` of pixels of an image")
	fs.BoolVar(&f.SkipBroken, "skip-broken", false, "go on without images that cannot be read")
	f.AddThreads(fs)
}

// AddThreads adds -threads.
func (f *Flags) AddThreads(fs *flag.FlagSet) {
	fs.IntVar(&f.Threads, "threads", 0, "largest `number` of threads; 0 takes as many as the processors that the process may use")
}

// AddDevice adds -device, for Start.
func (f *Flags) AddDevice(fs *flag.FlagSet) {
	fs.StringVar(&f.device, "device", "auto", "auto, cpu, cuda or cuda:N")
}

// AddPrefix adds -prefix.
func (f *Flags) AddPrefix(fs *flag.FlagSet) {
	fs.StringVar(&f.Prefix, "prefix", "", "`text` before the network's names in a file of weights that holds several networks, for example module.encoder_q.")
}

// AddTransform adds -transform.
func (f *Flags) AddTransform(fs *flag.FlagSet) {
	fs.StringVar(&f.transform, "transform", "", "what the network sees: `centre` (cut out of the resized image), square (the whole image, stretched), WxH (the whole image, of so many pixels), tiles (squares of the shorter side that overlap) or tiles:SIDE (of so many pixels); default: the method's own")
}

// Validate says what makes no sense, and reads -transform.
func (f *Flags) Validate() (err error) {
	switch d := f.Decoder; {
	case d.MaskAbove < dataset.MaskByBackground || d.MaskAbove > 254:
		return fmt.Errorf("-mask-above is %d, want 0 to 254, or -1", d.MaskAbove)
	case d.Bits16 < 8 || d.Bits16 > 16:
		return fmt.Errorf("-bits is %d, want 8 to 16", d.Bits16)
	case d.MaxPixels < 1:
		return fmt.Errorf("-max-pixels is %d, want 1 or more", d.MaxPixels)
	}
	if f.View, err = dataset.ParseView(f.transform); err != nil {
		return fmt.Errorf("-transform is %q: %w", f.transform, err)
	}
	return errors.Join(f.threads(), f.Decoder.Validate())
}

func (f Flags) threads() error {
	if f.Threads < 0 || f.Threads > 4096 {
		return fmt.Errorf("-threads is %d, want 1 to 4096, or 0", f.Threads)
	}
	return nil
}

// UseThreads bounds the threads of the process, and tries whether the system lets it
// have them.
func (f Flags) UseThreads() error {
	if err := tensor.UseThreads(f.Threads); err != nil {
		return fmt.Errorf("-threads %d: %w", f.Threads, err)
	}
	return nil
}

// Start does what -threads and -device ask for, before the first work of a program.
func (f Flags) Start() (tensor.Device, error) {
	if err := f.UseThreads(); err != nil {
		return tensor.CPU, err
	}
	return tensor.ParseDevice(f.device)
}

// Hint adds to an error of files which flags help.
func Hint(err error) error {
	switch {
	case !errors.Is(err, dataset.ErrBroken):
		return err
	case errors.Is(err, dataset.ErrTooLarge):
		return fmt.Errorf("%w; mend or remove them, or go on without them by -skip-broken; -max-pixels allows larger images", err)
	}
	return fmt.Errorf("%w; mend or remove them, or go on without them by -skip-broken", err)
}

// CheckWeightsName refuses the name of another format for weights that are written
// as safetensors.
func CheckWeightsName(name string) error {
	switch ext := strings.ToLower(filepath.Ext(name)); ext {
	case ".pth", ".pt", ".ckpt", ".bin", ".onnx", ".npz", ".h5":
		return fmt.Errorf("%s would hold safetensors, and its ending says %s; call it %s.safetensors", name, ext, strings.TrimSuffix(name, filepath.Ext(name)))
	}
	return nil
}

// SameFile says whether two names are of one file.
func SameFile(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}
