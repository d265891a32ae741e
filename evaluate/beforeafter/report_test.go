package beforeafter

import (
	"bytes"
	"image/png"
	"math/rand/v2"
	"os"
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
	r.Average()
	require.Contains(t, r.Sentence(), "lost 5.0 points of image AUROC and gained 2.5 of pixel AUROC")
	var b strings.Builder
	require.NoError(t, r.WriteTable(&b))
	require.Contains(t, b.String(), "mean")
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
		require.NoError(t, err)
		require.NoError(t, net.Close())
	}
	test := dataset.Only(images, p.Class, dataset.Test)
	require.Len(t, p.Before.Scored, test.Len())
	for i := range test.Len() {
		s, err := test.Sample(t.Context(), i)
		require.NoError(t, err)
		p.Images = append(p.Images, s.Image)
	}
	r := Report{Title: "a title", Heading: "a heading", Line: "two networks", Products: []Product{p}}
	r.Average()
	var page, sheet bytes.Buffer
	require.NoError(t, r.WritePage(&page))
	for _, says := range []string{"<title>a title</title>", "<h1>a heading</h1>", "two networks", "<h2>" + p.Class + "</h2>"} {
		require.Contains(t, page.String(), says)
	}
	require.NotContains(t, page.String(), "ZgotmplZ")
	require.NoError(t, r.WriteSheet(&sheet))
	img, err := png.Decode(&sheet)
	require.NoError(t, err)
	require.Greater(t, img.Bounds().Dx(), 600)
}
