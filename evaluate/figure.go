package evaluate

import (
	"fmt"

	"github.com/gotab/gotab/metrics"
)

// FigureKey names a figure of a [Record].
type FigureKey string

// Figures of a record, in the order in which they are printed. Those of pixels need
// maps and masks, escape and overkill two images of each kind.
const (
	ImageAUROC FigureKey = "image_auroc"
	ImageAP    FigureKey = "image_ap"     // average precision
	ImageF1    FigureKey = "image_f1_max" // largest F1
	PixelAUROC FigureKey = "pixel_auroc"
	PixelAP    FigureKey = "pixel_ap"
	PixelF1    FigureKey = "pixel_f1_max"
	AUPRO      FigureKey = "aupro"
	Escape     FigureKey = "escape"   // defects that would be shipped, cross-fitted
	Overkill   FigureKey = "overkill" // good parts that would be rejected, cross-fitted
)

// FigureKeys lists all figures in the order in which they are printed.
func FigureKeys() []FigureKey {
	return []FigureKey{ImageAUROC, ImageAP, ImageF1, PixelAUROC, PixelAP, PixelF1, AUPRO, Escape, Overkill}
}

// MainFigures lists those of short tables: image AUROC, pixel AUROC, AUPRO, escape
// and overkill.
func MainFigures() []FigureKey { return []FigureKey{ImageAUROC, PixelAUROC, AUPRO, Escape, Overkill} }

// Name is the figure's name in tables. AUPRO has its limit in it, which is
// metrics.LimitMVTec here; see [Record.Name].
func (k FigureKey) Name() string {
	switch k {
	case ImageAUROC:
		return "image AUROC"
	case ImageAP:
		return "image average precision"
	case ImageF1:
		return "image F1-max"
	case PixelAUROC:
		return "pixel AUROC"
	case PixelAP:
		return "pixel average precision"
	case PixelF1:
		return "pixel F1-max"
	case AUPRO:
		return fmt.Sprintf("AUPRO to %g", metrics.LimitMVTec)
	}
	return string(k)
}

// Name is the name of a figure of the record, such as "AUPRO to 0.05".
func (r Record) Name(k FigureKey) string {
	if k == AUPRO && r.AUPROLimit != nil {
		return fmt.Sprintf("AUPRO to %g", *r.AUPROLimit)
	}
	return k.Name()
}

// Value returns a figure of the record, and false where it has none of that key.
func (r Record) Value(k FigureKey) (float64, bool) {
	of := func(v *float64) (float64, bool) {
		if v == nil {
			return 0, false
		}
		return *v, true
	}
	switch k {
	case ImageAUROC:
		return r.ImageAUROC, true
	case ImageAP:
		return r.ImageAP, true
	case ImageF1:
		return r.ImageF1, true
	case PixelAUROC:
		return of(r.PixelAUROC)
	case PixelAP:
		return of(r.PixelAP)
	case PixelF1:
		return of(r.PixelF1)
	case AUPRO:
		return of(r.AUPRO)
	}
	if r.Cut == nil {
		return 0, false
	}
	switch k {
	case Escape:
		return r.Cut.EscapeRate(), true
	case Overkill:
		return r.Cut.OverkillRate(), true
	}
	return 0, false
}

// Bound says by how much a figure of pixels can be off because they were counted in
// bins; 0 where it is exact.
func (r Record) Bound(k FigureKey) float64 {
	var b *float64
	switch k {
	case PixelAUROC:
		b = r.PixelBound
	case PixelAP:
		b = r.PixelAPBound
	case AUPRO:
		b = r.AUPROBound
	}
	if b == nil {
		return 0
	}
	return *b
}
