package metrics_test

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/metrics"
)

func column(values ...float64) (rows [][]float64) {
	for _, v := range values {
		rows = append(rows, []float64{v})
	}
	return rows
}

// Five points on a line, of which the picture has moved the third and the last.
func TestTrustworthinessByHand(t *testing.T) {
	truth := column(0, 1.1, 2, 3, 4)
	shown := column(0, 1.1, 4, 3, 1.9)
	// Ranks in truth of the nearest shown: 0 has 1 (1); 1 has 4 at 0.8 (4); 2 has 3 at 1
	// (2: after 1 at 0.9); 3 has 2 at 1 (1: 2 and 4 both lie at 1, 2 comes first); 4 has 1 at
	// 0.8 (3). So the sum of r - k is 0 + 3 + 1 + 0 + 2 = 6, and 2/(5 (10 - 3 - 1)) times it 0.4.
	got, err := metrics.Trustworthiness(t.Context(), truth, shown, 1)
	require.NoError(t, err)
	require.InDelta(t, 0.6, got, 1e-15)
	got, err = metrics.Trustworthiness(t.Context(), truth, truth, 2)
	require.NoError(t, err)
	require.Equal(t, 1.0, got)
}

// Two classes on a line. By hand: of 0, a = 2, b = (9+11)/2 = 10, so 0.8; of 2, a = 2,
// b = 8: 0.75; of 9, a = 2, b = (9+7)/2 = 8: 0.75; of 11, a = 2, b = 10: 0.8.
func TestSilhouetteByHand(t *testing.T) {
	rows, class := column(0, 2, 9, 11), []int{7, 7, -1, -1}
	got, err := metrics.Silhouette(t.Context(), rows, class)
	require.NoError(t, err)
	require.InDelta(t, (0.8+0.75+0.75+0.8)/4, got, 1e-15)
	// A class of its own counts 0, and so does a point at whose place all are.
	got, err = metrics.Silhouette(t.Context(), column(0, 2, 10), []int{1, 1, 2})
	require.NoError(t, err)
	require.InDelta(t, (0.8+0.75+0)/3, got, 1e-15)
	got, err = metrics.Silhouette(t.Context(), column(3, 3, 3, 3), []int{1, 1, 2, 2})
	require.NoError(t, err)
	require.Equal(t, 0.0, got)
}

// Of three points of class 0 and two of class 1, with k = 1: 0 has 1 (right), 1 has 0
// (right), 5 has 6 (wrong), 6 has 5 (wrong), 9 has 6 (right): 2/3 and 1/2.
func TestNeighbourAccuracyByHand(t *testing.T) {
	rows, class := column(0, 1, 5, 6, 9), []int{0, 0, 0, 1, 1}
	got, err := metrics.NeighbourAccuracy(t.Context(), rows, class, 1)
	require.NoError(t, err)
	require.InDelta(t, (2.0/3+1.0/2)/2, got, 1e-15)
	// With k = 2 the votes of 5 (6 and then 9 or 1, both at 4: 1 comes first) are one each, and
	// the nearer decides: wrong. 0 has 1 and 5, 1 has 0 and 5: right. 6 has 5 and 9: the
	// nearer is wrong. 9 has 6 and 5: right.
	got, err = metrics.NeighbourAccuracy(t.Context(), rows, class, 2)
	require.NoError(t, err)
	require.InDelta(t, (2.0/3+1.0/2)/2, got, 1e-15)
}

// slowTrust sorts all neighbours of each point, twice.
func slowTrust(truth, shown [][]float64, k int) float64 {
	n := len(truth)
	order := func(rows [][]float64, i int) []int {
		var at []int
		for j := range rows {
			if j != i {
				at = append(at, j)
			}
		}
		d := func(j int) float64 {
			sum := 0.0
			for c := range rows[i] {
				sum += (rows[i][c] - rows[j][c]) * (rows[i][c] - rows[j][c])
			}
			return sum
		}
		slices.SortStableFunc(at, func(a, b int) int {
			switch {
			case d(a) < d(b):
				return -1
			case d(a) > d(b):
				return 1
			}
			return 0
		})
		return at
	}
	sum := 0
	for i := range n {
		real := order(truth, i)
		for _, j := range order(shown, i)[:k] {
			if r := slices.Index(real, j) + 1; r > k {
				sum += r - k
			}
		}
	}
	return 1 - 2/float64(n*k*(2*n-3*k-1))*float64(sum)
}

func scattered(rng *rand.Rand, n, dim int, ties bool) [][]float64 {
	rows := make([][]float64, n)
	for i := range rows {
		for range dim {
			v := rng.NormFloat64()
			if ties {
				v = math.Round(v)
			}
			rows[i] = append(rows[i], v)
		}
	}
	return rows
}

func TestTrustworthinessEqualToItsDefinition(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	for _, n := range []int{3, 10, 65, 130} {
		for _, ties := range []bool{false, true} {
			truth, shown := scattered(rng, n, 4, ties), scattered(rng, n, 2, ties)
			for _, k := range []int{1, 4, (n - 1) / 2} {
				if 2*k < n {
					got, err := metrics.Trustworthiness(t.Context(), truth, shown, k)
					require.NoError(t, err)
					require.InDelta(t, slowTrust(truth, shown, k), got, 1e-12, "n %d, k %d", n, k)
				}
			}
		}
	}
}

// A picture that turns the ranking around is as bad as can be.
func TestTrustworthinessAtWorst(t *testing.T) {
	// Of points on a circle in truth, the shown neighbours are the opposite ones.
	const n = 40
	var truth, shown [][]float64
	for i := range n {
		a := 2 * math.Pi * float64(i) / n
		truth = append(truth, []float64{math.Cos(a), math.Sin(a)})
		a *= n/2 - 1 // neighbours there differ by a number whose multiple by 19 is one more or less modulo 40
		shown = append(shown, []float64{math.Cos(a), math.Sin(a)})
	}
	got, err := metrics.Trustworthiness(t.Context(), truth, shown, 2)
	require.NoError(t, err)
	require.InDelta(t, slowTrust(truth, shown, 2), got, 1e-12)
	require.Less(t, got, 0.1)
	require.GreaterOrEqual(t, got, 0.0)
}

// scikit-learn says the same of the same points; the script beside the fixture made it.
func TestNeighbourhoodsEqualToScikitLearn(t *testing.T) {
	var cases []struct {
		Truth, Shown [][]float64
		Class        []int
		Trust        map[string]float64
		Silhouette   float64
		Accuracy     map[string]float64
	}
	readParity(t, "neighbourhood_parity.json", &cases)
	require.Len(t, cases, 3)
	for _, c := range cases {
		for _, k := range []int{1, 5, 12} {
			name := string(rune('0' + k%10))
			got, err := metrics.Trustworthiness(t.Context(), c.Truth, c.Shown, k)
			require.NoError(t, err)
			require.InDelta(t, c.Trust[name], got, 1e-12)
			if want, ok := c.Accuracy[name]; ok {
				got, err = metrics.NeighbourAccuracy(t.Context(), c.Truth, c.Class, k)
				require.NoError(t, err)
				require.InDelta(t, want, got, 1e-12)
			}
		}
		got, err := metrics.Silhouette(t.Context(), c.Truth, c.Class)
		require.NoError(t, err)
		require.InDelta(t, c.Silhouette, got, 1e-12)
	}
}

func TestNeighbourhoodsRefuse(t *testing.T) {
	ctx := t.Context()
	rows, class := column(0, 1, 2, 3, 4), []int{0, 0, 1, 1, 1}
	var none context.Context
	ended, cancel := context.WithCancel(ctx)
	cancel()
	trust := func(ctx context.Context, a, b [][]float64, k int) error {
		_, err := metrics.Trustworthiness(ctx, a, b, k)
		return err
	}
	require.ErrorIs(t, trust(ctx, rows, rows[1:], 1), metrics.ErrLength)
	require.ErrorIs(t, trust(ctx, nil, nil, 1), metrics.ErrEmpty)
	require.ErrorIs(t, trust(ctx, rows, rows, 0), metrics.ErrRange)
	require.ErrorIs(t, trust(ctx, rows, rows, 3), metrics.ErrRange)
	require.ErrorIs(t, trust(ctx, rows, column(0, 1, 2, math.NaN(), 4), 1), metrics.ErrNaN)
	require.ErrorIs(t, trust(ctx, column(0, 1, 2, math.Inf(1), 4), rows, 1), metrics.ErrRange)
	require.ErrorIs(t, trust(ctx, [][]float64{{1}, {1, 2}, {3}}, rows[:3], 1), metrics.ErrLength)
	require.ErrorIs(t, trust(none, rows, rows, 1), metrics.ErrRange)
	require.ErrorIs(t, trust(ended, rows, rows, 1), context.Canceled)

	_, err := metrics.Silhouette(ctx, rows, class[1:])
	require.ErrorIs(t, err, metrics.ErrLength)
	_, err = metrics.Silhouette(ctx, rows, make([]int, 5))
	require.ErrorIs(t, err, metrics.ErrOneClass)
	_, err = metrics.Silhouette(ended, rows, class)
	require.ErrorIs(t, err, context.Canceled)
	_, err = metrics.NeighbourAccuracy(ctx, rows, class, 5)
	require.ErrorIs(t, err, metrics.ErrRange)
	_, err = metrics.NeighbourAccuracy(ctx, rows, class, 0)
	require.ErrorIs(t, err, metrics.ErrRange)
	_, err = metrics.NeighbourAccuracy(ended, rows, class, 1)
	require.ErrorIs(t, err, context.Canceled)
}
