package testutil

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// Of six orders each size comes first in one, and each order has all sizes.
func TestOrdersBeginWithEverySize(t *testing.T) {
	first := map[int]int{}
	for _, o := range drawOrders(12) {
		first[o.sizes[0]]++
		s := slices.Clone(o.sizes)
		slices.Sort(s)
		require.Equal(t, []int{0, 1, 2, 3, 4, 5}, s)
	}
	require.Len(t, first, len(mixed))
	for k, n := range first {
		require.Equal(t, 2, n, mixed[k])
	}
}

// A size that one order makes slower stands out, with that order; a disturbance
// that does not last does not.
func TestTheSlowOrderIsFound(t *testing.T) {
	all := drawOrders(3)
	for i, o := range all {
		for round := range 3 {
			for k := range mixed {
				c := cost{wall: 1, cpu: 2}
				if i == 1 && k == 4 {
					c = cost{wall: 1.5, cpu: 2.6}
				}
				if round == i { // the machine is busy
					c.wall, c.cpu = 9*c.wall, 9*c.cpu
				}
				o.least[k].take(c)
			}
		}
	}
	for _, c := range cells(all) {
		if c.size == 4 {
			require.InDelta(t, 1.5, c.ratio().wall, 1e-12)
			require.InDelta(t, 1.3, c.ratio().cpu, 1e-12)
			require.Same(t, all[1], c.order)
			continue
		}
		require.Equal(t, cost{wall: 1, cpu: 1}, c.ratio())
	}
}
