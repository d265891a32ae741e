package training

import (
	"bytes"
	"context"
	"errors"
	"io"
	"runtime"
	"testing"
	"weak"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/tab/card"
)

// one is a data set of one image.
type one struct{}

func (one) Len() int          { return 1 }
func (one) Classes() []string { return []string{"steel"} }
func (one) Item(int) dataset.Item {
	return dataset.Item{Name: "1.png", Class: "steel", Label: dataset.LabelGood, Defect: dataset.Good}
}
func (one) Sample(context.Context, int) (dataset.Sample, error) {
	return dataset.Sample{}, errors.ErrUnsupported
}

// ofOne are images of which there is one, in the second part.
func ofOne(open func() (io.ReadCloser, error)) *images {
	found := &images{all: one{}, starts: []int{0, 0, 1}, parts: []part{{}, {file: func(i int, it dataset.Item) (card.Image, error) {
		return card.Image{Class: it.Class, Name: it.Name, Open: open}, nil
	}}}}
	found.Data, found.Kept = one{}, []int{0}
	return found
}

// remembered are such images, and what holds their list and the contents of the one.
func remembered() (found *images, list, contents *weak.Pointer[[1 << 10]byte]) {
	found, contents = ofOne(nil), new(weak.Pointer[[1 << 10]byte])
	places := new([1 << 10]byte)
	held := weak.Make(places)
	found.parts[1].file = func(_ int, it dataset.Item) (card.Image, error) {
		bits := *places
		*contents = weak.Make(&bits)
		return card.Image{Class: it.Class, Name: it.Name, Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(bits[:])), nil }}, nil
	}
	return found, &held, contents
}

// What the card needs of each image is not held while a run goes on.
func TestImagesOfTheCardAreForgotten(t *testing.T) {
	found, list, contents := remembered()
	sums, err := found.sums(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, sums[0].Images)
	runtime.GC()
	require.Nil(t, contents.Value(), "the images of the card")
	require.NotNil(t, list.Value(), "where they lie")
	found.forget()
	runtime.GC()
	require.Nil(t, list.Value())
	require.Equal(t, 1, found.Data.Len())
}
