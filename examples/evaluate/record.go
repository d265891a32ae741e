package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"strings"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/examples/internal/inputs"
	"github.com/gotab/gotab/metrics"
)

// recordVersion is raised whenever the same images and settings would give other
// figures than before: -resume then takes none of the old ones.
const recordVersion = 2

// record is what is known of one class, method and seed: a line of the -json
// file. Figures and rates are from 0 to 1; what needs masks is null without them.
type record struct {
	Version int    `json:"version"`
	Data    string `json:"data"` // last part of the root's path
	Class   string `json:"class"`
	Method  string `json:"method"`
	Seed    string `json:"seed"`
	Hash    string `json:"settings_sha256"` // see hashOf

	ImageAUROC  float64  `json:"image_auroc"`
	ImageAP     float64  `json:"image_ap"`
	ImageF1     float64  `json:"image_f1_max"`
	F1Threshold float64  `json:"image_f1_threshold"`
	PixelAUROC  *float64 `json:"pixel_auroc"`
	PixelAP     *float64 `json:"pixel_ap"`
	PixelF1     *float64 `json:"pixel_f1_max"` // null too in a file of a program that did not count it
	AUPRO       *float64 `json:"aupro"`
	AUPROLimit  *float64 `json:"aupro_limit"`
	// Exact is false where the pixels were too many to keep and were counted in
	// bins; the bounds say by how much the figures can be off then.
	Exact        *bool               `json:"pixel_auroc_exact"`
	PixelBound   *float64            `json:"pixel_auroc_bound"`
	PixelAPBound *float64            `json:"pixel_ap_bound"`
	AUPROBound   *float64            `json:"aupro_bound"`
	Intervals    map[string]interval `json:"intervals"` // by the key of the figure
	Cut          *cut                `json:"cut"`       // null where a kind has one image only

	FitImages      int     `json:"fit_images"`
	ScoreImages    int     `json:"score_images"`
	TrainImages    int     `json:"train_images"` // of other classes, each as often as a training before the fit took it
	FitSpeed       float64 `json:"fit_images_per_second"`
	ScoreSpeed     float64 `json:"score_images_per_second"`
	TrainSeconds   float64 `json:"train_seconds"`
	FitSeconds     float64 `json:"fit_seconds"`
	ScoreSeconds   float64 `json:"score_seconds"`
	MetricsSeconds float64 `json:"metrics_seconds"`
	PeakRSS        int64   `json:"peak_rss_bytes"` // 0 where the system does not tell it of a job alone

	Chance        string   `json:"seed_decides"` // empty where the method draws nothing
	Arch          string   `json:"arch"`
	Layers        []string `json:"layers"`
	Weights       string   `json:"weights"` // last part of the path, or "random:SEED"
	WeightsSHA256 string   `json:"weights_sha256"`
	Epochs        int      `json:"epochs"`
	Shots         int      `json:"shots"`
	Width         int      `json:"width"`
	Height        int      `json:"height"`
	Transform     string   `json:"transform"`
	Mask          string   `json:"mask"`
	Epoch         string   `json:"epoch"`
	Score         string   `json:"score"`

	Skipped []string `json:"skipped_images,omitempty"` // of the class, which could not be read
	Unseen  float64  `json:"unseen_share,omitempty"`   // of a picture, the largest that the transform cuts off

	Settings json.RawMessage `json:"settings"` // of the detector
	Made     origin          `json:"made"`
}

// origin says by what a record was made.
type origin struct {
	Command  string `json:"command"`
	Go       string `json:"go"`
	Libtorch string `json:"libtorch"`
	Device   string `json:"device"`
	Cores    int    `json:"cores"`
}

// interval is a confidence interval over the images of the test set.
type interval struct {
	Low    float64 `json:"low"`
	High   float64 `json:"high"`
	Level  float64 `json:"level"`
	Method string  `json:"method"`
}

// key tells records apart. What has the same key need not be done twice.
type key struct{ data, class, method, seed, hash string }

func (r *record) key() key { return key{r.Data, r.Class, r.Method, r.Seed, r.Hash} }

// hashOf is a checksum of all that decides the figures of a class but the seed:
// the settings of the detector, the weights, the names and labels of all images,
// and how they are judged. What lies in the image files is not part of it.
func hashOf(o opened, rule cutRule, reading inputs.Flags) (string, error) {
	r := o.record
	var others []dataset.Item
	if o.others != nil {
		others = dataset.Items(o.others)
	}
	b, err := json.Marshal(struct {
		Version                                   int
		Method, Arch, Weights, Mask, Score, Epoch string
		Layers                                    []string
		Epochs, Shots                             int
		Settings                                  json.RawMessage
		Train, Test, Others                       []dataset.Item
		Rule                                      string
		Limit                                     float64
		Bootstrap                                 metrics.BootstrapConfig
		Budget                                    int64
		MaskAbove                                 int `json:",omitempty"` // what is not the default
	}{r.Version, r.Method, r.Arch, r.WeightsSHA256, r.Mask, r.Score, r.Epoch, r.Layers, r.Epochs, r.Shots, r.Settings,
		dataset.Items(o.train), dataset.Items(o.test), others, rule.String(), metrics.LimitMVTec, metrics.DefaultBootstrap(), pixelBudget, reading.MaskAbove - dataset.DefaultDecoder().MaskAbove})
	if err != nil {
		return "", fmt.Errorf("settings of %s: %w", r.Method, err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), nil
}

// validate refuses what no run writes, so that tables can trust a file.
func (r *record) validate() error {
	switch {
	case r.Version != recordVersion:
		return fmt.Errorf("version is %d, this program writes %d", r.Version, recordVersion)
	case r.Class == "" || r.Method == "" || r.Seed == "" || r.Hash == "":
		return fmt.Errorf("class %q, method %q, seed %q and settings_sha256 %q: one is missing", r.Class, r.Method, r.Seed, r.Hash)
	case (r.PixelAUROC == nil) != (r.AUPRO == nil) || (r.PixelAUROC == nil) != (r.PixelAP == nil) || r.AUPRO != nil && r.AUPROLimit == nil:
		return fmt.Errorf("class %s: of the pixel figures some are missing", r.Class)
	case r.Cut != nil && (r.Cut.Defects < 1 || r.Cut.Good < 1):
		return fmt.Errorf("class %s: the cut is of %d defects and %d good parts", r.Class, r.Cut.Defects, r.Cut.Good)
	}
	for _, f := range figureKinds() {
		if v, ok := f.of(r); ok && !(v >= 0 && v <= 1) {
			return fmt.Errorf("class %s: %s is %v, want 0 to 1", r.Class, f.key, v)
		}
	}
	return r.protocol(1).Validate()
}

// protocol is how every figure of the record was made.
func (r *record) protocol(seeds int) metrics.Protocol {
	notes := fmt.Sprintf("%s, weights %s (%s)", r.network(), r.Weights, short(r.WeightsSHA256))
	if n := len(r.Skipped); n > 0 {
		notes += fmt.Sprintf(", %d images left out that cannot be read", n)
	}
	if r.Unseen > 0.005 {
		notes += fmt.Sprintf(", up to %.0f %% of an image not seen", 100*r.Unseen)
	}
	return metrics.Protocol{
		Data:  fmt.Sprintf("%s, fitted on %d good training images, %d test images", r.Data, r.FitImages, r.ScoreImages),
		Width: r.Width, Height: r.Height, Mask: r.Mask, Epoch: r.Epoch, Score: r.Score, Seeds: seeds, Notes: notes,
	}
}

// network names the network, and what the method asks of it and of the training.
func (r *record) network() string {
	text := fmt.Sprintf("%s, layers %s", r.Arch, strings.Join(r.Layers, " "))
	for _, n := range []struct {
		of   int
		word string
	}{{r.Shots, "shot"}, {r.Epochs, "epoch"}} {
		switch {
		case n.of == 1:
			text += ", 1 " + n.word
		case n.of > 1:
			text += fmt.Sprintf(", %d %ss", n.of, n.word)
		}
	}
	return text
}

// short is enough of a checksum to tell files apart.
func short(sha256 string) string { return sha256[:min(8, len(sha256))] }

// figureKind is one of the figures that a record has.
type figureKind struct {
	key, name string
	of        func(r *record) (float64, bool)
	bound     func(r *record) *float64
}

// figureKinds lists all figures in the order in which they are printed.
func figureKinds() []figureKind {
	always := func(v func(r *record) float64) func(r *record) (float64, bool) {
		return func(r *record) (float64, bool) { return v(r), true }
	}
	masked := func(v func(r *record) *float64) func(r *record) (float64, bool) {
		return func(r *record) (float64, bool) {
			if p := v(r); p != nil {
				return *p, true
			}
			return math.NaN(), false
		}
	}
	counted := func(v func(c *cut) float64) func(r *record) (float64, bool) {
		return func(r *record) (float64, bool) {
			if r.Cut == nil {
				return math.NaN(), false
			}
			return v(r.Cut), true
		}
	}
	none := func(*record) *float64 { return nil }
	return []figureKind{
		{imageAUROC, "image AUROC", always(func(r *record) float64 { return r.ImageAUROC }), none},
		{imageAP, "image average precision", always(func(r *record) float64 { return r.ImageAP }), none},
		{imageF1, "image F1-max", always(func(r *record) float64 { return r.ImageF1 }), none},
		{pixelAUROC, "pixel AUROC", masked(func(r *record) *float64 { return r.PixelAUROC }), func(r *record) *float64 { return r.PixelBound }},
		{pixelAP, "pixel average precision", masked(func(r *record) *float64 { return r.PixelAP }), func(r *record) *float64 { return r.PixelAPBound }},
		{pixelF1, "pixel F1-max", masked(func(r *record) *float64 { return r.PixelF1 }), none},
		{aupro, fmt.Sprintf("AUPRO to %g", metrics.LimitMVTec), masked(func(r *record) *float64 { return r.AUPRO }), func(r *record) *float64 { return r.AUPROBound }},
		{escape, "escape", counted((*cut).rateEscaped), none},
		{overkill, "overkill", counted((*cut).rateOverkilled), none},
	}
}

// Keys of the figures, in records and in Intervals.
const (
	imageAUROC = "image_auroc"
	imageAP    = "image_ap"
	imageF1    = "image_f1_max"
	pixelAUROC = "pixel_auroc"
	pixelAP    = "pixel_ap"
	pixelF1    = "pixel_f1_max"
	aupro      = "aupro"
	escape     = "escape"
	overkill   = "overkill"
)

// keep puts the interval of a figure into the record.
func (r *record) keep(key string, i metrics.Interval) {
	if r.Intervals == nil {
		r.Intervals = map[string]interval{}
	}
	r.Intervals[key] = interval{Low: i.Low, High: i.High, Level: i.Level, Method: i.Method}
}
