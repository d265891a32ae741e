// Command detect measures a detector from the bytes of a PNG file to the verdict, one image after the other, beside
// bench/endtoend.py.
//
//	detect prepare -out DIR [-weights FILE] [-data ROOT -class NAME] [-side N] [-train N] [-methods LIST] [-bf16]
//	detect measure -in DIR [-method padim|patchcore] [-bf16] [-seconds S] [-threads N] [-profile FILE]
//
// prepare fits and calibrates the methods on a class in MVTec AD's layout, or on drawings where there is none, and
// writes DIR: the detectors, the weights, PaDiM as an ONNX model with whatever its metadata say, and images that were not
// fitted, as PNG files of side x side pixels. Images are taken as they are at that side, without a crop. measure prints one JSON
// object: milliseconds an image, the median, the fastest and the 90th percentile, processor time of all threads, and how long the parts take that can be told
// apart: decoding alone, and the network alone.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"image/png"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/bench/internal/program"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/dataset/drawn"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/internal/atomicfile"
	"github.com/gotab/gotab/internal/profile"
	"github.com/gotab/gotab/metrics"
	"github.com/gotab/gotab/tensor"
)

func main() { program.Main("detect", run) }

// Files of a prepared folder.
const (
	weightsFile = "resnet18.safetensors"
	onnxFile    = "padim.onnx"
	pictureDir  = "pictures"
)

// detectorFile is where a method is that was fitted in a precision.
func detectorFile(dir, method string, p backbone.Precision) string {
	if p == backbone.BFloat16 {
		method += "-bf16"
	}
	return filepath.Join(dir, method+".gotab")
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) == 0 {
		return errors.New("say prepare or measure")
	}
	switch args[0] {
	case "prepare":
		return prepare(ctx, args[1:], stderr)
	case "measure":
		return measure(ctx, args[1:], stdout, stderr)
	}
	return fmt.Errorf("%q is neither prepare nor measure", args[0])
}

func flags(name string, stderr io.Writer) *flag.FlagSet {
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	fs.SetOutput(stderr)
	return fs
}

func newDetector(method string, net *backbone.ResNet, side int, watch func(downstream.Progress)) (downstream.Detector, error) {
	switch method {
	case "padim":
		cfg := downstream.DefaultPaDiM()
		cfg.Transform = dataset.Square(side)
		return downstream.NewPaDiM(net, cfg, nil)
	case "patchcore":
		cfg := downstream.DefaultPatchCore()
		cfg.Transform = dataset.Square(side)
		return downstream.NewPatchCore(net, cfg, rand.New(rand.NewPCG(1, 1)), downstream.WithProgress(watch))
	}
	return nil, fmt.Errorf("-method is %q, want padim or patchcore", method)
}

// readyPictures is how many images are measured.
const readyPictures = 32

func prepare(ctx context.Context, args []string, stderr io.Writer) (err error) {
	fs := flags("detect prepare", stderr)
	out := fs.String("out", "", "`folder` to fill")
	weights := fs.String("weights", "", "`file` of a ResNet-18 (random weights)")
	root := fs.String("data", "", "`folder` of classes in MVTec AD's layout (drawings)")
	class := fs.String("class", "", "`name` of the class")
	side := fs.Int("side", 256, "height and width of an image in `pixels`")
	train := fs.Int("train", 200, "good `images` to fit on, at most")
	methods := fs.String("methods", "padim,patchcore", "`list` of padim and patchcore")
	bf16 := fs.Bool("bf16", false, "in bfloat16 too")
	if err := fs.Parse(args); err != nil {
		return err
	}
	switch {
	case fs.NArg() > 0:
		return fmt.Errorf("%q is too much", fs.Arg(0))
	case *out == "":
		return errors.New("-out is missing: say which folder is to be filled")
	case (*root == "") != (*class == ""):
		return errors.New("-data and -class go together")
	case *side < 64 || *side > 2048 || *train < 2 || *train > 10000:
		return fmt.Errorf("-side is %d and -train %d, want 64 to 2048 and 2 to 10000", *side, *train)
	}
	good, parts, err := images(ctx, *root, *class, *side, *train)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(*out, pictureDir), 0o755); err != nil {
		return err
	}
	net, err := network(*weights)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, net.Close()) }()
	if err := net.Save(filepath.Join(*out, weightsFile)); err != nil {
		return err
	}
	if err := writePictures(ctx, filepath.Join(*out, pictureDir), parts, dataset.Square(*side)); err != nil {
		return err
	}
	precisions := []backbone.Precision{backbone.Float32}
	if *bf16 {
		precisions = append(precisions, backbone.BFloat16)
	}
	for _, p := range precisions {
		if err := net.SetPrecision(p); err != nil {
			return err
		}
		for _, method := range strings.Split(*methods, ",") {
			if err := fitOne(ctx, method, net, p, *side, good, parts, *out, stderr); err != nil {
				return err
			}
		}
	}
	return nil
}

func network(weights string) (*backbone.ResNet, error) {
	if weights == "" {
		return backbone.NewResNet18(tensor.CPU, rand.New(rand.NewPCG(1, 1)))
	}
	return backbone.OpenResNet18(weights, tensor.CPU)
}

// images returns good ones to fit on and parts to calibrate with and to measure.
func images(ctx context.Context, root, class string, side, train int) (good, parts dataset.Dataset, err error) {
	if root == "" {
		all, err := drawn.New(ctx, drawn.Config{Classes: drawn.Classes()[:1], Size: side, Seed: 1, Parts: []drawn.Part{
			{Split: dataset.Train, Good: train}, {Split: dataset.Test, Good: readyPictures}}})
		if err != nil {
			return nil, nil, err
		}
		return dataset.Filter(all, func(it dataset.Item) bool { return it.Split == dataset.Train }),
			dataset.Filter(all, func(it dataset.Item) bool { return it.Split == dataset.Test }), nil
	}
	from, err := dataset.OpenMVTecAD(root, class, dataset.Train)
	if err != nil {
		return nil, nil, err
	}
	first := make([]int, min(train, from.Len()))
	for i := range first {
		first[i] = i
	}
	if good, err = dataset.Subset(from, first); err != nil {
		return nil, nil, err
	}
	test, err := dataset.OpenMVTecAD(root, class, dataset.Test)
	return good, test, err
}

// writePictures writes images that are evenly spread over ds.
func writePictures(ctx context.Context, dir string, ds dataset.Dataset, t dataset.Transform) error {
	n := min(ds.Len(), readyPictures)
	for i := range n {
		s, err := ds.Sample(ctx, i*ds.Len()/n)
		if err != nil {
			return err
		}
		img, err := t.Image(s.Image)
		if err != nil {
			return err
		}
		if err := atomicfile.Write(filepath.Join(dir, fmt.Sprintf("%03d.png", i)), func(w io.Writer) error { return png.Encode(w, img) }); err != nil {
			return err
		}
	}
	return nil
}

func fitOne(ctx context.Context, method string, net *backbone.ResNet, p backbone.Precision, side int, good, parts dataset.Dataset, out string, stderr io.Writer) (err error) {
	var choosing, chosen time.Time
	d, err := newDetector(method, net, side, func(g downstream.Progress) {
		if g.Stage == "choose" {
			if choosing.IsZero() {
				choosing = time.Now()
			}
			chosen = time.Now()
		}
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	start := time.Now()
	if err := d.Fit(ctx, good); err != nil {
		return err
	}
	fmt.Fprintf(stderr, "%s, %s: fitted on %d images in %.1f s", method, p, good.Len(), time.Since(start).Seconds())
	if !choosing.IsZero() {
		fmt.Fprintf(stderr, ", of which choosing after the first report %.1f s", chosen.Sub(choosing).Seconds())
	}
	fmt.Fprintln(stderr)
	if _, err := d.Calibrate(ctx, parts, metrics.Overkill(0.1)); err != nil {
		return err
	}
	if err := d.Save(detectorFile(out, method, p)); err != nil {
		return err
	}
	if pd, ok := d.(*downstream.PaDiM); ok && p == backbone.Float32 {
		return pd.SaveONNX(ctx, filepath.Join(out, onnxFile))
	}
	return nil
}

// result is what measure prints.
type result struct {
	Method    string  `json:"method"`
	Precision string  `json:"precision"`
	Libtorch  string  `json:"libtorch"`
	Threads   int     `json:"threads"`
	Images    int     `json:"images"` // that were measured
	Median    float64 `json:"ms"`
	Fastest   float64 `json:"ms_fastest"`
	Slow      float64 `json:"ms_90"`        // percentile
	Processor float64 `json:"ms_processor"` // of all threads, the mean; 0 where the system does not tell
	Decode    float64 `json:"ms_decode"`
	Network   float64 `json:"ms_network"`
	Rejected  int     `json:"rejected"` // of the images, once through
}

func measure(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	var r result
	fs := flags("detect measure", stderr)
	in := fs.String("in", "", "`folder` that prepare filled")
	fs.StringVar(&r.Method, "method", "padim", "padim or patchcore")
	bf16 := fs.Bool("bf16", false, "the detector that was fitted in bfloat16")
	seconds := fs.Float64("seconds", 5, "how long to measure, after one look at each image")
	fs.IntVar(&r.Threads, "threads", 0, "`threads` (all processors that the process may use)")
	profiled := fs.String("profile", "", "`file` for a profile of Go's processor time")
	if err := fs.Parse(args); err != nil {
		return err
	}
	switch {
	case fs.NArg() > 0:
		return fmt.Errorf("%q is too much", fs.Arg(0))
	case *in == "":
		return errors.New("-in is missing: say which folder prepare has filled")
	}
	if err := program.Seconds(*seconds); err != nil {
		return err
	}
	if err := program.Threads(r.Threads); err != nil {
		return err
	}
	r.Threads, r.Libtorch, r.Precision = tensor.GetThreads().PerRun, tensor.LibtorchVersion(), program.Precision(*bf16).String()
	net, err := backbone.OpenResNet18(filepath.Join(*in, weightsFile), tensor.CPU)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, net.Close()) }()
	if err := net.SetPrecision(program.Precision(*bf16)); err != nil {
		return err
	}
	d, layers, err := open(ctx, r.Method, detectorFile(*in, r.Method, program.Precision(*bf16)), net)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	files, err := pictures(filepath.Join(*in, pictureDir))
	if err != nil {
		return err
	}
	one := func(file []byte) (bool, error) {
		img, err := dataset.Decode(bytes.NewReader(file))
		if err != nil {
			return false, err
		}
		rs, err := d.Score(ctx, img)
		if err != nil {
			return false, err
		}
		v, err := rs[0].Verdict()
		return v.Reject, err
	}
	for _, f := range files {
		reject, err := one(f)
		if err != nil {
			return err
		}
		if reject {
			r.Rejected++
		}
	}
	busy := processor()
	var whole []float64
	if err := profile.CPU(*profiled, func() (err error) {
		whole, err = timed(*seconds, files, func(f []byte) error {
			_, err := one(f)
			return err
		})
		busy = processor() - busy
		return err
	}); err != nil {
		return err
	}
	r.Processor = 1e3 * busy / float64(len(whole))
	r.Images, r.Fastest, r.Median, r.Slow = len(whole), whole[0], whole[len(whole)/2], whole[len(whole)*9/10]
	decoding, err := timed(*seconds/10, files, func(f []byte) error {
		_, err := dataset.Decode(bytes.NewReader(f))
		return err
	})
	if err != nil {
		return err
	}
	r.Decode = decoding[len(decoding)/2]
	img, err := dataset.Decode(bytes.NewReader(files[0]))
	if err != nil {
		return err
	}
	size := img.Rect.Size()
	px := make([]float32, 3*size.X*size.Y)
	if err := dataset.ImageNet().Pack(px, img); err != nil {
		return err
	}
	alone, err := timed(*seconds/5, files, func([]byte) error {
		return tensor.Run(ctx, tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
			net.Forward(s, s.FromNHWC(px, 1, size.Y, size.X, 3), layers...)
			return s.Err()
		})
	})
	if err != nil {
		return err
	}
	r.Network = alone[len(alone)/2]
	return json.NewEncoder(stdout).Encode(r)
}

// open reads a detector, and says which layers it looks at.
func open(ctx context.Context, method, file string, net *backbone.ResNet) (downstream.Detector, []backbone.Layer, error) {
	switch method {
	case "padim":
		d, err := downstream.OpenPaDiM(ctx, file, net)
		if err != nil {
			return nil, nil, err
		}
		return d, d.Config().Layers, nil
	case "patchcore":
		d, err := downstream.OpenPatchCore(ctx, file, net)
		if err != nil {
			return nil, nil, err
		}
		return d, d.Config().Layers, nil
	}
	return nil, nil, fmt.Errorf("-method is %q, want padim or patchcore", method)
}

func pictures(dir string) (files [][]byte, err error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.png"))
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		files = append(files, b)
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%s holds no picture: was it prepared?", dir)
	}
	return files, nil
}

// timed returns rising milliseconds of do, again and again over the files.
func timed(seconds float64, files [][]byte, do func(file []byte) error) (ms []float64, err error) {
	for start := time.Now(); len(ms) == 0 || time.Since(start).Seconds() < seconds; {
		at := time.Now()
		if err := do(files[len(ms)%len(files)]); err != nil {
			return nil, err
		}
		ms = append(ms, 1e3*time.Since(at).Seconds())
	}
	slices.Sort(ms)
	return ms, nil
}
