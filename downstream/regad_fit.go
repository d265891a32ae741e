package downstream

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream/internal/engine"
	"github.com/gotab/gotab/downstream/internal/feed"
	"github.com/gotab/gotab/downstream/internal/regad"
	"github.com/gotab/gotab/internal/pipeline"
	"github.com/gotab/gotab/tensor"
)

// Fit describes a product by its support set, 1 to 64 good images, and replaces
// what an earlier Fit found. The network does not change. How [RegAD] says it.
//
// Before a Train it is [ErrNotTrained]. An empty support set is
// [ErrTooFewImages], one of more than 64 images [ErrConfig]. An image of a class
// that the network was trained on is [ErrClass], unless TrainedTarget allows it;
// one that says it is anomalous is [ErrNotNormal]; features that are not finite
// are [ErrNotFinite]. All name the sample. After an error, or the end of ctx, the
// detector is as it was before. Concurrent Fits and Trains run one after another,
// in the order of the calls; ctx ends the wait too. A Fit that Close ends is
// [ErrClosed].
func (r *RegAD) Fit(ctx context.Context, support dataset.Dataset) error {
	return r.core.Refit(ctx, "fit", func(ctx context.Context) (*supports, error) { return r.fit(ctx, support) })
}

func (r *RegAD) fit(ctx context.Context, support dataset.Dataset) (*supports, error) {
	net, from, seen, err := r.begin(support)
	if err != nil {
		return nil, err
	}
	return r.describe(ctx, net, support.Len(), func(z regad.Sizes, raw *tensor.Params) ([]uint64, error) {
		if err := r.collect(ctx, net, from, z, raw); err != nil {
			return nil, err
		}
		return seen.With(nil), nil
	})
}

// begin checks support images and holds the network that looks at them.
func (r *RegAD) begin(support dataset.Dataset) (*regad.Network, feed.Pictures, *feed.Sightings, error) {
	if support == nil || support.Len() == 0 {
		return nil, nil, nil, fmt.Errorf("%w: the support set is empty", ErrTooFewImages)
	}
	if support.Len() > maxShots {
		return nil, nil, nil, fmt.Errorf("%w: the support set has %d images, at most %d are taken", ErrConfig, support.Len(), maxShots)
	}
	from, seen, err := feed.FitImages(support, r.cfg.Transform)
	if err != nil {
		return nil, nil, nil, err
	}
	net, ok := r.trained.Hold()
	if !ok {
		return nil, nil, nil, ErrNotTrained
	}
	for i := range support.Len() {
		if it := support.Item(i); !r.cfg.TrainedTarget && slices.Contains(net.Classes, it.Class) {
			err := fmt.Errorf("%w: sample %s is of class %q, which the network was trained on", ErrClass, it.Name, it.Class)
			return nil, nil, nil, errors.Join(err, r.trained.Release(net))
		}
	}
	return net, from, seen, nil
}

// describe makes statistics of the maps that collect puts into raw, as [RegAD.collect] does,
// and of the digests of the images that it returns. net is held, and released where this fails.
func (r *RegAD) describe(ctx context.Context, net *regad.Network, images int, collect func(z regad.Sizes, raw *tensor.Params) ([]uint64, error)) (_ *supports, err error) {
	release := func() error { return r.trained.Release(net) }
	g := &supports{net: net, state: state{Model: engine.Model{Params: tensor.NewParams(r.core.Dev), Also: release,
		GridH: net.Maps[0].H, GridW: net.Maps[0].W, InW: net.Size.X, InH: net.Size.Y, Images: images}}}
	defer func() {
		if err != nil {
			err = errors.Join(err, g.Free())
		}
	}()
	z := regad.Sizes{Count: regad.Variations * images, Maps: net.Maps}
	raw := g.Params
	if !z.LowRank() {
		raw = tensor.NewParams(r.core.Dev) // the samples are not kept
		defer func() { err = errors.Join(err, raw.Close()) }()
	}
	if g.seen, err = collect(z, raw); err != nil {
		return nil, err
	}
	g.stats = regad.NewFactors(z, r.cfg.Epsilon)
	if err := g.stats.Finish(ctx, raw, g.Params, tensor.GetThreads().Cores); err != nil {
		return nil, err
	}
	return g, g.AddSmoothing(ctx, r.cfg.Sigma)
}

// collect puts the maps of all variations of all images into tensors [p, n, c] of
// raw, one a layer.
func (r *RegAD) collect(ctx context.Context, net *regad.Network, from feed.Pictures, z regad.Sizes, raw *tensor.Params) error {
	shots := z.Count / regad.Variations
	b, err := r.core.In.Pack(ctx, from, 0, shots, net.Size)
	if err != nil {
		return err
	}
	defer r.core.In.Put(b.Pixels)
	err = tensor.Run(ctx, r.core.Dev, tensor.Evaluation, func(s *tensor.Scope) error {
		for i, m := range z.Maps {
			if err := raw.PutBuffer(s, regad.SamplesName(i), s.Zeros(int64(m.H*m.W), int64(z.Count), int64(m.C))); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	parts := feed.Spans(regad.Variations, r.cfg.Batch, 1)
	// One thread a Run and as many Runs as cores: convolutions of one batch scale
	// worse over threads than batches do over cores.
	ctx = tensor.WithThreads(ctx, 1)
	cores := tensor.GetThreads().Cores
	done := 0
	for n, err := range pipeline.Ordered(ctx, shots*len(parts), cores, cores+1, func(ctx context.Context, i int) (int, error) {
		shot, part := i/len(parts), parts[i%len(parts)]
		return part[1] - part[0], r.collectPart(ctx, net, b, shot, part, raw)
	}) {
		if err != nil {
			return err
		}
		done += n
		r.core.Report("fit", done, z.Count)
	}
	return nil
}

// collectPart does it for some of the variations of one image.
func (r *RegAD) collectPart(ctx context.Context, net *regad.Network, b *feed.Batch, shot int, part [2]int, raw *tensor.Params) error {
	return tensor.Run(ctx, r.core.Dev, tensor.Evaluation, func(s *tensor.Scope) error {
		per := len(b.Pixels) / b.N
		x := s.FromNHWC(b.Pixels[shot*per:][:per], 1, b.Size.Y, b.Size.X, 3)
		maps := net.Features(s, regad.VariationsOf(s, x, part[0], part[1]))
		if err := checkMaps(s, maps, func(int) string { return b.Names[shot] }); err != nil {
			return err
		}
		lo, n := int64(shot*regad.Variations+part[0]), int64(part[1]-part[0])
		for i, m := range maps {
			rows := s.Reshape(s.Permute(m, 2, 3, 0, 1), -1, n, m.Size(1))
			s.CopyInto(s.Narrow(raw.Get(regad.SamplesName(i)), 1, lo, n), rows)
		}
		return s.Err()
	})
}

// checkMaps refuses features [N, c, h, w] that are not finite; name names their
// image.
func checkMaps(s *tensor.Scope, maps []*tensor.Tensor, name func(image int) string) error {
	for _, m := range maps {
		sums, err := s.Floats(s.Sum(m, false, 1, 2, 3))
		if err != nil {
			return err
		}
		for i, v := range sums {
			if v-v != 0 {
				return fmt.Errorf("features of image %s: %w: their sum is %v", name(i), ErrNotFinite, v)
			}
		}
	}
	return nil
}
