package inspect

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"io"
	"iter"
	"sync"
	"time"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/inspect/internal/drift"
	"github.com/gotab/gotab/internal/safetensors"
	"github.com/gotab/gotab/metrics"
	"github.com/gotab/gotab/tensor"
)

func init() {
	kinds = append(kinds, kind{"fake", func(d downstream.Detector) (subject, bool) {
		f, ok := d.(*Fake)
		if !ok {
			return subject{}, false
		}
		return subject{f, dataset.Square(FakeSide), nil, f.Calibration}, true
	}, func(_ context.Context, r io.Reader, _ *backbone.ResNet, _ tensor.Device) (downstream.Detector, error) {
		text, err := io.ReadAll(r)
		if err != nil {
			return nil, err
		}
		f := &Fake{}
		if err := json.Unmarshal(text, f); err != nil {
			return nil, err
		}
		fakes.Lock()
		defer fakes.Unlock()
		if fakes.prepare != nil {
			fakes.prepare(f)
		}
		return f, nil
	}})
}

var fakes struct {
	sync.Mutex
	prepare func(*Fake)
}

// PrepareFakes has every fake detector that a bundle reads prepared. It returns what
// ends that.
func PrepareFakes(f func(*Fake)) func() {
	fakes.Lock()
	defer fakes.Unlock()
	fakes.prepare = f
	return func() {
		fakes.Lock()
		defer fakes.Unlock()
		fakes.prepare = nil
	}
}

// FakeSide is the width and height of the maps of fakes.
const FakeSide = 8

// Fake is a detector whose maps are the brightness of a picture, in FakeSide squares a side,
// and whose scores are their maximum, times Gain.
type Fake struct {
	Gain float64
	// Before, unless it is nil, is called when scoring begins.
	Before func(ctx context.Context, imgs []image.Image) error `json:"-"`

	mu     sync.Mutex
	c      *downstream.Calibration
	closed int
}

var _ downstream.Detector = (*Fake)(nil)

// ErrBright is what fakes say of pictures whose first pixel is pure red.
var ErrBright = errors.New("the picture is broken")

func (f *Fake) Fit(context.Context, dataset.Dataset) error { return nil }

func (f *Fake) one(img image.Image) (downstream.Result, error) {
	if absent(img) {
		return downstream.Result{}, downstream.ErrImage
	}
	b := img.Bounds()
	if r, g, _, _ := img.At(b.Min.X, b.Min.Y).RGBA(); r == 0xffff && g == 0 {
		return downstream.Result{}, ErrBright
	}
	m := downstream.Map{W: FakeSide, H: FakeSide, Data: make([]float32, FakeSide*FakeSide), Rect: dataset.Rect{MaxX: float64(b.Dx()), MaxY: float64(b.Dy())}}
	for y := range FakeSide {
		for x := range FakeSide {
			_, g, _, _ := img.At(b.Min.X+x*b.Dx()/FakeSide, b.Min.Y+y*b.Dy()/FakeSide).RGBA()
			m.Data[y*FakeSide+x] = float32(float64(g) / 0xffff * f.Gain)
		}
	}
	return f.calibration().Mark(downstream.Result{Score: m.Max(), Map: m}), nil
}

func (f *Fake) Score(ctx context.Context, imgs ...image.Image) ([]downstream.Result, error) {
	f.mu.Lock()
	closed := f.closed
	f.mu.Unlock()
	if closed > 0 {
		return nil, ErrClosed
	}
	if f.Before != nil {
		if err := f.Before(ctx, imgs); err != nil {
			return nil, err
		}
	}
	var out []downstream.Result
	for _, img := range imgs {
		r, err := f.one(img)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

func (f *Fake) ScoreSet(ctx context.Context, ds dataset.Dataset) iter.Seq2[downstream.Scored, error] {
	return func(yield func(downstream.Scored, error) bool) {
		if ds == nil {
			yield(downstream.Scored{}, downstream.ErrImage)
			return
		}
		for i := range ds.Len() {
			s, err := ds.Sample(ctx, i)
			if err != nil {
				yield(downstream.Scored{}, err)
				return
			}
			r, err := f.one(s.Image)
			if !yield(downstream.Scored{Item: s.Item, Mask: s.Mask, Result: r}, err) || err != nil {
				return
			}
		}
	}
}

func (f *Fake) ScoreSeq(ctx context.Context, imgs iter.Seq[image.Image]) iter.Seq2[downstream.Result, error] {
	return func(yield func(downstream.Result, error) bool) {
		if imgs == nil {
			yield(downstream.Result{}, downstream.ErrImage)
			return
		}
		for img := range imgs {
			if img == nil {
				yield(downstream.Result{}, downstream.ErrImage)
				return
			}
			r, err := f.one(img)
			if !yield(r, err) || err != nil {
				return
			}
		}
	}
}

func (f *Fake) Calibrate(ctx context.Context, parts dataset.Dataset, rule metrics.Rule) (*downstream.Calibration, error) {
	var good, defective []float64
	for s, err := range f.ScoreSet(ctx, parts) {
		if err != nil {
			return nil, err
		}
		if s.IsDefective() {
			defective = append(defective, s.Score)
		} else {
			good = append(good, s.Score)
		}
	}
	c, err := downstream.NewCalibration(good, defective, downstream.ColourScale{High: 1}, rule)
	if err == nil {
		f.SetCalibration(c)
	}
	return c, err
}

func (f *Fake) SetCalibration(c *downstream.Calibration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.c = c
}

func (f *Fake) calibration() *downstream.Calibration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.c
}

func (f *Fake) Calibration() (*downstream.Calibration, error) {
	if c := f.calibration(); c != nil {
		return c, nil
	}
	return nil, fmt.Errorf("fake: %w", downstream.ErrNotCalibrated)
}

func (f *Fake) Save(string) error { return errors.ErrUnsupported }

func (f *Fake) WriteTo(w io.Writer) (int64, error) {
	text, err := json.Marshal(f)
	if err != nil || w == nil {
		return 0, errors.Join(err, errors.ErrUnsupported)
	}
	n, err := w.Write(text)
	return int64(n), err
}

func (f *Fake) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed++
	return nil
}

// Closed is how often the fake was closed.
func (f *Fake) Closed() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.closed
}

// SharedNets is how many backbones are in use.
func SharedNets() int { return nets.len() }

// NetOf returns a bundle's backbone.
func NetOf(b *Bundle) *backbone.ResNet { return b.net.net }

// DetectorOf returns a bundle's detector.
func DetectorOf(b *Bundle) downstream.Detector { return b.det }

// UsualOf are the scores that the drift monitor compares with.
func UsualOf(b *Bundle) []float64 { return b.usual() }

// OpenBytes is Open of a file that is in memory.
func OpenBytes(ctx context.Context, file []byte) (*Bundle, error) {
	o, err := read(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		return nil, err
	}
	return load(ctx, o, tensor.CPU)
}

// Reseal returns a bundle with another head and parts, sealed again. A part of nil is
// taken out.
func Reseal(file []byte, head func(text string) string, change map[string][]byte) ([]byte, error) {
	o, err := read(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		return nil, err
	}
	p := parts{head: o.head, bytes: make(map[string][]byte)}
	for _, info := range o.file.Infos() {
		if info.Name != partSeal {
			if p.bytes[info.Name], err = o.file.Bytes(info.Name); err != nil {
				return nil, err
			}
		}
	}
	for name, data := range change {
		if p.bytes[name] = data; data == nil {
			delete(p.bytes, name)
		}
	}
	metadata, tensors, err := p.tensors()
	if err != nil {
		return nil, err
	}
	if head != nil {
		metadata[keyHead] = head(metadata[keyHead])
	}
	if err := putSeal(metadata, tensors); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	_, err = safetensors.Write(&out, metadata, tensors)
	return out.Bytes(), err
}

// FixedTime makes two bundles the same.
func FixedTime() time.Time { return time.Date(2025, 1, 2, 3, 4, 5, 0, time.UTC) }

// MonitorOf is the drift monitor of a bundle with a calibration; what it returns takes a score
// and says whether it raises an alarm.
func MonitorOf(c *downstream.Calibration, window int, rate float64, seed uint64) func(score float64) bool {
	b := &Bundle{calibration: c, reference: c.Good()}
	m := drift.New(b.usual(), drift.Config{Window: window, Rate: rate, Seed: seed})
	return m.Add
}

// Opened returns a bundle's head and parts.
func Opened(file []byte) (head string, names []string, data [][]byte, err error) {
	o, err := read(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		return "", nil, nil, err
	}
	for _, info := range o.file.Infos() {
		b, err := o.file.Bytes(info.Name)
		if err != nil {
			return "", nil, nil, err
		}
		names, data = append(names, info.Name), append(data, b)
	}
	return o.file.Metadata()[keyHead], names, data, nil
}
