package inspect_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"image"
	"image/color"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/inspect"
	"github.com/gotab/gotab/internal/faulttest"
	"github.com/gotab/gotab/internal/safetensors"
	"github.com/gotab/gotab/metrics"
)

// grey is a picture of one brightness, which is its score, of 1.
func grey(v float64) *image.Gray {
	img := image.NewGray(image.Rect(0, 0, 16, 12))
	for i := range img.Pix {
		img.Pix[i] = uint8(255*v + 0.5)
	}
	return img
}

// spotted is a dark picture with a bright place at (x, y), in parts of its sides.
func spotted(x, y float64) *image.Gray {
	img := grey(0.1)
	b := img.Bounds()
	px, py := int(x*float64(b.Dx())), int(y*float64(b.Dy()))
	for dy := range 2 {
		for dx := range 2 {
			img.SetGray(px+dx, py+dy, color.Gray{230})
		}
	}
	return img
}

// broken is a picture that fakes refuse.
func broken() image.Image {
	img := image.NewRGBA(image.Rect(0, 0, 16, 12))
	img.SetRGBA(0, 0, color.RGBA{255, 0, 0, 255})
	return img
}

// rising are the scores 0.100, 0.101 and so on of n good parts.
func rising(n int) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = 0.1 + float64(i)/1000
	}
	return out
}

// calibrated returns a fake that rejects what is brighter than about a half.
func calibrated(t testing.TB) *inspect.Fake {
	t.Helper()
	good := append(rising(99), 0.5)
	c, err := downstream.NewCalibration(good, nil, downstream.ColourScale{Low: 0.2, High: 0.8}, metrics.Overkill(0))
	require.NoError(t, err)
	f := &inspect.Fake{Gain: 1}
	f.SetCalibration(c)
	return f
}

func fakeSpec() inspect.Spec {
	return inspect.Spec{
		Product: "nut", Golden: []image.Image{grey(0.2), grey(0.9)}, Created: inspect.FixedTime(),
		Provenance: map[string]string{"seed": "7"},
	}
}

// fakeFile is a bundle of a fake, which the change may change before.
func fakeFile(t testing.TB, det downstream.Detector, change func(*inspect.Spec)) []byte {
	t.Helper()
	spec := fakeSpec()
	if change != nil {
		change(&spec)
	}
	path := filepath.Join(t.TempDir(), "nut.gotab")
	require.NoError(t, inspect.Create(t.Context(), path, det, spec))
	file, err := os.ReadFile(path)
	require.NoError(t, err)
	return file
}

func fakeBundle(t testing.TB) *inspect.Bundle {
	t.Helper()
	b, err := inspect.OpenBytes(t.Context(), fakeFile(t, calibrated(t), nil))
	require.NoError(t, err)
	return b
}

func TestBundleKeepsWhatItWasGiven(t *testing.T) {
	b := fakeBundle(t)
	defer func() { require.NoError(t, b.Close()) }()
	require.NoError(t, b.Verify(t.Context()))
	info := b.Info()
	require.Equal(t, "nut", info.Product)
	require.Equal(t, "fake", info.Detector)
	require.Equal(t, inspect.FixedTime(), info.Created)
	require.Equal(t, inspect.Version, info.Version)
	require.Equal(t, map[string]string{"seed": "7"}, info.Provenance)
	require.Equal(t, image.Pt(inspect.FakeSide, inspect.FakeSide), info.Input)
	require.Len(t, info.Bundle, 12)
	require.Len(t, info.Scorer, 12)
	require.Contains(t, info.Rule, "overkill")
	want := calibrated(t)
	c, err := want.Calibration()
	require.NoError(t, err)
	require.Equal(t, c, b.Calibration())
	require.Equal(t, c.Threshold(), info.Threshold)
	info.Provenance["seed"] = "8"
	require.Equal(t, "7", b.Info().Provenance["seed"])

	v, err := b.Decide(t.Context(), grey(0.3), grey(0.7))
	require.NoError(t, err)
	require.False(t, v[0].Reject)
	require.True(t, v[1].Reject)
	require.InDelta(t, 0.3, v[0].Score, 0.01)
	require.Equal(t, 16*12, len(v[0].Map.Data))
	require.Equal(t, 0.2, v[0].Scale.Low)
	require.Equal(t, info.Bundle, v[0].Bundle)
	_, err = b.Decide(t.Context(), nil)
	require.ErrorIs(t, err, downstream.ErrImage)
}

func TestCreateRefuses(t *testing.T) {
	plain := &inspect.Fake{Gain: 1}
	inRegions, err := inspect.Within(calibrated(t), inspect.Regions{Of: []dataset.Rect{{MaxX: 0.5, MaxY: 0.5}}})
	require.NoError(t, err)
	for name, c := range map[string]struct {
		det    downstream.Detector
		change func(*inspect.Spec)
		want   error
	}{
		"not calibrated":              {plain, nil, downstream.ErrNotCalibrated},
		"regions without calibration": {inRegions, nil, downstream.ErrNotCalibrated},
		"nil":                         {nil, nil, downstream.ErrConfig},
		"no product":                  {calibrated(t), func(s *inspect.Spec) { s.Product = "" }, downstream.ErrConfig},
		"long product":                {calibrated(t), func(s *inspect.Spec) { s.Product = strings.Repeat("x", 201) }, downstream.ErrConfig},
		"no golden":                   {calibrated(t), func(s *inspect.Spec) { s.Golden = nil }, downstream.ErrConfig},
		"many golden":                 {calibrated(t), func(s *inspect.Spec) { s.Golden = make([]image.Image, 65) }, downstream.ErrConfig},
		"nil golden":                  {calibrated(t), func(s *inspect.Spec) { s.Golden = []image.Image{nil} }, downstream.ErrImage},
		"broken golden":               {calibrated(t), func(s *inspect.Spec) { s.Golden = []image.Image{broken()} }, inspect.ErrBright},
		"provenance":                  {calibrated(t), func(s *inspect.Spec) { s.Provenance = map[string]string{"a": strings.Repeat("x", 2<<20)} }, downstream.ErrConfig},
		"not UTF-8":                   {calibrated(t), func(s *inspect.Spec) { s.Provenance = map[string]string{"a": "\xff"} }, downstream.ErrConfig},
	} {
		t.Run(name, func(t *testing.T) {
			spec := fakeSpec()
			if c.change != nil {
				c.change(&spec)
			}
			dir := t.TempDir()
			require.ErrorIs(t, inspect.Create(t.Context(), filepath.Join(dir, "x"), c.det, spec), c.want)
			left, err := os.ReadDir(dir)
			require.NoError(t, err)
			require.Empty(t, left)
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, inspect.Create(ctx, filepath.Join(t.TempDir(), "x"), calibrated(t), fakeSpec()), context.Canceled)
}

// Every single bit of a bundle counts.
func TestEveryBitFlipIsNoticed(t *testing.T) {
	c, err := downstream.NewCalibration([]float64{0.1, 0.5}, nil, downstream.ColourScale{High: 1}, metrics.Overkill(0))
	require.NoError(t, err)
	det := &inspect.Fake{Gain: 1}
	det.SetCalibration(c)
	file := fakeFile(t, det, func(s *inspect.Spec) {
		s.Golden, s.Provenance = []image.Image{image.NewGray(image.Rect(0, 0, 1, 1))}, nil
	})
	for at := range file {
		for bit := range 8 {
			file[at] ^= 1 << bit
			b, err := inspect.OpenBytes(t.Context(), file)
			file[at] ^= 1 << bit
			if err == nil {
				require.NoError(t, b.Close())
				t.Fatalf("bit %d of byte %d is not noticed", bit, at)
			}
			if !errors.Is(err, inspect.ErrBundle) && !errors.Is(err, inspect.ErrVersion) {
				t.Fatalf("bit %d of byte %d: %v", bit, at, err)
			}
		}
	}
	b, err := inspect.OpenBytes(t.Context(), file)
	require.NoError(t, err)
	require.NoError(t, b.Close())
}

func TestEveryTruncationIsNoticed(t *testing.T) {
	file := fakeFile(t, calibrated(t), nil)
	for n := range len(file) {
		_, err := inspect.OpenBytes(t.Context(), file[:n])
		require.ErrorIs(t, err, inspect.ErrBundle, "%d bytes", n)
	}
	_, err := inspect.OpenBytes(t.Context(), append(file, 0))
	require.ErrorIs(t, err, inspect.ErrBundle)
}

var update = flag.Bool("update", false, "write testdata anew")

// Bundles of every version so far open, and score as they did.
func TestReadsOlderVersions(t *testing.T) {
	for v := 1; v <= inspect.Version; v++ {
		name := filepath.Join("testdata", fmt.Sprintf("version%d.gotab", v))
		if *update && v == inspect.Version {
			det, err := inspect.Within(&inspect.Fake{Gain: 1}, rightMasked())
			require.NoError(t, err)
			_, err = det.Calibrate(t.Context(), set(t, greys(10)), metrics.Overkill(0.1))
			require.NoError(t, err)
			require.NoError(t, inspect.Create(t.Context(), name, det, fakeSpec()))
		}
		b, err := inspect.Open(t.Context(), name)
		require.NoError(t, err)
		require.Equal(t, v, b.Info().Version)
		require.Equal(t, "nut", b.Info().Product)
		require.Len(t, b.Calibration().Good(), 10)
		require.NotNil(t, b.Regions().Mask)
		require.NoError(t, b.Verify(t.Context()))
		require.NoError(t, b.Close())
	}
}

func TestVersions(t *testing.T) {
	file := fakeFile(t, calibrated(t), nil)
	for _, v := range []string{"2", "99", "0", "-1"} {
		changed, err := inspect.Reseal(file, func(text string) string {
			return strings.Replace(strings.Replace(text, `"version":1`, `"version":`+v, 1), `"library":"`, `"library":"v9.9.9 or `, 1)
		}, nil)
		require.NoError(t, err)
		_, err = inspect.OpenBytes(t.Context(), changed)
		require.ErrorIs(t, err, inspect.ErrVersion)
		require.ErrorContains(t, err, "version "+v+", this library reads 1 to 1")
		require.ErrorContains(t, err, "v9.9.9")
	}
}

// What is sealed and makes no sense is refused all the same: a seal says who altered nothing, not who wrote it.
func TestSealedNonsense(t *testing.T) {
	file := fakeFile(t, calibrated(t), nil)
	swap := func(old, with string) func(string) string {
		return func(text string) string {
			require.Contains(t, text, old)
			return strings.Replace(text, old, with, 1)
		}
	}
	for name, c := range map[string]struct {
		head   func(string) string
		change map[string][]byte
	}{
		"another detector":  {head: swap(`"detector":"fake"`, `"detector":"oracle"`)},
		"without backbone":  {head: swap(`"detector":"fake"`, `"detector":"padim"`)},
		"no golden":         {head: swap(`"golden":[`, `"was":[`)},
		"head":              {head: func(string) string { return "{" }},
		"head of a kind":    {head: swap(`"input":[8,8]`, `"input":"8"`)},
		"input":             {head: swap(`"input":[8,8]`, `"input":[8,0]`)},
		"tiles":             {head: swap(`"input":[8,8]`, `"input":[8,8],"tiles":{"side":-1}`)},
		"regions":           {head: swap(`"input":[8,8]`, `"input":[8,8],"regions":{"of":[{"MinX":2}]}`)},
		"backbone":          {head: swap(`"input":[8,8]`, `"input":[8,8],"backbone":{"arch":"vgg","last":"layer1"}`)},
		"backbone missing":  {head: swap(`"input":[8,8]`, `"input":[8,8],"backbone":{"arch":"resnet18","last":"layer1"}`)},
		"detector missing":  {change: map[string][]byte{"detector": nil}},
		"detector broken":   {change: map[string][]byte{"detector": []byte("{")}},
		"calibration":       {change: map[string][]byte{"calibration": []byte("null")}},
		"calibration long":  {change: map[string][]byte{"calibration": make([]byte, 5<<20)}},
		"reference":         {change: map[string][]byte{"reference": bytes.Repeat([]byte{0xff}, 16)}},
		"reference falls":   {change: map[string][]byte{"reference": {0, 0, 0, 0, 0, 0, 0, 0x40, 0, 0, 0, 0, 0, 0, 0, 0}}},
		"reference missing": {change: map[string][]byte{"reference": nil}},
	} {
		t.Run(name, func(t *testing.T) {
			changed, err := inspect.Reseal(file, c.head, c.change)
			require.NoError(t, err)
			_, err = inspect.OpenBytes(t.Context(), changed)
			require.ErrorIs(t, err, inspect.ErrBundle)
		})
	}
	// Another safetensors file is no bundle, nor is one with a seal that is not last.
	var other bytes.Buffer
	_, err := safetensors.Write(&other, nil, []safetensors.Tensor{{Name: "x", DType: safetensors.U8, Shape: []int64{1}, Data: []byte{1}}})
	require.NoError(t, err)
	_, err = inspect.OpenBytes(t.Context(), other.Bytes())
	require.ErrorIs(t, err, inspect.ErrBundle)
	// A length that no header has costs no memory.
	huge := binary.LittleEndian.AppendUint64(nil, 1<<60)
	_, err = inspect.OpenBytes(t.Context(), append(huge, make([]byte, 100)...))
	require.ErrorIs(t, err, inspect.ErrBundle)
	require.ErrorContains(t, err, "at most")
}

func TestVerifyNoticesOtherScores(t *testing.T) {
	file := fakeFile(t, calibrated(t), nil)
	defer inspect.PrepareFakes(func(f *inspect.Fake) { f.Gain *= 1.01 })()
	b, err := inspect.OpenBytes(t.Context(), file)
	require.NoError(t, err)
	err = b.Verify(t.Context())
	require.ErrorIs(t, err, inspect.ErrGolden)
	require.ErrorContains(t, err, "image 0")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, b.Verify(ctx), context.Canceled)
	require.NoError(t, b.Close())
	require.NoError(t, b.Close())
	require.ErrorIs(t, b.Verify(t.Context()), inspect.ErrClosed)
	_, err = b.Decide(t.Context(), grey(0.1))
	require.ErrorIs(t, err, inspect.ErrClosed)
	// Create finds it before there is a file.
	path := filepath.Join(t.TempDir(), "x")
	require.ErrorIs(t, inspect.Create(t.Context(), path, calibrated(t), fakeSpec()), inspect.ErrGolden)
	require.NoFileExists(t, path)
	// A golden picture that is none.
	broken, err := inspect.Reseal(file, nil, map[string][]byte{"golden.01": []byte("no PNG")})
	require.NoError(t, err)
	b, err = inspect.OpenBytes(t.Context(), broken)
	require.NoError(t, err)
	require.Error(t, b.Verify(t.Context()))
	require.NoError(t, b.Close())
}

func TestOpenRefusesWhatIsNoFile(t *testing.T) {
	_, err := inspect.Open(t.Context(), t.TempDir())
	require.ErrorIs(t, err, inspect.ErrBundle)
	_, err = inspect.Open(t.Context(), filepath.Join(t.TempDir(), "none"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

func bundleWriter(t *testing.T) faulttest.Writer {
	return faulttest.Writer{Name: "bundle", Write: func(dir string, version int) error {
		spec := fakeSpec()
		spec.Product = fmt.Sprintf("nut %d", version)
		return inspect.Create(context.Background(), filepath.Join(dir, "nut.gotab"), calibrated(t), spec)
	}}
}

// A full disk, or any other fault of a system call, leaves the old bundle.
func TestBundleIsWholeOrNotThere(t *testing.T) { faulttest.Check(t, bundleWriter(t)) }

func TestBundleSurvivesKills(t *testing.T) {
	faulttest.Kill(t, "TestBundleSurvivesKills", 2, 3, bundleWriter(t))
}

func TestRecalibrated(t *testing.T) {
	b := fakeBundle(t)
	defer func() { require.NoError(t, b.Close()) }()
	c, err := b.Calibration().WithRule(metrics.Overkill(0.1))
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "new")
	require.NoError(t, b.Recalibrated(t.Context(), path, c))
	n, err := inspect.Open(t.Context(), path)
	require.NoError(t, err)
	defer func() { require.NoError(t, n.Close()) }()
	require.NoError(t, n.Verify(t.Context()))
	require.Equal(t, c, n.Calibration())
	require.Less(t, n.Info().Threshold, b.Info().Threshold)
	require.Equal(t, b.Info().Scorer, n.Info().Scorer)
	require.NotEqual(t, b.Info().Bundle, n.Info().Bundle)
	require.ErrorIs(t, b.Recalibrated(t.Context(), path, nil), downstream.ErrNotCalibrated)
}
