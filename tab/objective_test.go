package tab_test

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/tab"
	"github.com/gotab/gotab/tensor"
)

// Both sides compute in float32; a sum of some dozen products leaves 1e-6.
const objectiveTol = 1e-5

type objectiveCase struct {
	Name             string
	Loss, Accuracy   float64
	Normal, Abnormal []float64
	Scale            float64
}

type objectives struct {
	Cases          []objectiveCase
	Cosine, Rising []float64
}

func loadObjectives(t *testing.T) objectives {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "parity", "objectives.json"))
	require.NoError(t, err)
	var o objectives
	require.NoError(t, json.Unmarshal(b, &o))
	return o
}

// sines is the formula of objectives.py.
func sines(k float64, n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		x := float64(i)
		v[i] = float32(math.Sin(0.7*k + 1.3*x + 0.01*x*x))
	}
	return v
}

func worst(want []float64, got []float32) float64 {
	largest, d := 0.0, 0.0
	for i, w := range want {
		largest = max(largest, math.Abs(w))
		d = max(d, math.Abs(w-float64(got[i])))
	}
	return d / largest
}

// evaluate runs an objective on the fixture's inputs and returns what the fixture
// holds.
func evaluate(t *testing.T, o tab.Alignment) (c objectiveCase, normal, abnormal []float32) {
	t.Helper()
	const b, n, w = 5, 3, 12
	features, head := tensor.NewParams(tensor.CPU), tensor.NewParams(tensor.CPU)
	defer features.Close()
	defer head.Close()
	err := tensor.Run(t.Context(), tensor.CPU, tensor.Training, func(s *tensor.Scope) error {
		fn, fa := s.FromFloats(sines(1, b*w), b, w), s.FromFloats(sines(2, b*w), b, w)
		require.NoError(t, features.Put(s, "normal", fn))
		require.NoError(t, features.Put(s, "abnormal", fa))
		require.NoError(t, o.Setup(s, head, tab.Dims{Classes: n, Pooled: w, Text: w}, nil))
		v := tab.View{Normal: tab.Features{Pooled: fn}, Class: s.FromInts([]int64{0, 2, 1, 1, 0}, b), Params: head,
			NormalText:   s.Normalize(s.FromFloats(sines(3, n*w), n, w), 1, 1e-12),
			AbnormalText: s.Normalize(s.FromFloats(sines(4, n*w), n, w), 1, 1e-12)}
		if o.Needs().Twin {
			v.Abnormal.Pooled = fa
		}
		loss, accuracy := o.Loss(s, v)
		s.Backward(loss)
		var err error
		c.Loss, err = s.Float(loss)
		require.NoError(t, err)
		c.Accuracy, err = s.Float(accuracy)
		require.NoError(t, err)
		c.Scale, err = s.Float(s.Grad(head.Get("objective.scale")))
		require.NoError(t, err)
		normal, err = s.Floats(s.Grad(fn))
		require.NoError(t, err)
		if o.Needs().Twin {
			abnormal, err = s.Floats(s.Grad(fa))
		}
		return err
	})
	require.NoError(t, err)
	return c, normal, abnormal
}

func TestObjectivesEqualPyTorch(t *testing.T) {
	testutil.NoLeak(t)
	of := map[string]tab.Alignment{"paper": tab.Paper(), "official": tab.Official(), "joint": tab.Joint(), "normal": tab.NormalOnly()}
	for _, want := range loadObjectives(t).Cases {
		c, normal, abnormal := evaluate(t, of[want.Name])
		require.InEpsilon(t, want.Loss, c.Loss, objectiveTol, want.Name)
		require.InDelta(t, want.Accuracy, c.Accuracy, objectiveTol, want.Name)
		require.InEpsilon(t, want.Scale, c.Scale, 10*objectiveTol, want.Name)
		require.Less(t, worst(want.Normal, normal), objectiveTol, want.Name)
		if len(want.Abnormal) > 0 {
			require.Less(t, worst(want.Abnormal, abnormal), objectiveTol, want.Name)
		}
	}
	// The quirks matter: the article's form with the code's text bank is another loss.
	o := tab.Official()
	o.Form = tab.FormPaper
	c, _, _ := evaluate(t, o)
	require.Greater(t, math.Abs(c.Loss-loadObjectives(t).Cases[1].Loss), 0.01)
}

func TestTemperatureIsBounded(t *testing.T) {
	testutil.NoLeak(t)
	a := tab.Joint()
	a.Scale, a.Limit = 20, 20
	atLimit, _, _ := evaluate(t, a)
	a.Scale, a.Limit = 20, 0
	free, _, _ := evaluate(t, a)
	require.InDelta(t, free.Loss, atLimit.Loss, 1e-4)
	require.Error(t, tab.Alignment{Form: tab.FormJoint, Scale: 200, Limit: 100}.Validate())
}
