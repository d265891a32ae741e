package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"image"
	"image/color"
	"image/png"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/evaluate"
	"github.com/gotab/gotab/metrics"
	"github.com/gotab/gotab/tensor"
)

// class writes one class of small images in MVTec AD's layout: even grey with
// noise, the defective ones with a dark square.
func class(t *testing.T, root, name string, masks bool) {
	rng := rand.New(rand.NewPCG(1, uint64(len(name))))
	save := func(img image.Image, parts ...string) {
		path := filepath.Join(append([]string{root, name}, parts...)...)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o777))
		f, err := os.Create(path)
		require.NoError(t, err)
		require.NoError(t, png.Encode(f, img))
		require.NoError(t, f.Close())
	}
	picture := func(defect bool) (*image.RGBA, *image.Gray) {
		img, mask := image.NewRGBA(image.Rect(0, 0, 40, 32)), image.NewGray(image.Rect(0, 0, 40, 32))
		for y := range 32 {
			for x := range 40 {
				v := uint8(140 + rng.IntN(20))
				if defect && x >= 14 && x < 22 && y >= 10 && y < 18 {
					v = 20
					mask.SetGray(x, y, color.Gray{Y: 255})
				}
				img.SetRGBA(x, y, color.RGBA{v, v, v - 10, 255})
			}
		}
		return img, mask
	}
	for i := range 4 {
		img, _ := picture(false)
		save(img, "train", "good", strconv.Itoa(i)+".png")
	}
	for i := range 2 {
		img, _ := picture(false)
		save(img, "test", "good", strconv.Itoa(i)+".png")
		img, mask := picture(true)
		save(img, "test", "hole", strconv.Itoa(i)+".png")
		if masks {
			save(mask, "ground_truth", "hole", strconv.Itoa(i)+"_mask.png")
		}
	}
}

func evaluateArgs(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	live := tensor.Live()
	var out, progress bytes.Buffer
	err = run(t.Context(), args, &out, &progress)
	require.Equal(t, live, tensor.Live(), "native tensors were leaked")
	return out.String(), progress.String(), err
}

func TestEvaluateAllClasses(t *testing.T) {
	root, dir := t.TempDir(), t.TempDir()
	class(t, root, "alpha", true)
	class(t, root, "beta", false)
	jsonFile, maps := filepath.Join(dir, "out.json"), filepath.Join(dir, "maps")
	stdout, stderr, err := evaluateArgs(t, "-data", root, "-weights", "random", "-device", "cpu", "-json", jsonFile, "-maps", maps)
	require.NoError(t, err)
	require.Contains(t, stderr, "[2/2] beta: score 4 images")
	for _, want := range []string{"class", "alpha", "beta", "mean"} {
		require.Contains(t, stdout, want)
	}

	f, err := os.Open(jsonFile)
	require.NoError(t, err)
	defer f.Close()
	var got []map[string]any
	for sc := bufio.NewScanner(f); sc.Scan(); {
		var v map[string]any
		require.NoError(t, json.Unmarshal(sc.Bytes(), &v))
		got = append(got, v)
	}
	require.Len(t, got, 2)
	for i, name := range []string{"alpha", "beta"} {
		v := got[i]
		require.Equal(t, name, v["class"])
		require.Equal(t, "padim", v["method"])
		require.Equal(t, 1.0, v["image_auroc"], "a dark square on even grey is easy for any network")
		for _, key := range []string{"fit_images_per_second", "score_images_per_second", "peak_rss_bytes"} {
			require.Positive(t, v[key], key)
		}
	}
	require.Greater(t, got[0]["pixel_auroc"], 0.9)
	require.Equal(t, true, got[0]["pixel_auroc_exact"])
	require.Contains(t, got[1], "pixel_auroc")
	require.Nil(t, got[1]["pixel_auroc"])
	require.Nil(t, got[1]["pixel_auroc_exact"])
	require.Nil(t, got[1]["aupro"])
	for _, key := range []string{"image_auroc", "image_ap", "image_f1_max", "pixel_auroc", "pixel_ap", "aupro"} {
		if key != "image_f1_max" {
			require.Contains(t, got[0]["intervals"], key)
		}
		require.Greater(t, got[0][key], 0.5, key)
	}
	require.Equal(t, "reference", got[0]["seed"], "the draw of the reference is PaDiM's own")
	require.Contains(t, stdout, "masks: nearest, >= 128")
	require.Contains(t, stdout, "Escape: defects that would be shipped")
	beta := regexp.MustCompile(`(?m)^ *beta .*$`).FindString(stdout)
	require.Regexp(t, `beta +100\.00 +\[100\.0, 100\.0\] +- +- `, beta, "no masks, no figures of pixels")

	size := func(parts ...string) image.Point {
		f, err := os.Open(filepath.Join(append([]string{maps}, parts...)...))
		require.NoError(t, err)
		defer f.Close()
		img, err := png.Decode(f)
		require.NoError(t, err)
		return img.Bounds().Size()
	}
	// Four panels, a title and a caption, and the legend; one size for all.
	want := size("alpha", "hole", "1.png")
	require.Greater(t, want.X, 4*224)
	require.Greater(t, want.Y, 224)
	require.Equal(t, want, size("alpha", "good", "0.png"))
	require.Equal(t, want, size("beta", "hole", "0.png"))
}

func TestEvaluateOneOfTwoClassesFails(t *testing.T) {
	root := t.TempDir()
	class(t, root, "alpha", true)
	class(t, root, "beta", true)
	bad := filepath.Join(root, "alpha", "test", "hole", "1.png")
	b, err := os.ReadFile(bad)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(bad, b[:len(b)/2], 0o666))
	jsonFile := filepath.Join(t.TempDir(), "out.json")
	stdout, stderr, err := evaluateDark(t, t.Context(), newDark(), "-data", root, "-json", jsonFile)
	require.ErrorIs(t, err, dataset.ErrDecode)
	require.ErrorContains(t, err, "1 of 2 classes failed (alpha)")
	require.ErrorContains(t, err, "test/hole/1.png")
	require.Contains(t, stderr, "class alpha failed")
	require.Contains(t, stdout, "beta")
	lines, err := os.ReadFile(jsonFile)
	require.NoError(t, err)
	require.Equal(t, 1, strings.Count(string(lines), "\n"))
	require.Contains(t, string(lines), `"class":"beta"`)
}

func TestEvaluateRefuses(t *testing.T) {
	root := t.TempDir()
	class(t, root, "alpha", true)
	class(t, root, "onlygood", true)
	require.NoError(t, os.RemoveAll(filepath.Join(root, "onlygood", "test", "hole")))
	class(t, root, "onlybad", true)
	require.NoError(t, os.RemoveAll(filepath.Join(root, "onlybad", "test", "good")))
	class(t, root, "fewmasks", true)
	require.NoError(t, os.Remove(filepath.Join(root, "fewmasks", "ground_truth", "hole", "1_mask.png")))
	class(t, root, "onetrain", true)
	for _, n := range []string{"1.png", "2.png", "3.png"} {
		require.NoError(t, os.Remove(filepath.Join(root, "onetrain", "train", "good", n)))
	}
	class(t, root, "bigmask", true)
	mask := filepath.Join(root, "bigmask", "ground_truth", "hole", "0_mask.png")
	f, err := os.Create(mask)
	require.NoError(t, err)
	require.NoError(t, png.Encode(f, image.NewGray(image.Rect(0, 0, 41, 32))))
	require.NoError(t, f.Close())
	lies := filepath.Join(root, "lies.safetensors")
	require.NoError(t, os.WriteFile(lies, []byte("\xff\xff\xff\xff\xff\xff\xff\xff{}"), 0o666))

	class(t, root, "notrain", true)
	require.NoError(t, os.RemoveAll(filepath.Join(root, "notrain", "train")))
	class(t, root, "notest", true)
	require.NoError(t, os.RemoveAll(filepath.Join(root, "notest", "test")))

	type refusal struct {
		args []string
		is   error
		says string
	}
	refuses := func(cases map[string]refusal, run func(args ...string) (string, string, error)) {
		for name, c := range cases {
			stdout, _, err := run(c.args...)
			require.Error(t, err, name)
			require.ErrorContains(t, err, c.says, name)
			require.NotContains(t, err.Error(), "\n", name)
			if c.is != nil {
				require.ErrorIs(t, err, c.is, name)
			}
			require.Empty(t, stdout, name)
		}
	}
	// What is wrong with flags, folders and images does not depend on the method.
	one := func(class string, more ...string) []string {
		return append([]string{"-data", root, "-class", class}, more...)
	}
	refuses(map[string]refusal{
		"no data":        {nil, errUsage, "-data is missing"},
		"empty data":     {[]string{"-data", ""}, errUsage, "-data"},
		"same data":      {[]string{"-data", root, "-data", root + "/."}, errUsage, "two folders " + filepath.Base(root) + ", and results are told apart by the last part of the path: rename one"},
		"method":         {one("alpha", "-method", "guess"), errUsage, "-method guess is not known"},
		"method twice":   {one("alpha", "-method", "dark"), errUsage, "-method dark is named twice"},
		"stray argument": {one("alpha", "more"), errUsage, `"more" is not a flag`},
		"unknown flag":   {one("alpha", "-fast"), errUsage, "-fast"},
		"device":         {one("alpha", "-device", "tpu"), nil, `device "tpu"`},
		"class twice":    {one("alpha,beta,alpha"), errUsage, "-class alpha is named twice"},
		"empty class":    {one("alpha,,beta"), errUsage, "a name is empty"},
		"seeds":          {one("alpha", "-seeds", "0"), evaluate.ErrSeed, "0 of them"},
		"seed":           {one("alpha", "-seed", "-3"), evaluate.ErrSeed, `"-3"`},
		"seed and seeds": {one("alpha", "-seed", "3", "-seeds", "2"), errUsage, "both given"},
		"rule":           {one("alpha", "-cut", "overkill:2"), metrics.ErrRange, "Rate is 2"},
		"epochs":         {one("alpha", "-epochs", "3"), errUsage, "none of the methods dark trains"},
		"shots":          {one("alpha", "-shots", "3"), errUsage, "none of the methods dark learns from few"},
		"below zero":     {one("alpha", "-epochs", "-3"), errUsage, "-epochs is -3"},
		"resume":         {one("alpha", "-resume"), errUsage, "-resume needs -json"},
		"json folder":    {one("alpha", "-json", filepath.Join(root, "none", "x.json")), os.ErrNotExist, "x.json"},
		"no such class":  {one("gamma"), dataset.ErrLayout, "gamma"},
		"no such root":   {[]string{"-data", filepath.Join(root, "none")}, os.ErrNotExist, "none"},
		"only good":      {one("onlygood"), metrics.ErrOneClass, "all 2 test images are good"},
		"only bad":       {one("onlybad"), metrics.ErrOneClass, "none of the 2 test images is good"},
		"no training":    {one("notrain"), dataset.ErrLayout, "train"},
		"no test":        {one("notest"), dataset.ErrLayout, "test"},
		"few masks":      {one("fewmasks"), dataset.ErrMask, "1 of 2 defective test images have no mask"},
		"mask size":      {one("bigmask"), dataset.ErrMask, "0_mask.png"},
	}, func(args ...string) (string, string, error) { return evaluateDark(t, t.Context(), newDark(), args...) })

	refuses(map[string]refusal{
		"no weights":     {[]string{"-data", root}, errUsage, "-weights is missing"},
		"random weights": {one("alpha", "-weights", "random:x"), errUsage, "random:x"},
		"no weight file": {one("alpha", "-weights", lies+"x", "-device", "cpu"), os.ErrNotExist, "lies.safetensorsx"},
		"lying weights":  {one("alpha", "-weights", lies, "-device", "cpu"), nil, "lies.safetensors"},
		"one image":      {one("onetrain", "-weights", "random", "-device", "cpu"), downstream.ErrTooFewImages, "have 1, a covariance needs 2 or more"},
	}, func(args ...string) (string, string, error) { return evaluateArgs(t, args...) })

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err = evaluateDark(t, ctx, newDark(), one("alpha")...)
	require.ErrorIs(t, err, context.Canceled)
}
