package tsne

import (
	"context"
	"fmt"
	"math"

	"github.com/gotab/gotab/internal/pipeline"
	"github.com/gotab/gotab/internal/seed"
)

const (
	traceEvery = 50   // steps between two values of the trace
	startSpan  = 1e-4 // deviation of the points at the start, as in the author's program
	blockSize  = 128  // points that a worker takes at a time
)

// Divergence is the Kullback-Leibler divergence of the plane from the points, in nats,
// after so many steps. It is of the affinities as they are, without exaggeration.
type Divergence struct {
	Iteration int
	KL        float64
}

// Embedding is where the points lie on the plane.
type Embedding struct {
	// Points holds one place for each point, in their order. Their mean is 0, their
	// unit has no meaning.
	Points [][2]float64
	// KL is what the steps made as small as they could, at the end; at least 0 up to
	// the approximation by cells.
	KL float64
	// Trace is KL on the way, every 50 steps; the start is left out, the end is in it.
	Trace []Divergence
}

// Embed puts points of one length on the plane. It reads the rows and keeps a copy of
// their values while it runs, with 3 times the perplexity neighbours for each; the
// neighbours are found by comparing all pairs. The same seed gives the same bits
// whatever Workers is.
//
// Settings out of range return ErrConfig; rows that are too few for the perplexity, differ
// in length, hold a value that is not finite, or of which one has more neighbours at
// one least distance than the perplexity (as many copies have) return ErrData; more
// than 100,000 points, 2^26 values or 2^23 neighbours return ErrSize. The end of ctx
// returns its error.
func Embed(ctx context.Context, rows [][]float64, cfg Config) (Embedding, error) {
	if err := cfg.Validate(); err != nil {
		return Embedding{}, err
	}
	if ctx == nil {
		return Embedding{}, fmt.Errorf("tsne: %w: the context is nil; pass context.Background()", ErrConfig)
	}
	x, err := newPoints(rows, cfg)
	if err != nil {
		return Embedding{}, err
	}
	p, err := affinitiesOf(ctx, x, cfg)
	if err != nil {
		return Embedding{}, err
	}
	d := newDescent(p, cfg)
	var out Embedding
	for t := range cfg.Iterations {
		if err := d.step(ctx, t); err != nil {
			return Embedding{}, err
		}
		if done := t + 1; done%traceEvery == 0 || done == cfg.Iterations {
			kl, err := d.divergence(ctx)
			if err != nil {
				return Embedding{}, err
			}
			out.Trace = append(out.Trace, Divergence{done, kl})
			out.KL = kl
		}
	}
	out.Points = d.y
	return out, nil
}

// descent is the state of the gradient descent.
type descent struct {
	cfg      Config
	p        affinities
	tree     tree
	y        [][2]float64
	velocity [][2]float64
	gain     [][2]float64
	force    [][2]float64 // gradient of the divergence
	z        []float64    // of each point, its part of the normaliser
}

func newDescent(p affinities, cfg Config) *descent {
	n := len(p.from) - 1
	d := &descent{cfg: cfg, p: p, y: make([][2]float64, n), velocity: make([][2]float64, n), gain: make([][2]float64, n), force: make([][2]float64, n), z: make([]float64, n)}
	rng := seed.Rand(cfg.Seed, "tsne")
	for i := range d.y {
		d.y[i] = [2]float64{startSpan * rng.NormFloat64(), startSpan * rng.NormFloat64()}
		d.gain[i] = [2]float64{1, 1}
	}
	return d
}

// step moves the points. A coordinate whose gradient keeps its sign gains speed, one
// that turns loses it (Jacobs 1988, as in the 2008 article).
func (d *descent) step(ctx context.Context, t int) error {
	exaggeration, momentum := 1.0, d.cfg.Momentum
	if t < d.cfg.ExaggerationIterations {
		exaggeration = d.cfg.Exaggeration
	}
	if t >= d.cfg.MomentumIterations {
		momentum = d.cfg.FinalMomentum
	}
	if err := d.gradient(ctx, exaggeration); err != nil {
		return err
	}
	var mean [2]float64
	for i := range d.y {
		for k := range 2 {
			g := d.force[i][k] / 4
			if (g > 0) == (d.velocity[i][k] > 0) { // the velocity points against the gradient while it goes on
				d.gain[i][k] = max(0.01, 0.8*d.gain[i][k])
			} else {
				d.gain[i][k] += 0.2
			}
			d.velocity[i][k] = momentum*d.velocity[i][k] - d.cfg.LearningRate*d.gain[i][k]*g
			d.y[i][k] += d.velocity[i][k]
			mean[k] += d.y[i][k] / float64(len(d.y))
		}
	}
	if math.IsNaN(mean[0]+mean[1]) || math.IsInf(mean[0]+mean[1], 0) {
		return fmt.Errorf("tsne: step %d: %w: the points ran away; take a smaller LearningRate than %g", t+1, ErrConfig, d.cfg.LearningRate)
	}
	for i := range d.y {
		d.y[i][0] -= mean[0]
		d.y[i][1] -= mean[1]
	}
	return nil
}

// gradient sets force to the gradient of the divergence, with the affinities times
// exaggeration:
//
//	4 (sum_j p_ij w_ij (y_i - y_j) - sum_j w_ij^2 (y_i - y_j) / Z)
//
// with w_ij = 1 / (1 + |y_i - y_j|^2) and Z the sum of all w_ij.
func (d *descent) gradient(ctx context.Context, exaggeration float64) error {
	z, err := d.repel(ctx)
	if err != nil {
		return err
	}
	return d.blocks(ctx, func(i int) {
		var pull [2]float64
		d.p.each(i, func(j int, p float64) {
			dx, dy := d.y[i][0]-d.y[j][0], d.y[i][1]-d.y[j][1]
			w := p / (1 + dx*dx + dy*dy)
			pull[0] += w * dx
			pull[1] += w * dy
		})
		for k := range 2 {
			d.force[i][k] = 4 * (exaggeration*pull[k] - d.force[i][k]/z)
		}
	})
}

// repel sets force to the sums of w^2 (y_i - y_j), and returns Z. Parts are added in
// the order of the points, so that workers change no bit.
func (d *descent) repel(ctx context.Context) (float64, error) {
	d.tree.build(d.y)
	if err := d.blocks(ctx, func(i int) { d.force[i], d.z[i] = d.tree.repulsion(i, d.cfg.Theta) }); err != nil {
		return 0, err
	}
	sum := 0.0
	for _, z := range d.z {
		sum += z
	}
	return max(sum, math.SmallestNonzeroFloat64), nil
}

// divergence is the sum of p ln(p / q), with q = w / Z.
func (d *descent) divergence(ctx context.Context) (float64, error) {
	z, err := d.repel(ctx)
	if err != nil {
		return 0, err
	}
	part := make([]float64, len(d.y))
	if err := d.blocks(ctx, func(i int) {
		d.p.each(i, func(j int, p float64) {
			dx, dy := d.y[i][0]-d.y[j][0], d.y[i][1]-d.y[j][1]
			if p > 0 {
				part[i] += p * math.Log(p*(1+dx*dx+dy*dy)*z)
			}
		})
	}); err != nil {
		return 0, err
	}
	sum := 0.0
	for _, v := range part {
		sum += v
	}
	return sum, nil
}

// blocks calls f for each point, on the workers.
func (d *descent) blocks(ctx context.Context, f func(i int)) error {
	return inBlocks(ctx, len(d.y), d.cfg.Workers, func(i int) error { f(i); return nil })
}

// inBlocks calls f for 0 to n-1 on workers goroutines. f writes what belongs to i alone.
func inBlocks(ctx context.Context, n, workers int, f func(i int) error) error {
	count := (n + blockSize - 1) / blockSize
	for _, err := range pipeline.Ordered(ctx, count, min(workers, count), min(workers, count)+1, func(ctx context.Context, b int) (struct{}, error) {
		for i := b * blockSize; i < min(n, (b+1)*blockSize); i++ {
			if err := f(i); err != nil {
				return struct{}{}, err
			}
		}
		return struct{}{}, ctx.Err()
	}) {
		if err != nil {
			return fmt.Errorf("tsne: %w", err)
		}
	}
	return nil
}
