package feed

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSpans(t *testing.T) {
	for _, c := range []struct {
		n, most, workers int
		want             []int
	}{
		{64, 8, 2, []int{8, 8, 8, 8, 8, 8, 8, 8}},
		{10, 8, 2, []int{5, 5}},
		{20, 8, 2, []int{5, 5, 5, 5}},
		{1, 8, 4, []int{1}},
		{3, 8, 4, []int{3}},
		{5, 1, 4, []int{1, 1, 1, 1, 1}},
		{0, 8, 2, nil},
		{17, 8, 1, []int{5, 6, 6}},
	} {
		var got []int
		at := 0
		for _, s := range Spans(c.n, c.most, c.workers) {
			require.Equal(t, at, s[0])
			at = s[1]
			got = append(got, s[1]-s[0])
		}
		require.Equal(t, c.n, at)
		require.Equal(t, c.want, got, "%+v", c)
	}
}
