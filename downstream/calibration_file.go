package downstream

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/gotab/gotab/downstream/internal/engine"
	"github.com/gotab/gotab/downstream/internal/feed"
	"github.com/gotab/gotab/metrics"
	"github.com/gotab/gotab/tensor"
)

// Beside its own arrays a saved detector keeps, under these names, the digests of the
// images of its fit (int64) and, where it is calibrated, the scores of the calibration
// (float64, rising), whose other parts are JSON under the key of the metadata. Files
// from before have none of it, and open as detectors that are not calibrated.
const (
	keyCalibration     = "calibration"
	calibrationVersion = 1
	keptPrefix         = "kept."
	keptImages         = keptPrefix + "images"
	keptGood           = keptPrefix + "good"
	keptDefective      = keptPrefix + "defective"
)

// beside is what a file says of a model besides its arrays.
type beside struct {
	seen        []uint64
	calibration *Calibration
}

// beside is what a file says of t besides its arrays.
func (t *state) beside() beside { return beside{seen: t.seen, calibration: t.calibration()} }

// take makes what a file says besides part of t, which is new.
func (t *state) take(k beside) { t.seen, t.opened = k.seen, k.calibration }

// writeFitted is WriteTo of a detector.
func writeFitted[M fitted](w io.Writer, d *engine.Core[M], by method[M], kind string) (int64, error) {
	return d.Write(w, kind, func(g M) (*engine.Contents, error) { return contentsOf(by, g) })
}

// contentsOf is what a file says of g, with what it says besides.
func contentsOf[M fitted](by method[M], g M) (*engine.Contents, error) {
	c, err := by.contents(g)
	if err == nil {
		err = g.own().beside().add(c)
	}
	return c, err
}

// readFitted reads what writeFitted wrote.
func readFitted[C any, S interface{ Config() (C, error) }](r io.Reader, by engine.Who, kind string) (st S, cfg C, arrays []tensor.Array, also beside, err error) {
	st, cfg, arrays, also, _, err = readFittedBut[C, S](r, by, kind)
	return st, cfg, arrays, also, err
}

// readFittedBut is readFitted that leaves the float32 arrays of some names without their data, which file has.
func readFittedBut[C any, S interface{ Config() (C, error) }](r io.Reader, by engine.Who, kind string, later ...string) (st S, cfg C, arrays []tensor.Array, also beside, file *tensor.WeightFile, err error) {
	st, cfg, w, file, err := engine.ReadSavedBut[C, S](r, by, kind, later...)
	if err != nil {
		return st, cfg, nil, also, nil, err
	}
	if also, arrays, err = readKept(w); err != nil {
		err = fmt.Errorf("%s: %w: %w", by.Doing("read"), ErrFile, err)
	}
	return st, cfg, arrays, also, file, err
}

// savedCalibration is the JSON form of a calibration without its scores.
type savedCalibration struct {
	Version int                    `json:"version"`
	Point   metrics.OperatingPoint `json:"point"`
	Scale   [2]float64             `json:"scale"`
	Tiles   string                 `json:"tiles,omitempty"`
}

// add adds k to what a file holds.
func (k beside) add(to *engine.Contents) error {
	if len(k.seen) > 0 {
		digests := make([]int64, len(k.seen))
		for i, d := range k.seen {
			digests[i] = int64(d)
		}
		to.Arrays = append(to.Arrays, tensor.IntArray(keptImages, digests, int64(len(digests))))
	}
	c := k.calibration
	if c == nil {
		return nil
	}
	text, err := json.Marshal(savedCalibration{calibrationVersion, c.point, [2]float64{c.scale.Low, c.scale.High}, c.tiles})
	if err != nil {
		return err
	}
	if to.Metadata == nil {
		to.Metadata = map[string]string{}
	}
	to.Metadata[keyCalibration] = string(text)
	for _, list := range []struct {
		name   string
		scores []float64
	}{{keptGood, c.good}, {keptDefective, c.defective}} {
		if len(list.scores) == 0 {
			continue
		}
		var data []byte
		for _, s := range list.scores {
			data = binary.LittleEndian.AppendUint64(data, math.Float64bits(s))
		}
		to.Arrays = append(to.Arrays, tensor.Array{Name: list.name, DType: tensor.Float64, Shape: []int64{int64(len(list.scores))}, Data: data})
	}
	return nil
}

// readKept takes what add added out of the arrays of a file.
func readKept(w *tensor.Weights) (k beside, own []tensor.Array, err error) {
	lists := make(map[string][]uint64)
	for _, a := range w.Arrays {
		if !strings.HasPrefix(a.Name, keptPrefix) {
			own = append(own, a)
			continue
		}
		want, most := tensor.Float64, maxScores
		if a.Name == keptImages {
			want, most = tensor.Int64, feed.MaxSightings
		}
		if a.DType != want || len(a.Shape) != 1 || a.Shape[0] < 1 || a.Shape[0] > int64(most) || int64(len(a.Data)) != 8*a.Shape[0] {
			return k, nil, fmt.Errorf("%s is %s %v, want %s and 1 to %d of them", a.Name, a.DType, a.Shape, want, most)
		}
		list := make([]uint64, a.Shape[0])
		for i := range list {
			list[i] = binary.LittleEndian.Uint64(a.Data[8*i:])
		}
		lists[a.Name] = list
	}
	k.seen = lists[keptImages]
	if !slices.IsSorted(k.seen) {
		return k, nil, fmt.Errorf("%s does not rise", keptImages)
	}
	text, ok := w.Metadata[keyCalibration]
	if !ok {
		return k, own, nil
	}
	k.calibration, err = readCalibration(text, lists[keptGood], lists[keptDefective])
	if err != nil {
		return k, nil, fmt.Errorf("calibration: %w", err)
	}
	return k, own, nil
}

// readCalibration returns what a file says, if a calibration can be so.
func readCalibration(text string, good, defective []uint64) (*Calibration, error) {
	var st savedCalibration
	if err := json.Unmarshal([]byte(text), &st); err != nil {
		return nil, err
	}
	if st.Version != calibrationVersion {
		return nil, fmt.Errorf("it has version %d, this library reads %d", st.Version, calibrationVersion)
	}
	c := &Calibration{point: st.Point, scale: ColourScale{st.Scale[0], st.Scale[1]}, tiles: st.Tiles}
	if err := c.scale.check(); err != nil {
		return nil, err
	}
	if err := c.point.Rule.Validate(); err != nil {
		return nil, err
	}
	for _, list := range []struct {
		bits []uint64
		to   *[]float64
		all  int // parts that there were
	}{{good, &c.good, st.Point.Cut.Good}, {defective, &c.defective, st.Point.Cut.Defects}} {
		if len(list.bits) != min(list.all, maxScores) {
			return nil, fmt.Errorf("%d scores of %d parts", len(list.bits), list.all)
		}
		for i, b := range list.bits {
			s := math.Float64frombits(b)
			if s-s != 0 || i > 0 && s < (*list.to)[i-1] {
				return nil, fmt.Errorf("score %d is %v, want finite ones that rise", i, s)
			}
			*list.to = append(*list.to, s)
		}
	}
	if len(c.good) == 0 {
		return nil, fmt.Errorf("no good part")
	}
	return c, c.checkCut()
}

// checkCut refuses a threshold that does not do what is said of it.
func (c *Calibration) checkCut() error {
	said := c.point.Cut
	below := func(list []float64) int {
		n, _ := slices.BinarySearch(list, said.Threshold)
		return n
	}
	rejected, missed := len(c.good)-below(c.good), below(c.defective)
	whole := said.Good == len(c.good) && said.Defects == len(c.defective)
	if whole && (rejected != said.Overkilled || missed != said.Missed) ||
		said.Overkilled < 0 || said.Overkilled > said.Good || said.Missed < 0 || said.Missed > said.Defects {
		return fmt.Errorf("at threshold %v it says %d of %d good parts and %d of %d defects, the scores say %d and %d",
			said.Threshold, said.Overkilled, said.Good, said.Missed, said.Defects, rejected, missed)
	}
	return nil
}
