package beforeafter

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image/png"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/dataset/drawn"
	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/tensor"
)

func TestMain(m *testing.M) { os.Exit(testutil.OneThread(m)) }

func TestTableIsHonest(t *testing.T) {
	r := Report{Products: []Product{{Class: "bolt", Before: Verdict{Image: 0.9, Pixel: 0.8}, After: Verdict{Image: 0.85, Pixel: 0.825}}}}
	require.Equal(t, r.Sentence(), `Against "before", "after" lost 5.0 points of image AUROC and gained 2.5 of pixel AUROC.`)
	r.Before, r.After, r.Change = "ImageNet", "the plant's own", "Against ImageNet, the plant's images"
	require.Contains(t, r.Sentence(), "Against ImageNet, the plant's images lost 5.0 points of image AUROC and gained 2.5 of pixel AUROC")
	var b strings.Builder
	require.NoError(t, r.WriteTable(&b))
	require.Regexp(t, `\n +ImageNet the plant's own   ImageNet the plant's own\nbolt +90\.0 +85\.0 +80\.0 +82\.5\nmean +90\.0 +85\.0 +80\.0 +82\.5\n`, b.String())
	require.NotContains(t, b.String(), "random")
	require.ErrorIs(t, new(Report).WriteTable(&b), ErrReport)
	require.ErrorIs(t, r.WritePage(&b), ErrReport, "no image was scored")
	require.ErrorIs(t, r.WriteSheet(&b), ErrReport)
}

// Two networks on a drawn product: the page and the sheet show the same images.
func TestReport(t *testing.T) {
	testutil.NoLeak(t)
	const size = 64
	images, err := drawn.New(t.Context(), drawn.Config{Size: size, Seed: 1, Parts: []drawn.Part{{Split: dataset.Train, Good: 4}, {Split: SplitScale, Good: 2}, {Split: dataset.Test, Each: 1, Balanced: true}}})
	require.NoError(t, err)
	p := Product{Class: images.Classes()[0]}
	for i, v := range []*Verdict{&p.Before, &p.After} {
		net, err := backbone.NewResNet18(tensor.CPU, rand.New(rand.NewPCG(1, uint64(i))))
		require.NoError(t, err)
		*v, err = Judge(t.Context(), net, images, p.Class, size)
		require.NoError(t, net.Close())
		require.NoError(t, err)
	}
	test := dataset.Only(images, p.Class, dataset.Test)
	require.Len(t, p.Before.Scored, test.Len())
	for i := range test.Len() {
		s, err := test.Sample(t.Context(), i)
		require.NoError(t, err)
		p.Images = append(p.Images, s.Image)
	}
	r := Report{Title: "a title", Heading: "a heading", Line: "two networks", Before: "one", After: "another", Products: []Product{p}}
	dir := t.TempDir()
	pageFile, sheetFile, err := r.Save(dir, "both")
	require.NoError(t, err)
	require.Equal(t, [2]string{filepath.Join(dir, "both.html"), filepath.Join(dir, "both.png")}, [2]string{pageFile, sheetFile})
	for _, name := range []string{pageFile, sheetFile} {
		require.FileExists(t, name)
	}
	var page, sheet bytes.Buffer
	require.NoError(t, r.WritePage(&page))
	for _, says := range []string{"<title>a title</title>", "<h1>a heading</h1>", "two networks", "<h2>" + p.Class + "</h2>"} {
		require.Contains(t, page.String(), says)
	}
	require.Contains(t, page.String(), `<th>one</th><th>another</th>`)
	require.Contains(t, page.String(), `alt="map with the another network"`)
	require.Contains(t, page.String(), `>mean</th><td>`+fmt.Sprintf("%.1f", 100*p.Before.Image), "nobody has to ask for means")
	for _, not := range []string{"ZgotmplZ", "random", "pre-train", "Language anchors"} {
		require.NotContains(t, page.String(), not)
	}
	r.About = "What is compared."
	page.Reset()
	require.NoError(t, r.WritePage(&page))
	require.Contains(t, page.String(), "<p>What is compared.</p>")
	require.NoError(t, r.WriteSheet(&sheet))
	img, err := png.Decode(&sheet)
	require.NoError(t, err)
	require.Greater(t, img.Bounds().Dx(), 600)

	// The same number of images is not the same images.
	swapped := slices.Clone(p.After.Scored)
	swapped[0], swapped[1] = swapped[1], swapped[0]
	r.Products[0].After.Scored = swapped
	require.ErrorIs(t, r.WritePage(&page), ErrReport)
	require.ErrorIs(t, r.WriteSheet(&page), ErrReport)

	// Without masks there is no pixel AUROC, and none is made up.
	var bare []dataset.Sample
	for i := range images.Len() {
		s, err := images.Sample(t.Context(), i)
		require.NoError(t, err)
		s.Mask, s.MaskName = nil, ""
		bare = append(bare, s)
	}
	maskless, err := dataset.NewMemory(bare)
	require.NoError(t, err)
	net, err := backbone.NewResNet18(tensor.CPU, rand.New(rand.NewPCG(1, 3)))
	require.NoError(t, err)
	defer net.Close()
	_, err = Judge(t.Context(), net, maskless, p.Class, size)
	require.ErrorIs(t, err, ErrReport)
	require.ErrorContains(t, err, "no masks")
}

// The network is judged, trained and judged again; nothing is kept of a training that failed.
func TestMeasure(t *testing.T) {
	testutil.NoLeak(t)
	const size = 64
	class := drawn.Classes()[0]
	images, err := drawn.New(t.Context(), drawn.Config{Classes: []string{class}, Size: size, Seed: 1, Parts: []drawn.Part{{Split: dataset.Train, Good: 4}, {Split: SplitScale, Good: 2}, {Split: dataset.Test, Each: 1, Balanced: true}}})
	require.NoError(t, err)
	net, err := backbone.NewResNet18(tensor.CPU, rand.New(rand.NewPCG(1, 0)))
	require.NoError(t, err)
	defer net.Close()
	r := Report{Before: "random"}
	broken := errors.New("no luck")
	require.ErrorIs(t, r.Measure(t.Context(), net, images, size, func(context.Context) error { return broken }, nil), broken)
	require.Empty(t, r.Products)

	var told []string
	train := func(ctx context.Context) error {
		told = append(told, "train")
		return net.ScaleChannels(ctx, backbone.Layer1, slices.Repeat([]float32{4}, 64))
	}
	require.NoError(t, r.Measure(t.Context(), net, images, size, train, func(network, class string, v Verdict) {
		require.NotEmpty(t, v.Scored)
		told = append(told, network+" "+class)
	}))
	require.Equal(t, []string{"random " + class, "train", "after " + class}, told)
	require.Len(t, r.Products, 1)
	p := r.Products[0]
	require.Len(t, p.Images, dataset.Only(images, class, dataset.Test).Len())
	require.NotEqual(t, p.Before.Scored[0].Score, p.After.Scored[0].Score, "the network has changed")
	require.NoError(t, r.check())
	require.ErrorIs(t, r.Measure(t.Context(), net, images, size, nil, nil), ErrReport)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, r.Measure(ctx, net, images, size, train, nil), context.Canceled)
	require.Equal(t, p.Class, r.Products[0].Class)
}
