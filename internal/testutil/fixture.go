package testutil

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"sort"
	"testing"
)

// Reference is one array of a fixture: what another program computed.
type Reference struct {
	Shape  []int64   `json:"shape"`
	Values []float64 `json:"values"`
}

// minSpread is the least range of values that a fixture may have: one that is
// nearly constant would be matched by wrong results.
const minSpread = 0.1

// Fixture reads a JSON object of named arrays and checks that each of them can
// tell a right result from a wrong one.
func Fixture(t testing.TB, path string) map[string]Reference {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var refs map[string]Reference
	if err := json.Unmarshal(b, &refs); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	if len(refs) == 0 {
		t.Fatalf("%s holds no arrays", path)
	}
	names := make([]string, 0, len(refs))
	for n := range refs {
		names = append(names, n)
	}
	sort.Strings(names)
	for _, n := range names {
		if s := refs[n].spread(); !(s >= minSpread) {
			t.Fatalf("%s: %s: values spread by %g only, want at least %g", path, n, s, minSpread)
		}
	}
	return refs
}

// spread is the range of the values, or the size of a single one.
func (r Reference) spread() float64 {
	if len(r.Values) == 1 {
		return math.Abs(r.Values[0])
	}
	low, high := math.Inf(1), math.Inf(-1)
	for _, v := range r.Values {
		low, high = math.Min(low, v), math.Max(high, v)
	}
	return high - low
}

// Compare returns an error unless shape is the reference's and every value is
// within tol times the reference's largest absolute value of its own.
func (r Reference) Compare(shape []int64, got []float32, tol float64) error {
	if fmt.Sprint(shape) != fmt.Sprint(r.Shape) {
		return fmt.Errorf("shape %v, want %v", shape, r.Shape)
	}
	if len(got) != len(r.Values) {
		return fmt.Errorf("%d values, want %d", len(got), len(r.Values))
	}
	largest := 0.0
	for _, v := range r.Values {
		largest = math.Max(largest, math.Abs(v))
	}
	worst, at := 0.0, -1
	for i, v := range got {
		d := math.Abs(float64(v) - r.Values[i])
		if math.IsNaN(d) || d > worst {
			worst, at = d, i
		}
		if math.IsNaN(d) {
			break
		}
	}
	if !(worst <= tol*largest) {
		return fmt.Errorf("value %d is %g, want %g: off by %.3g, allowed %.3g", at, got[at], r.Values[at], worst, tol*largest)
	}
	return nil
}
