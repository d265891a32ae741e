package downstream

import (
	"encoding/json"
	"fmt"
	"hash/crc32"
	"image"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/downstream/internal/engine"
	"github.com/gotab/gotab/downstream/internal/feed"
	"github.com/gotab/gotab/downstream/internal/network"
	"github.com/gotab/gotab/downstream/internal/rd4ad"
	"github.com/gotab/gotab/downstream/internal/train"
	"github.com/gotab/gotab/internal/layers"
	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/tensor"
)

// rd4adTolerance is what float32 may differ from float64 relative to the largest
// value of an array, after a training step of some twenty convolutions.
const rd4adTolerance = 1e-4

// rd4adCase is a network of testdata/parity/rd4ad.py with what came out of it.
type rd4adCase struct {
	Channels, Decoder []int
	Width, OCE        int
	Losses            []float64
	LossPositions     float64 `json:"loss_positions"`
	Trained, Rebuilt  [][]float64
	Names             []string
	Steps             [][][]float64
	Maps, Scores      []float64
	Chance            float64
}

const rd4adImages, rd4adRows, rd4adColumns = 4, 16, 24

// shapes are those of the maps of the layers.
func (c rd4adCase) shapes() (out []network.MapShape) {
	for k, n := range c.Channels {
		out = append(out, network.MapShape{H: rd4adRows >> k, W: rd4adColumns >> k, C: n})
	}
	return out
}

// Channels and Forward make a case an extractor that gives the formula's maps,
// whatever it sees.
type formulaExtractor struct{ rd4adCase }

func (formulaExtractor) Device() tensor.Device { return tensor.CPU }

func (e formulaExtractor) Channels(l backbone.Layer) int {
	if l < backbone.Layer1 || l > backbone.Layer3 {
		return 0
	}
	return e.rd4adCase.Channels[l-backbone.Layer1]
}

func (e formulaExtractor) Forward(s *tensor.Scope, x *tensor.Tensor, at ...backbone.Layer) (out []*tensor.Tensor) {
	for _, l := range at {
		m := e.shapes()[l-backbone.Layer1]
		n := x.Size(0) * int64(m.Len())
		out = append(out, s.ReLU(s.FromFloats(testutil.Draw(l.String(), n), x.Size(0), int64(m.C), int64(m.H), int64(m.W))))
	}
	return out
}

// teacher keeps the formula's maps of all images.
func (e formulaExtractor) teacher(t *testing.T) *train.Frozen {
	f := &train.Frozen{N: rd4adImages, Shapes: e.shapes(), Kept: tensor.NewParams(tensor.CPU)}
	t.Cleanup(func() { require.NoError(t, f.Close()) })
	images := make([][]float32, rd4adImages)
	require.NoError(t, tensor.Run(t.Context(), tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
		for _, m := range e.Forward(s, s.Zeros(rd4adImages, 3, 1, 1), backbone.Layer1, backbone.Layer2, backbone.Layer3) {
			for i := range images {
				v, err := s.Floats(s.Permute(s.Select(m, 0, int64(i)), 1, 2, 0))
				if err != nil {
					return err
				}
				images[i] = append(images[i], v...)
			}
		}
		return nil
	}))
	for _, v := range images {
		require.NoError(t, f.Keep(t.Context(), v))
	}
	return f
}

// formulaStudent returns a detector for the case and a student with the formula's
// weights.
func formulaStudent(t *testing.T, c rd4adCase, change func(*RD4ADConfig)) (*RD4AD, *rd4ad.Student) {
	cfg := DefaultRD4AD()
	cfg.Blocks = RD4ADBlocks{Width: c.Width, OCE: c.OCE, Decoder: c.Decoder}
	cfg.Epochs = 1
	if change != nil {
		change(&cfg)
	}
	p, err := newRD4AD(formulaExtractor{c}, cfg, [2]uint64{1, 2})
	require.NoError(t, err)
	net, err := rd4ad.New(t.Context(), p.core.Dev, p.channels(), rd4ad.Blocks(p.cfg.Blocks), func(u *layers.ConvNorm) (arrays []tensor.Array, err error) {
		for _, sp := range u.Specs() {
			a := tensor.IntArray(sp.Name, []int64{0})
			if sp.DType() == tensor.Float32 {
				a = tensor.FloatArray(sp.Name, testutil.DrawParameter(sp.Name, sp.Shape), sp.Shape...)
			}
			arrays = append(arrays, a)
		}
		return arrays, nil
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, net.Params.Close()) })
	return p, net
}

// kept returns the values that the script keeps of an array.
func kept(v []float32) (out []float64) {
	step := max(1, len(v)/24) | 1
	if step%3 == 0 {
		step += 2
	}
	for i := 0; i < len(v); i += step {
		out = append(out, float64(v[i]))
	}
	return out
}

// parameters returns some values of each of the named parameters.
func parameters(t *testing.T, net *rd4ad.Student, names []string) (out [][]float64) {
	require.NoError(t, tensor.Run(t.Context(), tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
		for _, n := range names {
			v, err := s.Floats(net.Params.Get(n))
			if err != nil {
				return err
			}
			out = append(out, kept(v))
		}
		return nil
	}))
	return out
}

// rebuilt runs a student in a mode and returns values of each of its maps.
func rebuilt(t *testing.T, teacher *train.Frozen, mode tensor.Mode, run func(s *tensor.Scope, maps []*tensor.Tensor) []*tensor.Tensor) (out [][]float64) {
	maps, err := teacher.Load(t.Context(), []int{0, 1, 2, 3})
	require.NoError(t, err)
	require.NoError(t, tensor.Run(t.Context(), tensor.CPU, mode, func(s *tensor.Scope) error {
		for _, m := range run(s, maps.Tensors(s)) {
			v, err := s.Floats(m)
			if err != nil {
				return err
			}
			out = append(out, kept(v))
		}
		return nil
	}))
	return out
}

// off returns the largest difference relative to want's largest value.
func off(t *testing.T, want, got []float64) float64 {
	require.Len(t, got, len(want))
	top, diff := 0.0, 0.0
	for i, w := range want {
		require.False(t, math.IsNaN(got[i]))
		top, diff = max(top, math.Abs(w)), max(diff, math.Abs(w-got[i]))
	}
	return diff / top
}

func rd4adFixture(t *testing.T) (cases map[string]rd4adCase, structure map[string]struct {
	Values int64
	CRC    uint32
}) {
	raw, err := os.ReadFile(filepath.Join("testdata", "parity", "rd4ad.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(raw, &struct {
		Cases     *map[string]rd4adCase
		Structure any
	}{&cases, &structure}))
	return cases, structure
}

// trained trains the formula's student for so many steps and returns the losses.
func trained(t *testing.T, p *RD4AD, net *rd4ad.Student, teacher *train.Frozen, steps int) (losses []float64) {
	p.cfg.Epochs = steps
	p.core.Options.Progress = func(r engine.Progress) { losses = append(losses, r.Loss) }
	require.NoError(t, p.train(t.Context(), net, teacher))
	require.Len(t, losses, steps)
	return losses
}

// secondStep returns how far the second step of Adam is from the script's: the
// root mean square of the differences relative to that of the steps.
//
// It is not held value by value: Adam's first step has the size of the rate
// whatever the gradient's, so that where a gradient is zero but for rounding the
// direction is chance, and the second gradient is that of other weights. How far
// that takes PyTorch in float32 the fixture says as "chance"; chanceFactor times
// that is allowed here.
func secondStep(t *testing.T, c rd4adCase, got [][]float64) float64 {
	diff, size := 0.0, 0.0
	for i, n := range c.Names {
		if strings.Contains(n, "running") {
			continue
		}
		require.Len(t, got[i], len(c.Steps[1][i]))
		for k, v := range got[i] {
			diff += math.Pow(v-c.Steps[1][i][k], 2)
			size += math.Pow(c.Steps[1][i][k]-c.Steps[0][i][k], 2)
		}
	}
	return math.Sqrt(diff / size)
}

const chanceFactor = 3

// formulaModel completes a student as a Fit does.
func formulaModel(t *testing.T, p *RD4AD, net *rd4ad.Student, shapes []network.MapShape) *distilled {
	g, err := p.complete(t.Context(), &distilled{net: net, shapes: shapes,
		state: state{Model: engine.Model{Params: tensor.NewParams(tensor.CPU), GridH: rd4adRows, GridW: rd4adColumns, InH: 4 * rd4adRows, InW: 4 * rd4adColumns}}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, g.Free()) })
	return g
}

func TestRD4ADEqualsPyTorch(t *testing.T) {
	cases, _ := rd4adFixture(t)
	require.Len(t, cases, 2)
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			testutil.NoLeak(t)
			teacher := formulaExtractor{c}.teacher(t)
			each := func(want, got [][]float64, of string) {
				require.Len(t, got, len(want))
				for i := range want {
					d := off(t, want[i], got[i])
					t.Logf("%s %d: %.1e", of, i, d)
					require.LessOrEqual(t, d, rd4adTolerance, "%s %d", of, i)
				}
			}
			p, net := formulaStudent(t, c, nil)
			g := formulaModel(t, p, net, teacher.Shapes)
			each(c.Rebuilt, rebuilt(t, teacher, tensor.Evaluation, g.folded.Forward), "map in evaluation")
			maps, scores := scoredByFormula(t, p, g)
			each([][]float64{c.Maps, c.Scores}, [][]float64{maps, scores}, "maps and scores")

			p, net = formulaStudent(t, c, func(c *RD4ADConfig) { c.PerPosition = true })
			each(c.Trained, rebuilt(t, teacher, tensor.Training, func(s *tensor.Scope, maps []*tensor.Tensor) []*tensor.Tensor {
				return net.Forward(s, maps, true)
			}), "map in training")
			require.InEpsilon(t, c.LossPositions, trained(t, p, net, teacher, 1)[0], rd4adTolerance)

			p, net = formulaStudent(t, c, nil)
			require.InEpsilon(t, c.Losses[0], trained(t, p, net, teacher, 1)[0], rd4adTolerance)
			each(c.Steps[0], parameters(t, net, c.Names), "parameter after a step")

			p, net = formulaStudent(t, c, nil)
			losses := trained(t, p, net, teacher, 2)
			require.InEpsilonSlice(t, c.Losses, losses, 10*rd4adTolerance)
			second := secondStep(t, c, parameters(t, net, c.Names))
			t.Logf("second step: %.1e", second)
			require.LessOrEqual(t, second, chanceFactor*c.Chance)
		})
	}
}

// scoredByFormula scores the images, for which the extractor gives the
// formula's maps, and returns the values that the script keeps.
func scoredByFormula(t *testing.T, p *RD4AD, g *distilled) (values, scores []float64) {
	b := &feed.Batch{N: rd4adImages, Pixels: make([]float32, rd4adImages*g.InH*g.InW*3)}
	out := make([]Result, b.N)
	for i := range out {
		out[i].Map = Map{W: g.InW, H: g.InH, Data: make([]float32, g.InW*g.InH)}
	}
	require.NoError(t, p.score(t.Context(), g, b, out))
	for _, r := range out {
		for y := 0; y < r.Map.H; y += 11 {
			for x := 0; x < r.Map.W; x += 13 {
				values = append(values, float64(r.Map.At(x, y)))
			}
		}
		scores = append(scores, r.Score)
	}
	return values, scores
}

// Wrong settings would go unnoticed if the fixture could not tell.
func TestRD4ADFixtureSeesWrongSettings(t *testing.T) {
	testutil.NoLeak(t)
	cases, _ := rd4adFixture(t)
	c := cases["basic"]
	teacher := formulaExtractor{c}.teacher(t)
	for name, change := range map[string]func(*RD4ADConfig){
		"loss":  func(c *RD4ADConfig) { c.PerPosition = true },
		"beta1": func(c *RD4ADConfig) { c.Beta1 = 0.9 },
		"beta2": func(c *RD4ADConfig) { c.Beta2 = 0.1 },
		"rate":  func(c *RD4ADConfig) { c.Rate = 0.006 },
	} {
		p, net := formulaStudent(t, c, change)
		trained(t, p, net, teacher, 2)
		second := secondStep(t, c, parameters(t, net, c.Names))
		t.Logf("%s: %.1e", name, second)
		require.Greater(t, second, 3*chanceFactor*c.Chance, name)
	}
	p, net := formulaStudent(t, c, nil)
	g := formulaModel(t, p, net, teacher.Shapes)
	for i, m := range g.shapes {
		var err error
		g.levels[i], err = engine.NewEnlarger(t.Context(), g.Params, fmt.Sprint("wrong", i), image.Pt(m.W, m.H), image.Pt(g.InW, g.InH), engine.HalfPixel, p.cfg.Sigma)
		require.NoError(t, err)
	}
	maps, _ := scoredByFormula(t, p, g)
	require.Greater(t, off(t, c.Maps, maps), 10*rd4adTolerance, "corners")
}

// The students of the real backbones have the parameters of the description, and
// names that PyTorch's modules have.
func TestRD4ADStructure(t *testing.T) {
	_, structure := rd4adFixture(t)
	require.Len(t, structure, len(backbone.Archs()))
	for _, a := range backbone.Archs() {
		channels := []int{a.Channels(backbone.Layer1), a.Channels(backbone.Layer2), a.Channels(backbone.Layer3)}
		specs := rd4ad.Describe(channels, rd4ad.BlocksFor(a, 3)).Specs()
		var lines []string
		values := int64(0)
		for _, sp := range specs {
			n := int64(1)
			for _, d := range sp.Shape {
				n *= d
			}
			if !sp.Buffer {
				values += n
			}
			lines = append(lines, sp.Name+" "+strings.ReplaceAll(fmt.Sprint(sp.Shape), " ", ", ")+"\n")
		}
		slices.Sort(lines)
		want := structure[a.String()]
		require.Equal(t, want.Values, values, a)
		require.Equal(t, want.CRC, crc32.ChecksumIEEE([]byte(strings.Join(lines, ""))), a)
	}
}
