package tab

import (
	"context"
	"fmt"
	"math"

	"github.com/gotab/gotab/prompt"
)

// Anchors gives each class its two fixed points in the space of text features:
// row i of normal and of abnormal belongs to classes[i]. All rows have one
// length and are unit vectors.
type Anchors interface {
	Anchors(ctx context.Context, classes []string) (normal, abnormal [][]float32, err error)
}

// TextEncoder turns sentences into feature vectors of one length;
// *clipenc.TextEncoder is one.
type TextEncoder interface {
	Encode(ctx context.Context, texts []string) ([][]float32, error)
}

// FromText makes anchors of sentences: each sentence of a class is encoded and
// brought to unit length, the mean of a polarity's sentences is taken, and the
// mean is brought to unit length (the released code's order; the article says
// mean pooling and leaves the lengths open). The encoder is used by Prepare only
// and may be closed after it.
func FromText(enc TextEncoder, prompts prompt.IDPA) Anchors { return textAnchors{enc, prompts} }

type textAnchors struct {
	enc     TextEncoder
	prompts prompt.IDPA
}

func (a textAnchors) Anchors(ctx context.Context, classes []string) (normal, abnormal [][]float32, err error) {
	if a.enc == nil {
		return nil, nil, fmt.Errorf("tab: anchors from text: %w: the encoder is nil", ErrConfig)
	}
	for _, c := range classes {
		n, b, err := a.prompts.Sentences(c)
		if err != nil {
			return nil, nil, fmt.Errorf("tab: anchors of %q: %w", c, err)
		}
		vn, err := a.mean(ctx, n)
		if err != nil {
			return nil, nil, fmt.Errorf("tab: normal anchor of %q: %w", c, err)
		}
		vb, err := a.mean(ctx, b)
		if err != nil {
			return nil, nil, fmt.Errorf("tab: abnormal anchor of %q: %w", c, err)
		}
		normal, abnormal = append(normal, vn), append(abnormal, vb)
	}
	return normal, abnormal, nil
}

func (a textAnchors) mean(ctx context.Context, sentences []string) ([]float32, error) {
	vs, err := a.enc.Encode(ctx, sentences)
	if err != nil {
		return nil, err
	}
	if len(vs) != len(sentences) || len(vs) == 0 {
		return nil, fmt.Errorf("%d sentences gave %d vectors", len(sentences), len(vs))
	}
	sum := make([]float64, len(vs[0]))
	for i, v := range vs {
		if len(v) != len(sum) {
			return nil, fmt.Errorf("sentence %d gave %d values, the first %d", i, len(v), len(sum))
		}
		l := length(v)
		if !(l > 0) || math.IsInf(l, 0) {
			return nil, fmt.Errorf("sentence %q gave a vector of length %g", sentences[i], l)
		}
		for j, x := range v {
			sum[j] += float64(x) / l
		}
	}
	return unit(sum)
}

func length(v []float32) float64 {
	s := 0.0
	for _, x := range v {
		s += float64(x) * float64(x)
	}
	return math.Sqrt(s)
}

func unit(v []float64) ([]float32, error) {
	s := 0.0
	for _, x := range v {
		s += x * x
	}
	if s = math.Sqrt(s); !(s > 1e-12) || math.IsInf(s, 0) {
		return nil, fmt.Errorf("the mean of the sentences has length %g", s)
	}
	out := make([]float32, len(v))
	for i, x := range v {
		out[i] = float32(x / s)
	}
	return out, nil
}

// checkAnchors makes sure that what an Anchors returned is what it promised.
func checkAnchors(classes []string, normal, abnormal [][]float32) (width int, err error) {
	if len(normal) != len(classes) || len(abnormal) != len(classes) {
		return 0, fmt.Errorf("%w: %d classes have %d normal and %d abnormal anchors", ErrConfig, len(classes), len(normal), len(abnormal))
	}
	width = len(normal[0])
	for i, c := range classes {
		for _, v := range [][]float32{normal[i], abnormal[i]} {
			if len(v) != width || width == 0 {
				return 0, fmt.Errorf("%w: an anchor of %q has %d values, the first anchor %d", ErrConfig, c, len(v), width)
			}
			// A bank in float32 has unit rows to 1e-6; one in half precision to 1e-3.
			if l := length(v); !(math.Abs(l-1) < 1e-2) {
				return 0, fmt.Errorf("%w: an anchor of %q has length %g, want 1", ErrConfig, c, l)
			}
		}
	}
	return width, nil
}
