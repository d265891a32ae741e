package tab

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/internal/atomicfile"
	"github.com/gotab/gotab/synth"
)

// Verdict says what a twin is to a product.
type Verdict int

const (
	// VerdictDrawn is damage that is not plain yet: pre-training draws it.
	VerdictDrawn Verdict = iota
	// VerdictNormal is a twin whose loudest cells are displaced by no more than 95 %
	// of good parts at every layer: it counts as normal.
	VerdictNormal
	// VerdictFar is a twin whose loudest cells are displaced by more than
	// TwinTable.Far times the 99 % quantile of good parts at every layer: it teaches
	// nothing and is drawn again.
	VerdictFar
)

// String is "drawn", "normal" or "far".
func (v Verdict) String() string {
	switch v {
	case VerdictNormal:
		return "normal"
	case VerdictFar:
		return "far"
	}
	return "drawn"
}

// verdict judges the loudness at each layer.
func verdict(loud []float64, spread []*spread, far float64) Verdict {
	within, beyond := true, true
	for l, v := range loud {
		within = within && v <= spread[l].Normal[level95]
		beyond = beyond && v > far*spread[l].Normal[level99]
	}
	switch {
	case within:
		return VerdictNormal
	case beyond:
		return VerdictFar
	}
	return VerdictDrawn
}

// TwinTable is what [MeasureTwins] found: which twins are damage for which
// product. It is plain data, to be printed, written beside weights and read again
// ([ReadTwinTable]). Its methods are safe for concurrent use while nobody changes
// it.
type TwinTable struct {
	Layers   []string       `json:"layers"` // names of the stages, in the order of all slices over layers
	Ridge    float64        `json:"ridge"`  // settings of the measurement, see TwinConfig
	Far      float64        `json:"far"`
	Least    float64        `json:"least"`
	Seed     uint64         `json:"seed"`
	Products []ProductTwins `json:"products"` // rising by class
}

// ProductTwins is the part of a TwinTable that belongs to one product.
type ProductTwins struct {
	Class  string `json:"class"`
	Images int    `json:"images"` // good images behind the spread
	// Spread holds, for each layer, the quantiles 0.5, 0.95, 0.99 and 0.999 of good
	// parts' squared distance from the mean of their position, whitened, over the
	// number of channels.
	Spread [][len(normalLevels)]float64 `json:"spread"`
	Kinds  []KindTwins                  `json:"kinds"` // in the order of the mixture
}

// KindTwins says what twins of one kind are to one product.
type KindTwins struct {
	Kind   synth.Kind `json:"kind"`
	Normal bool       `json:"normal,omitempty"` // one of the mixture's normal kinds
	All    TwinCounts `json:"all"`
	// Loudness holds, for each layer, the median over the placed twins of the mean q
	// of their loudest quarter of damaged cells, as a multiple of the 95 % quantile
	// of good parts: above 1 a twin stands out at that layer.
	Loudness []float64 `json:"loudness"`
	// Weight is the kind's share in the mixture that fits the product: its weight
	// there times the share of its twins that are between the limits. It is 0 for a
	// kind whose share is below TwinTable.Least; those of damage add up to 1, and a
	// normal kind keeps what it had. Where no kind reaches Least all are 0.
	Weight float64 `json:"weight"`
	// Bins holds the counts by size and strength; bins without a twin are left out.
	Bins []TwinBin `json:"bins"`

	ratios [][]float64 // loudness of each twin, by layer, while measuring
}

// TwinBin counts twins of one size and strength.
type TwinBin struct {
	// Size and Strength number the ranges: sides of the square of the mask's area
	// below 8, 16, 32 pixels and above; Pair.Change below 10, 20, 40 grey levels and
	// above.
	Size     int `json:"size"`
	Strength int `json:"strength"`
	TwinCounts
}

// TwinCounts counts twins by verdict.
type TwinCounts struct {
	Unplaced int `json:"unplaced,omitempty"` // draws that made no twin
	Within   int `json:"within"`             // VerdictNormal
	Drawn    int `json:"drawn"`              // VerdictDrawn
	Beyond   int `json:"beyond"`             // VerdictFar
}

func (c TwinCounts) placed() int { return c.Within + c.Drawn + c.Beyond }

// Share is the part of the placed twins with this verdict, 0 to 1; 0 where none
// was placed.
func (c TwinCounts) Share(v Verdict) float64 {
	if c.placed() == 0 {
		return 0
	}
	return float64([...]int{c.Drawn, c.Within, c.Beyond}[v]) / float64(c.placed())
}

func (c *TwinCounts) add(v Verdict) {
	switch v {
	case VerdictNormal:
		c.Within++
	case VerdictFar:
		c.Beyond++
	default:
		c.Drawn++
	}
}

var (
	sizeEdges     = [...]float64{8, 16, 32}  // pixels
	strengthEdges = [...]float64{10, 20, 40} // grey levels
)

// bin numbers the range that v lies in.
func bin(v float64, edges []float64) int {
	i, found := slices.BinarySearch(edges, v)
	if found {
		return i + 1
	}
	return i
}

// binOf is the bin of a damaged pair.
func binOf(p synth.Pair) (size, strength int) {
	n := 0
	for y := range p.Mask.Rect.Dy() {
		for _, v := range p.Mask.Pix[y*p.Mask.Stride:][:p.Mask.Rect.Dx()] {
			n += int(v >> 7)
		}
	}
	return bin(math.Sqrt(float64(n)), sizeEdges[:]), bin(p.Change, strengthEdges[:])
}

// count adds one twin with its loudness at each layer.
func (k *KindTwins) count(p synth.Pair, loud []float64, spread []*spread, far float64) {
	v := verdict(loud, spread, far)
	k.All.add(v)
	for l, x := range loud {
		k.ratios[l] = append(k.ratios[l], x)
	}
	if p.Normal {
		return
	}
	size, strength := binOf(p)
	i := slices.IndexFunc(k.Bins, func(b TwinBin) bool { return b.Size == size && b.Strength == strength })
	if i < 0 {
		i = len(k.Bins)
		k.Bins = append(k.Bins, TwinBin{Size: size, Strength: strength})
	}
	k.Bins[i].add(v)
}

// finish sums up what count has gathered.
func (k *KindTwins) finish(spread []*spread) {
	k.Loudness = make([]float64, len(spread))
	for l, r := range k.ratios {
		if len(r) > 0 {
			slices.Sort(r)
			k.Loudness[l] = r[len(r)/2] / spread[l].Normal[level95]
		}
	}
	k.ratios = nil
	slices.SortFunc(k.Bins, func(a, b TwinBin) int {
		if a.Size != b.Size {
			return a.Size - b.Size
		}
		return a.Strength - b.Strength
	})
}

// weigh fills the weights; see KindTwins.Weight.
func (p *ProductTwins) weigh(m synth.Mixture, least float64) {
	weights := map[synth.Kind]float64{}
	for _, list := range [][]synth.Ingredient{m.Kinds, m.Normal} {
		for _, g := range list {
			weights[g.Kind] = g.Weight
		}
	}
	total := 0.0
	for i := range p.Kinds {
		k := &p.Kinds[i]
		k.Weight = weights[k.Kind]
		if k.Normal {
			continue
		}
		share := k.All.Share(VerdictDrawn)
		if share < least || share == 0 {
			share = 0
		}
		k.Weight *= share
		total += k.Weight
	}
	for i := range p.Kinds {
		if k := &p.Kinds[i]; !k.Normal && total > 0 {
			k.Weight /= total
		}
	}
}

// Product returns the part of a class, or false.
func (t *TwinTable) Product(class string) (ProductTwins, bool) {
	i := slices.IndexFunc(t.Products, func(p ProductTwins) bool { return p.Class == class })
	if i < 0 {
		return ProductTwins{}, false
	}
	return t.Products[i], true
}

// Mixture returns m with the weights that fit a product. ErrUnknownClass says that
// the product was not measured, ErrNoTwin that no kind is damage for it, and
// synth.ErrSettings that m has not the kinds of the table.
func (t *TwinTable) Mixture(class string, m synth.Mixture) (synth.Mixture, error) {
	p, ok := t.Product(class)
	if !ok {
		return synth.Mixture{}, fmt.Errorf("tab: twins of %q: %w: the table does not hold it", class, ErrUnknownClass)
	}
	have := m.List()
	weights, total := map[synth.Kind]float64{}, 0.0
	for _, k := range p.Kinds {
		if !slices.Contains(have, k.Kind) {
			continue // kept out of m
		}
		weights[k.Kind] = k.Weight
		if !k.Normal {
			total += k.Weight
		}
	}
	if len(weights) != len(have) {
		return synth.Mixture{}, fmt.Errorf("tab: twins of %q: %w: the mixture holds %q, not all of which were measured", class, synth.ErrSettings, have)
	}
	if !(total > 0) {
		return synth.Mixture{}, fmt.Errorf("tab: twins of %q: %w: of no kind in %q are %g of the twins between good parts and plain damage; allow larger or stronger twins, or a smaller Least",
			class, ErrNoTwin, have, t.Least)
	}
	return m.Weighted(weights)
}

// fewTwins is the least number of twins in a bin for its verdict to count.
const fewTwins = 5

// Verdict says what a damaged pair of a product is by the kinds, sizes and
// strengths of the table, without a network: the verdict of more than half of its
// bin, VerdictDrawn where there is none or the bin holds fewer than five twins.
// A normal pair is VerdictNormal.
func (p ProductTwins) Verdict(pair synth.Pair) Verdict {
	if pair.Normal {
		return VerdictNormal
	}
	i := slices.IndexFunc(p.Kinds, func(k KindTwins) bool { return k.Kind == pair.Kind })
	if i < 0 || pair.Mask == nil {
		return VerdictDrawn
	}
	size, strength := binOf(pair)
	for _, b := range p.Kinds[i].Bins {
		if b.Size != size || b.Strength != strength || b.placed() < fewTwins {
			continue
		}
		for _, v := range []Verdict{VerdictNormal, VerdictFar} {
			if b.Share(v) > 0.5 {
				return v
			}
		}
	}
	return VerdictDrawn
}

// Validate says what is wrong with a table, which may come from a file; the error
// is an ErrConfig.
func (t *TwinTable) Validate() error {
	bad := func(format string, a ...any) error {
		return fmt.Errorf("tab: table of twins: %w: %s", ErrConfig, fmt.Sprintf(format, a...))
	}
	finite := func(vs ...float64) bool {
		for _, v := range vs {
			if !(v >= 0) || math.IsInf(v, 0) {
				return false
			}
		}
		return true
	}
	if len(t.Layers) == 0 || len(t.Products) == 0 {
		return bad("it holds no layer or no product")
	}
	for i, name := range t.Layers {
		if _, err := backbone.ParseLayer(name); err != nil || slices.Contains(t.Layers[:i], name) {
			return bad("layer %q is unknown or there twice", name)
		}
	}
	if !finite(t.Ridge, t.Far, t.Least) {
		return bad("a setting is not a number of 0 or more")
	}
	for i, p := range t.Products {
		if i > 0 && t.Products[i-1].Class >= p.Class {
			return bad("product %q follows %q, want rising names", p.Class, t.Products[i-1].Class)
		}
		if len(p.Spread) != len(t.Layers) {
			return bad("product %q has %d spreads for %d layers", p.Class, len(p.Spread), len(t.Layers))
		}
		for _, s := range p.Spread {
			if !finite(s[:]...) || !slices.IsSorted(s[:]) {
				return bad("product %q has quantiles %v, want rising numbers", p.Class, s)
			}
		}
		seen := map[synth.Kind]bool{}
		for _, k := range p.Kinds {
			switch {
			case k.Kind == synth.KindOther || seen[k.Kind]:
				return bad("product %q has a kind %q without a name or twice", p.Class, k.Kind)
			case len(k.Loudness) != len(t.Layers) || !finite(k.Loudness...) || !finite(k.Weight):
				return bad("product %q, %s: loudness %v or weight %g do not fit %d layers", p.Class, k.Kind, k.Loudness, k.Weight, len(t.Layers))
			case !k.All.sane():
				return bad("product %q, %s: counts %+v", p.Class, k.Kind, k.All)
			}
			seen[k.Kind] = true
			for _, b := range k.Bins {
				if b.Size < 0 || b.Size > len(sizeEdges) || b.Strength < 0 || b.Strength > len(strengthEdges) || !b.sane() {
					return bad("product %q, %s: bin %+v", p.Class, k.Kind, b)
				}
			}
		}
	}
	return nil
}

func (c TwinCounts) sane() bool {
	for _, n := range []int{c.Unplaced, c.Within, c.Drawn, c.Beyond} {
		if n < 0 || n > maxDraws {
			return false
		}
	}
	return true
}

// maxTable bounds what ReadTwinTable reads, in bytes.
const maxTable = 16 << 20

// ReadTwinTable reads a table that WriteTo has written. It reads 16 MiB at most
// and checks the whole of it; the error is an ErrConfig, or that of r.
func ReadTwinTable(r io.Reader) (*TwinTable, error) {
	raw, err := io.ReadAll(io.LimitReader(r, maxTable+1))
	if err != nil {
		return nil, fmt.Errorf("tab: read table of twins: %w", err)
	}
	if len(raw) > maxTable {
		return nil, fmt.Errorf("tab: read table of twins: %w: it is longer than %d bytes", ErrConfig, maxTable)
	}
	var t TwinTable
	if err := json.Unmarshal(raw, &t); err != nil {
		return nil, fmt.Errorf("tab: read table of twins: %w: %w", ErrConfig, err)
	}
	if err := t.Validate(); err != nil {
		return nil, err
	}
	return &t, nil
}

// WriteTo writes the table as JSON, and the [Detectability] of its products, which is not read again.
func (t *TwinTable) WriteTo(w io.Writer) (int64, error) {
	raw, err := json.MarshalIndent(struct {
		*TwinTable
		Detectability []Detectability `json:"detectability"`
	}{t, t.Detectability()}, "", " ")
	if err != nil {
		return 0, fmt.Errorf("tab: write table of twins: %w", err)
	}
	n, err := w.Write(append(raw, '\n'))
	return int64(n), err
}

// Save writes the table to a file that appears whole or not at all.
func (t *TwinTable) Save(path string) error {
	return atomicfile.Write(path, func(w io.Writer) error {
		_, err := t.WriteTo(w)
		return err
	})
}

// Text writes the table for the eye: one line a kind, and under it, with bins, one
// line for each size over all strengths and for each strength over all sizes.
func (t *TwinTable) Text(w io.Writer, bins bool) error {
	var b strings.Builder
	for i, p := range t.Products {
		if i > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "%s: spread of %d good images, squared distance over channels at 50, 95, 99 and 99.9 %%:", p.Class, p.Images)
		for l, name := range t.Layers {
			s := p.Spread[l]
			fmt.Fprintf(&b, " %s %.2f %.2f %.2f %.2f", name, s[0], s[1], s[2], s[3])
		}
		b.WriteByte('\n')
		tw := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
		fmt.Fprintf(tw, "kind\ttwins\tnormal\tdrawn\tfar\tweight\t")
		for _, name := range t.Layers {
			fmt.Fprintf(tw, "%s\t", name)
		}
		fmt.Fprintln(tw)
		row := func(name string, c TwinCounts, rest string) {
			fmt.Fprintf(tw, "%s\t%d\t%.0f %%\t%.0f %%\t%.0f %%\t%s\n", name, c.placed(), 100*c.Share(VerdictNormal), 100*c.Share(VerdictDrawn), 100*c.Share(VerdictFar), rest)
		}
		for _, k := range p.Kinds {
			rest := fmt.Sprintf("%.2f\t", k.Weight)
			if k.Normal {
				rest = "as given\t"
			}
			for _, v := range k.Loudness {
				rest += fmt.Sprintf("%.2f\t", v)
			}
			row(k.Kind.String(), k.All, rest)
			if bins && !k.Normal {
				k.lines(row, len(t.Layers))
			}
		}
		if err := tw.Flush(); err != nil {
			return err
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// lines gives the counts of every size and of every strength.
func (k KindTwins) lines(row func(name string, c TwinCounts, rest string), layers int) {
	empty := strings.Repeat("\t", layers+1)
	for _, by := range []struct {
		edges []float64
		of    func(TwinBin) int
		unit  string
	}{
		{sizeEdges[:], func(b TwinBin) int { return b.Size }, "px"},
		{strengthEdges[:], func(b TwinBin) int { return b.Strength }, "levels"},
	} {
		for i := range len(by.edges) + 1 {
			var c TwinCounts
			for _, b := range k.Bins {
				if by.of(b) == i {
					c.Within, c.Drawn, c.Beyond = c.Within+b.Within, c.Drawn+b.Drawn, c.Beyond+b.Beyond
				}
			}
			if c.placed() == 0 {
				continue
			}
			name := fmt.Sprintf("below %g %s", by.edges[0], by.unit)
			if i == len(by.edges) {
				name = fmt.Sprintf("%g+ %s", by.edges[i-1], by.unit)
			} else if i > 0 {
				name = fmt.Sprintf("%g to %g %s", by.edges[i-1], by.edges[i], by.unit)
			}
			row(name, c, empty)
		}
	}
}
