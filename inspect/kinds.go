package inspect

import (
	"context"
	"fmt"
	"io"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/tensor"
)

// kind is a sort of detector that a bundle can hold.
type kind struct {
	name string
	// of describes a detector, if it is of the kind.
	of func(d downstream.Detector) (subject, bool)
	// read reads what subject.writer wrote. net is nil where the kind has its own.
	read func(ctx context.Context, r io.Reader, net *backbone.ResNet, dev tensor.Device) (downstream.Detector, error)
}

// subject is what a bundle wants to know of a detector.
type subject struct {
	writer    io.WriterTo
	transform dataset.Transform
	// layers are what is read of the backbone; empty for a detector that has its own.
	layers      []backbone.Layer
	calibration func() (*downstream.Calibration, error)
}

// kinds are all that there are. Tests add one.
var kinds = []kind{
	{"padim", func(d downstream.Detector) (subject, bool) {
		p, ok := d.(*downstream.PaDiM)
		if !ok {
			return subject{}, false
		}
		c := p.Config()
		return subject{p, c.Transform, c.Layers, p.Calibration}, true
	}, reading(downstream.ReadPaDiM)},
	{"patchcore", func(d downstream.Detector) (subject, bool) {
		p, ok := d.(*downstream.PatchCore)
		if !ok {
			return subject{}, false
		}
		c := p.Config()
		return subject{p, c.Transform, c.Layers, p.Calibration}, true
	}, reading(downstream.ReadPatchCore)},
	{"rd4ad", func(d downstream.Detector) (subject, bool) {
		p, ok := d.(*downstream.RD4AD)
		if !ok {
			return subject{}, false
		}
		c := p.Config()
		return subject{p, c.Transform, c.Layers, p.Calibration}, true
	}, reading(downstream.ReadRD4AD)},
	{"simplenet", func(d downstream.Detector) (subject, bool) {
		p, ok := d.(*downstream.SimpleNet)
		if !ok {
			return subject{}, false
		}
		c := p.Config()
		return subject{p, c.Transform, c.Layers, p.Calibration}, true
	}, reading(downstream.ReadSimpleNet)},
	{"regad", func(d downstream.Detector) (subject, bool) {
		p, ok := d.(*downstream.RegAD)
		if !ok {
			return subject{}, false
		}
		return subject{p, p.Config().Transform, nil, p.Calibration}, true
	}, func(ctx context.Context, r io.Reader, _ *backbone.ResNet, dev tensor.Device) (downstream.Detector, error) {
		d, err := downstream.ReadRegAD(ctx, r, dev)
		if err != nil {
			return nil, err
		}
		return d, nil
	}},
}

// reading is kind.read of a detector that stands on a backbone.
func reading[D downstream.Detector](read func(context.Context, io.Reader, downstream.Extractor, ...downstream.Option) (D, error)) func(context.Context, io.Reader, *backbone.ResNet, tensor.Device) (downstream.Detector, error) {
	return func(ctx context.Context, r io.Reader, net *backbone.ResNet, _ tensor.Device) (downstream.Detector, error) {
		if net == nil {
			return nil, fmt.Errorf("%w: it has no backbone", ErrBundle)
		}
		d, err := read(ctx, r, net)
		if err != nil { // a nil pointer must not become a detector
			return nil, err
		}
		return d, nil
	}
}

// kindNamed returns the kind of a name.
func kindNamed(name string) (kind, bool) {
	for _, k := range kinds {
		if k.name == name {
			return k, true
		}
	}
	return kind{}, false
}

// unwrapped is a detector with what stands around it.
type unwrapped struct {
	kind    kind
	subject subject
	tiled   *downstream.TiledConfig // nil where images are seen whole
	regions Regions
	// calibration is of the outermost, nil for none.
	calibration *downstream.Calibration
}

// unwrap takes a detector apart. It returns [downstream.ErrConfig] for one that no
// bundle can hold and [downstream.ErrNotCalibrated] for one without a calibration.
func unwrap(d downstream.Detector) (u unwrapped, err error) {
	inner := d
	calibration := func() (*downstream.Calibration, error) { return u.subject.calibration() }
	if r, ok := inner.(*Regional); ok {
		inner, u.regions = r.d, r.regions
		calibration = r.Calibration
	}
	if t, ok := inner.(*downstream.Tiled); ok {
		c := t.Config()
		inner, u.tiled = t.Detector(), &c
	}
	for _, k := range kinds {
		s, ok := k.of(inner)
		if !ok {
			continue
		}
		u.kind, u.subject = k, s
		u.calibration, err = calibration()
		return u, err
	}
	return u, fmt.Errorf("%w: a bundle holds the detectors of package downstream, tiled or not, within regions or not, and not a %T", downstream.ErrConfig, d)
}
