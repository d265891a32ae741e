package downstream

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream/internal/engine"
	"github.com/gotab/gotab/downstream/internal/network"
	"github.com/gotab/gotab/downstream/internal/regad"
	"github.com/gotab/gotab/tensor"
)

// regadFeaturesKind marks a file and the version of its layout: safetensors with the float32 arrays
// samples.0 [P, N, C] and so on, one for each layer.
const regadFeaturesKind = "gotab.regad-features.1"

// RegADFeatures are the features of some of the support images of a fit, of all their
// variations, at each position. They are made on one machine of its share of
// the images ([RegAD.Features]), go into a file, and those of all machines together make the
// detector that one fit on all images makes ([RegAD.FitFeatures]), to the bit where Batch is the same.
//
// They are as large as what a fit keeps of an image, 31 MB for a ResNet-18 at 224x224: take them
// where the images may not leave their machine. Nothing changes them, so all methods are safe for concurrent use.
type RegADFeatures struct {
	cfg      RegADConfig
	settings regadSettings
	network  string // hash of its weights
	images   int
	maps     []network.MapShape
	samples  [][]float32 // of each layer, [p, n, c]
	seen     []uint64
}

// Features runs the variations of good support images, 1 to 64, through the network and returns
// their features. The detector stays as it is, need not be fitted, and waits for no Fit; the
// network must be trained, and be the same on all machines (Save, OpenRegAD). Errors are those of [RegAD.Fit].
func (r *RegAD) Features(ctx context.Context, support dataset.Dataset) (*RegADFeatures, error) {
	if r.core.Current.IsClosed() {
		return nil, r.core.ClosedError("gather features")
	}
	f, err := r.features(ctx, support)
	if err != nil {
		return nil, r.core.Failed(ctx, "gather features", err)
	}
	return f, nil
}

func (r *RegAD) features(ctx context.Context, support dataset.Dataset) (_ *RegADFeatures, err error) {
	net, from, seen, err := r.begin(support)
	if err != nil {
		return nil, err
	}
	raw := tensor.NewParams(r.core.Dev)
	defer func() { err = errors.Join(err, raw.Close(), r.trained.Release(net)) }()
	f := &RegADFeatures{cfg: r.Config(), settings: r.settings(net.Classes, net.Sizes()), images: support.Len(), maps: slices.Clone(net.Maps)}
	if f.network, err = hashOf(ctx, net); err != nil {
		return nil, err
	}
	f.settings.Images = f.images
	z := regad.Sizes{Count: regad.Variations * f.images, Maps: net.Maps}
	if err := r.collect(ctx, net, from, z, raw); err != nil {
		return nil, err
	}
	err = tensor.Run(ctx, r.core.Dev, tensor.Evaluation, func(s *tensor.Scope) error {
		for i := range net.Maps {
			v, err := s.Floats(raw.Get(regad.SamplesName(i)))
			if err != nil {
				return err
			}
			f.samples = append(f.samples, v)
		}
		return nil
	})
	f.seen = seen.With(nil)
	return f, err
}

// hashOf tells networks apart.
func hashOf(ctx context.Context, net *regad.Network) (string, error) {
	arrays, err := net.Arrays(ctx)
	if err != nil {
		return "", err
	}
	return weightsHash(arrays), nil
}

// Images is how many there were.
func (f *RegADFeatures) Images() int { return f.images }

// fits says whether two features are of one network and transform. Of the settings of the detector others do not matter.
func (f *RegADFeatures) fits(cfg RegADConfig, network string, maps []network.MapShape) error {
	switch {
	case f.images == 0:
		return fmt.Errorf("%w: they are of no images", ErrTooFewImages)
	case f.network != network:
		return fmt.Errorf("%w: features are of another network than the one in force, or of another training; open the same file on all machines", ErrExtractor)
	case !slices.Equal(f.maps, maps) || f.cfg.Transform.Fingerprint() != cfg.Transform.Fingerprint() || f.cfg.Normalize != cfg.Normalize || !slices.Equal(f.cfg.Layers, cfg.Layers):
		return fmt.Errorf("%w: features are of other layers, transforms or sizes than the detector's", ErrConfig)
	}
	return nil
}

// FitFeatures makes the detector what Fit makes it of all images of the parts, in the order
// of the parts, without the images: the same bits, where the parts were made with the same Batch and threads.
//
// It returns [ErrTooFewImages] without parts, [ErrConfig] for more than 64 images in all, for parts that share images, and for those
// of other layers, transforms or sizes than the detector's, [ErrExtractor] for those of another network or another training, and the errors of [RegAD.Fit]
// that are not about images. The turn is that of a Fit.
func (r *RegAD) FitFeatures(ctx context.Context, parts ...*RegADFeatures) error {
	return r.core.Refit(ctx, "fit", func(ctx context.Context) (*supports, error) { return r.fitFeatures(ctx, parts) })
}

func (r *RegAD) fitFeatures(ctx context.Context, parts []*RegADFeatures) (*supports, error) {
	if len(parts) == 0 || slices.Contains(parts, nil) {
		return nil, fmt.Errorf("%w: there are no features, or nil", ErrTooFewImages)
	}
	net, ok := r.trained.Hold()
	if !ok {
		return nil, ErrNotTrained
	}
	images, seen, err := 0, []uint64(nil), error(nil)
	hash, err := hashOf(ctx, net)
	for i, f := range parts {
		if err != nil {
			break
		}
		if err = f.fits(r.cfg, hash, net.Maps); err == nil && slices.ContainsFunc(f.seen, func(d uint64) bool { return slices.Contains(seen, d) }) {
			err = fmt.Errorf("%w: part %d has an image that is in another part too, and would count twice", ErrConfig, i)
		}
		images, seen = images+f.images, append(seen, f.seen...)
	}
	if err == nil && images > maxShots {
		err = fmt.Errorf("%w: the support set has %d images, at most %d are taken", ErrConfig, images, maxShots)
	}
	if err != nil {
		return nil, errors.Join(err, r.trained.Release(net))
	}
	slices.Sort(seen)
	return r.describe(ctx, net, images, func(z regad.Sizes, raw *tensor.Params) ([]uint64, error) {
		return seen, r.gather(ctx, parts, z, raw)
	})
}

// gather puts the samples of all parts beside each other.
func (r *RegAD) gather(ctx context.Context, parts []*RegADFeatures, z regad.Sizes, raw *tensor.Params) error {
	return tensor.Run(ctx, r.core.Dev, tensor.Evaluation, func(s *tensor.Scope) error {
		for i, m := range z.Maps {
			p, c := int64(m.H*m.W), int64(m.C)
			if err := raw.PutBuffer(s, regad.SamplesName(i), s.Zeros(p, int64(z.Count), c)); err != nil {
				return err
			}
			at := int64(0)
			for _, f := range parts {
				n := int64(regad.Variations * f.images)
				x := s.FromFloats(f.samples[i], p, n, c)
				s.CopyInto(s.Narrow(raw.Get(regad.SamplesName(i)), 1, at, n), x)
				s.Free(x)
				at += n
			}
		}
		return s.Err()
	})
}

// regadFeaturesSettings is the JSON form of settings, sizes and the network.
type regadFeaturesSettings struct {
	regadSettings
	Network string   `json:"network"` // SHA-256 of its weights
	Maps    [][3]int `json:"maps"`    // height, width and channels of each layer
}

// Config returns the settings of the detector.
func (s regadFeaturesSettings) Config() (RegADConfig, error) {
	if b, err := hex.DecodeString(s.Network); err != nil || len(b) != sha256.Size {
		return RegADConfig{}, fmt.Errorf("network is %.80q, want a SHA-256", s.Network)
	}
	if s.Images < 1 {
		return RegADConfig{}, fmt.Errorf("%d support images", s.Images)
	}
	c, err := s.regadSettings.Config()
	if err == nil && len(s.Maps) != len(c.Layers) {
		err = fmt.Errorf("maps %v of %d layers", s.Maps, len(c.Layers))
	}
	for _, m := range s.Maps {
		if min(m[0], m[1], m[2]) < 1 || max(m[0], m[1], m[2]) > 1<<16 {
			return c, fmt.Errorf("maps %v, want sides and channels of 1 to 65536", s.Maps)
		}
	}
	if err == nil && (s.Maps[0][1] != s.Grid[0] || s.Maps[0][0] != s.Grid[1]) {
		err = fmt.Errorf("the grid is %v, that of the first layer %v", s.Grid, s.Maps[0])
	}
	return c, err
}

// WriteTo writes the features as safetensors. Reading them back gives the same bits.
func (f *RegADFeatures) WriteTo(w io.Writer) (int64, error) {
	if f.images == 0 {
		return 0, fmt.Errorf("downstream: save features of RegAD: %w: they are of no images", ErrTooFewImages)
	}
	settings := regadFeaturesSettings{regadSettings: f.settings, Network: f.network}
	contents := &engine.Contents{}
	for i, m := range f.maps {
		settings.Maps = append(settings.Maps, [3]int{m.H, m.W, m.C})
		contents.Arrays = append(contents.Arrays, tensor.FloatArray(regad.SamplesName(i), f.samples[i], int64(m.H*m.W), int64(regad.Variations*f.images), int64(m.C)))
	}
	contents.Settings = settings
	if err := (beside{seen: f.seen}).add(contents); err != nil {
		return 0, err
	}
	return contents.Write(w, whoIs("features of RegAD"), regadFeaturesKind)
}

// Save writes the features to a file that appears whole or not at all.
func (f *RegADFeatures) Save(path string) error { return engine.Save(path, f) }

// ReadRegADFeatures reads what WriteTo wrote. A damaged file is [ErrFile].
func ReadRegADFeatures(r io.Reader) (*RegADFeatures, error) {
	fail := func(err error) (*RegADFeatures, error) {
		return nil, fmt.Errorf("downstream: read features of RegAD: %w: %w", ErrFile, err)
	}
	st, cfg, arrays, also, err := readFitted[RegADConfig, regadFeaturesSettings](r, whoIs("features of RegAD"), regadFeaturesKind)
	if err != nil {
		return nil, err
	}
	f := &RegADFeatures{cfg: cfg, settings: st.regadSettings, network: st.Network, images: st.Images, seen: also.seen}
	for i, m := range st.Maps { // what is read has been held against the length of the file
		v, err := engine.FloatsOf(arrays, regad.SamplesName(i), int64(m[0])*int64(m[1]), int64(regad.Variations*st.Images), int64(m[2]))
		if err != nil {
			return fail(err)
		}
		f.maps, f.samples = append(f.maps, network.MapShape{H: m[0], W: m[1], C: m[2]}), append(f.samples, v)
	}
	return f, nil
}

// OpenRegADFeatures reads what Save wrote. ctx is asked before the file is read.
func OpenRegADFeatures(ctx context.Context, path string) (*RegADFeatures, error) {
	return engine.OpenSaved(ctx, path, whoIs("features of RegAD"), struct{}{},
		func(ctx context.Context, r io.Reader, _ struct{}, _ ...struct{}) (*RegADFeatures, error) {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			return ReadRegADFeatures(r)
		}, nil)
}
