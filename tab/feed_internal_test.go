package tab

import (
	"context"
	"errors"
	"runtime"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
)

// named are good images of which nothing is in memory.
type named int

func (n named) Len() int        { return int(n) }
func (named) Classes() []string { return []string{"cloth", "steel"} }
func (n named) Item(i int) dataset.Item {
	return dataset.Item{Name: strconv.Itoa(i), Class: n.Classes()[i%2], Label: dataset.LabelGood, Defect: dataset.Good}
}
func (named) Sample(context.Context, int) (dataset.Sample, error) {
	return dataset.Sample{}, errors.ErrUnsupported
}

// A feed has numbers of 8 bytes alone of each image: its places in the order, and its place among those of its class, whose
// lists have grown by a quarter too much at most.
func TestFeedHoldsNumbersAlone(t *testing.T) {
	const images, repeat = 100_000, 3
	cfg := DefaultConfig()
	cfg.Repeat = repeat
	p := &Pretrainer{cfg: cfg, classes: []string{"cloth", "steel"}}
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	f, err := p.newFeed(named(images), 0)
	require.NoError(t, err)
	held := heap() - before
	require.Equal(t, images*repeat, len(f.order))
	require.Less(t, held, int64(images*(8*repeat+10+1)))
	runtime.KeepAlive(f)
}
