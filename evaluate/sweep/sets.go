package sweep

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"math/rand/v2"
	"path"
	"slices"
	"strings"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/evaluate"
	"github.com/gotab/gotab/evaluate/study"
	"github.com/gotab/gotab/internal/seed"
	"github.com/gotab/gotab/synth"
)

// openSets opens the classes of the plan, with real or synthetic test images.
func openSets(ctx context.Context, p Plan) ([]study.Set, error) {
	var out []study.Set
	for _, root := range p.Data {
		all, err := dataset.OpenMVTecAD(root, "", "")
		if err != nil {
			return nil, err
		}
		for _, class := range all.Classes() {
			if len(p.Classes) > 0 && !slices.Contains(p.Classes, class) {
				continue
			}
			s, err := openSet(ctx, p, root, class)
			if err != nil {
				return nil, fmt.Errorf("class %s of %s: %w", class, root, err)
			}
			if slices.ContainsFunc(out, func(o study.Set) bool { return o.Class == class }) {
				return nil, fmt.Errorf("%w: class %s is in two roots of \"data\"", ErrPlan, class)
			}
			out = append(out, s)
		}
	}
	for _, c := range p.Classes {
		if !slices.ContainsFunc(out, func(o study.Set) bool { return o.Class == c }) {
			return nil, fmt.Errorf("%w: no root of \"data\" has class %q", ErrPlan, c)
		}
	}
	return out, nil
}

func openSet(ctx context.Context, p Plan, root, class string) (s study.Set, err error) {
	good, err := dataset.OpenMVTecAD(root, class, dataset.Train)
	if err != nil {
		return s, err
	}
	s = study.Set{Class: class, Good: good}
	if p.Synthetic == nil {
		s.Test, err = dataset.OpenMVTecAD(root, class, dataset.Test)
	} else {
		s.Good, s.Test, err = p.Synthetic.split(ctx, good, class)
	}
	if err != nil {
		return s, err
	}
	if _, err := evaluate.CheckTest(s.Test); err != nil {
		return s, err
	}
	raw, err := json.Marshal([]any{dataset.Items(s.Good), dataset.Items(s.Test), p.Synthetic})
	if err != nil {
		return s, err
	}
	sum := sha256.Sum256(raw)
	s.ID = hex.EncodeToString(sum[:])
	return s, nil
}

// kept says which good images are kept apart: by a hash of their names, so that what is
// kept apart does not depend on the order or on other images.
func (s Synthetic) kept(ds dataset.Dataset, class string) (train, apart []int) {
	keys := make([]string, ds.Len())
	for i := range keys {
		keys[i] = fmt.Sprintf("gotab validation %d %s %s", s.Seed, class, path.Base(ds.Item(i).Name))
	}
	apart = seed.Lowest(keys, s.Share)
	for i := range keys {
		if _, found := slices.BinarySearch(apart, i); !found {
			train = append(train, i)
		}
	}
	return train, apart
}

// split divides good images into those to fit on and a test set of the others and
// of their twins. Twins are drawn at the network's size, on pictures that PaDiM's
// transform has been applied to; so all are made [dataset.Transformed].
func (s Synthetic) split(ctx context.Context, good dataset.Dataset, class string) (fit, test dataset.Dataset, err error) {
	train, apart := s.kept(good, class)
	if len(train) < 2 {
		return nil, nil, fmt.Errorf("%w: %d good images are too few to keep %g of them apart", ErrPlan, good.Len(), s.Share)
	}
	if fit, err = dataset.Subset(good, train); err != nil {
		return nil, nil, err
	}
	mixture := synth.DefaultMixture()
	var samples []dataset.Sample
	for _, i := range apart {
		whole, err := good.Sample(ctx, i)
		if err != nil {
			return nil, nil, err
		}
		if whole.Image, err = dataset.PaDiM224().Image(whole.Image); err != nil {
			return nil, nil, err
		}
		whole.Mask, whole.Split = nil, dataset.Test
		samples = append(samples, whole)
		for _, kind := range s.Kinds {
			gen, err := kindOf(mixture, kind)
			if err != nil {
				return nil, nil, err
			}
			for k := range s.Twins {
				twin, err := s.twin(ctx, good, train, gen, whole, class, kind, k)
				if errors.Is(err, synth.ErrNotPlaced) {
					continue // the kind finds no place on this image
				}
				if err != nil {
					return nil, nil, err
				}
				samples = append(samples, twin)
			}
		}
	}
	mem, err := dataset.NewMemory(samples)
	if err != nil {
		return nil, nil, err
	}
	return fit, transformed{mem}, nil
}

// transformed is a data set whose pictures are as PaDiM's transform makes them.
type transformed struct{ *dataset.Memory }

// Transform implements dataset.Transformed.
func (transformed) Transform() (dataset.Transform, bool) { return dataset.PaDiM224(), true }

func kindOf(m synth.Mixture, name string) (synth.Mixture, error) {
	for _, k := range m.List() {
		if string(k) == name || strings.TrimPrefix(string(k), "cutpaste ") == name {
			out, err := m.Only(k)
			if err != nil {
				return out, fmt.Errorf("%w: kind %q: %w", ErrPlan, name, err)
			}
			return out, nil
		}
	}
	return m, fmt.Errorf("%w: there is no kind of twins %q", ErrPlan, name)
}

func (s Synthetic) twin(ctx context.Context, good dataset.Dataset, train []int, gen synth.Generator, whole dataset.Sample, class, kind string, k int) (dataset.Sample, error) {
	sum := sha256.Sum256(fmt.Appendf(nil, "gotab twin %d %s %s %s %d", s.Seed, class, path.Base(whole.Name), kind, k))
	rng := rand.New(rand.NewPCG(binary.LittleEndian.Uint64(sum[:]), binary.LittleEndian.Uint64(sum[8:])))
	src, err := good.Sample(ctx, train[rng.IntN(len(train))])
	if err != nil {
		return dataset.Sample{}, err
	}
	srcImage, err := dataset.PaDiM224().Image(src.Image)
	if err != nil {
		return dataset.Sample{}, err
	}
	pair, err := draw(gen, whole, srcImage, rng)
	if err != nil {
		return dataset.Sample{}, err
	}
	out := whole
	out.Name = fmt.Sprintf("%s#%s-%d", whole.Name, kind, k)
	out.Defect, out.Label = kind, dataset.LabelDefective
	out.MaskName = out.Name + "#mask"
	out.Image, out.Mask = pair.Image, pair.Mask
	return out, nil
}

// draw asks for a twin whose damage can be seen at all: one with an empty mask is good.
func draw(gen synth.Generator, whole dataset.Sample, src image.Image, rng *rand.Rand) (synth.Pair, error) {
	for range 8 {
		p, err := gen.Generate(whole.Image, src, rng)
		if err != nil {
			return p, err
		}
		for _, v := range p.Mask.Pix {
			if v != 0 {
				return p, nil
			}
		}
	}
	return synth.Pair{}, synth.ErrNotPlaced
}
