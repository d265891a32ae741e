package evaluate

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/metrics"
)

// RecordVersion is raised whenever the same images and settings would give other
// figures than before: a [Store] then takes none of the old records.
const RecordVersion = 2

// Record is what is known of one class, method and seed: a line of a [Store].
// Figures and rates are from 0 to 1; what needs maps and masks is nil without them.
type Record struct {
	Version int    `json:"version"`
	Data    string `json:"data"` // name of the data set
	Class   string `json:"class"`
	Method  string `json:"method"`
	Seed    string `json:"seed"`
	Hash    string `json:"settings_sha256"` // of all that decides the figures but the seed

	ImageAUROC  float64  `json:"image_auroc"`
	ImageAP     float64  `json:"image_ap"`
	ImageF1     float64  `json:"image_f1_max"`
	F1Threshold float64  `json:"image_f1_threshold"`
	PixelAUROC  *float64 `json:"pixel_auroc"`
	PixelAP     *float64 `json:"pixel_ap"`
	PixelF1     *float64 `json:"pixel_f1_max"` // nil too in a file of a program that did not count it
	AUPRO       *float64 `json:"aupro"`
	AUPROLimit  *float64 `json:"aupro_limit"`
	// Exact is false where the pixels were too many to keep and were counted in
	// bins; the bounds say by how much the figures can be off then.
	Exact        *bool                  `json:"pixel_auroc_exact"`
	PixelBound   *float64               `json:"pixel_auroc_bound"`
	PixelAPBound *float64               `json:"pixel_ap_bound"`
	AUPROBound   *float64               `json:"aupro_bound"`
	Intervals    map[FigureKey]Interval `json:"intervals"`
	Cut          *CrossFit              `json:"cut"` // nil where a kind has one image only

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
	Weights       string   `json:"weights"`
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
	Unseen  float64  `json:"unseen_share,omitempty"`   // of an image, the largest that the transform cuts off

	Settings json.RawMessage `json:"settings"` // of the detector
	Made     Origin          `json:"made"`

	// Training says which training of a study made the weights; nil where none did.
	Training *Training `json:"training,omitempty"`
	// Images are what the test images scored; nil unless [WithScores] asked for it.
	Images *Images `json:"images,omitempty"`
	// Failed says why the trial has no figures: all of them are 0 or nil then, tables
	// leave the record out, and [Store.Find] does not find it. It is empty otherwise.
	Failed string `json:"failed,omitempty"`
}

// Training is one training of a network of a study.
type Training struct {
	Name string `json:"name"` // of the recipe
	Seed uint64 `json:"seed"` // of the training; 0 where the weights were there already
	// Share is the share of the trained weights, above 0 and at most 1; the rest are
	// those of the start.
	Share float64 `json:"share"`
}

// Images are the scores of test images, in the order of the test set.
type Images struct {
	SHA256    string    `json:"sha256"` // of the names and labels of the images
	Scores    []float64 `json:"scores"`
	Defective []bool    `json:"defective"`
}

func newImages(items []dataset.Item, scores []float64, defective []bool) (*Images, error) {
	sum, err := sumOf(items)
	if err != nil {
		return nil, fmt.Errorf("names of the test images: %w", err)
	}
	return &Images{sum, scores, defective}, nil
}

// sumOf is the checksum of a value's JSON.
func sumOf(v any) (string, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), nil
}

// Origin says by what a record was made. All of it is for people and may be empty.
type Origin struct {
	Command  string `json:"command"`
	Go       string `json:"go"`
	Libtorch string `json:"libtorch"`
	Device   string `json:"device"`
	Cores    int    `json:"cores"`
}

// Interval is a confidence interval over the images of the test set.
type Interval struct {
	Low    float64 `json:"low"`
	High   float64 `json:"high"`
	Level  float64 `json:"level"`
	Method string  `json:"method"`
}

// Key tells records apart. What has the same key need not be done twice.
type Key struct{ Data, Class, Method, Seed, Hash string }

// Key returns the key of the record.
func (r Record) Key() Key { return Key{r.Data, r.Class, r.Method, r.Seed, r.Hash} }

// hash is a checksum of all that decides the figures of a trial but the seed: the
// settings of the method, the weights, the names and labels of all images, and how
// they are judged. What lies in the image files is not part of it. r has what is
// known of the trial.
func (t Trial) hash(r Record) (string, error) {
	var others []dataset.Item
	if t.Others != nil {
		others = dataset.Items(t.Others)
	}
	above := 0
	if t.Decoder != (dataset.Decoder{}) {
		above = t.Decoder.MaskAbove - dataset.DefaultDecoder().MaskAbove
	}
	by := t.Method.Protocol
	transform := ""
	if !names(r.Settings, by.Transform) {
		transform = by.Transform.Fingerprint()
	}
	if by.Tiles != nil && !names(r.Settings, *by.Tiles) {
		transform += " of tiles " + by.Tiles.String()
	}
	// Names and order of the fields are part of the checksum.
	sum, err := sumOf(struct {
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
		MaskAbove                                 int       `json:",omitempty"` // what is not the default
		Transform                                 string    `json:",omitempty"` // what the settings do not name
		Training                                  *Training `json:",omitempty"`
	}{r.Version, r.Method, r.Arch, r.WeightsSHA256, r.Mask, r.Score, r.Epoch, r.Layers, r.Epochs, r.Shots, r.Settings,
		dataset.Items(t.Train), dataset.Items(t.Test), others, by.Rule.Flag(), by.Limit, by.Bootstrap, by.PixelBytes, above, transform, r.Training})
	if err != nil {
		return "", fmt.Errorf("settings of %s: %w", r.Method, err)
	}
	return sum, nil
}

// names says whether settings have a value, such as a transform, in some part of them:
// those of a detector that applies it do, and it need not be in the checksum twice. One
// that is zero need not be named.
func names[T dataset.Transform | dataset.Tiles](settings json.RawMessage, value T) bool {
	var zero T
	plain := func(v any) any { // as JSON has it
		b, err := json.Marshal(v)
		var out any
		if err != nil || json.Unmarshal(b, &out) != nil {
			return nil
		}
		return out
	}
	want := plain(value)
	return reflect.DeepEqual(want, plain(zero)) || holds(plain(settings), want)
}

// holds says whether a JSON value is part of another one.
func holds(all, part any) bool {
	if reflect.DeepEqual(all, part) {
		return true
	}
	switch v := all.(type) {
	case map[string]any:
		for _, e := range v {
			if holds(e, part) {
				return true
			}
		}
	case []any:
		for _, e := range v {
			if holds(e, part) {
				return true
			}
		}
	}
	return false
}

// Validate refuses what no run writes, so that tables can trust a file. It returns
// [ErrRecords].
func (r Record) Validate() error {
	if err := r.check(); err != nil {
		return fmt.Errorf("evaluate: record: %w: %w", ErrRecords, err)
	}
	return nil
}

func (r *Record) check() error {
	switch {
	case r.Version != RecordVersion:
		return fmt.Errorf("version is %d, this program writes %d", r.Version, RecordVersion)
	case r.Class == "" || r.Method == "" || r.Seed == "" || r.Hash == "":
		return fmt.Errorf("class %q, method %q, seed %q and settings_sha256 %q: one is missing", r.Class, r.Method, r.Seed, r.Hash)
	case r.Failed != "":
		return nil
	case (r.PixelAUROC == nil) != (r.AUPRO == nil) || (r.PixelAUROC == nil) != (r.PixelAP == nil) || r.AUPRO != nil && r.AUPROLimit == nil:
		return fmt.Errorf("class %s: of the pixel figures some are missing", r.Class)
	case r.Cut != nil && (r.Cut.Defects < 1 || r.Cut.Good < 1):
		return fmt.Errorf("class %s: the cut is of %d defects and %d good parts", r.Class, r.Cut.Defects, r.Cut.Good)
	case r.Images != nil && (len(r.Images.Scores) == 0 || len(r.Images.Scores) != len(r.Images.Defective)):
		return fmt.Errorf("class %s: %d scores of images and %d labels", r.Class, len(r.Images.Scores), len(r.Images.Defective))
	}
	for _, k := range FigureKeys() {
		if v, ok := r.Value(k); ok && !(v >= 0 && v <= 1) {
			return fmt.Errorf("class %s: %s is %v, want 0 to 1", r.Class, k, v)
		}
	}
	return r.Protocol(1).Validate()
}

// Protocol is how every figure of the record was made, for a number over so many
// seeds.
func (r Record) Protocol(seeds int) metrics.Protocol {
	data := fmt.Sprintf("fitted on %d good training images, %d test images", r.FitImages, r.ScoreImages)
	if r.Data != "" {
		data = r.Data + ", " + data
	}
	var notes []string
	if n := r.Network(); n != "" {
		notes = append(notes, n)
	}
	if r.Weights != "" {
		notes = append(notes, fmt.Sprintf("weights %s (%s)", r.Weights, short(r.WeightsSHA256)))
	}
	if n := len(r.Skipped); n > 0 {
		notes = append(notes, fmt.Sprintf("%d images left out that cannot be read", n))
	}
	if r.Unseen > 0.005 {
		notes = append(notes, fmt.Sprintf("up to %.0f %% of an image not seen", 100*r.Unseen))
	}
	return metrics.Protocol{Data: data, Width: r.Width, Height: r.Height, Mask: r.Mask, Epoch: r.Epoch, Score: r.Score, Seeds: seeds,
		Notes: strings.Join(notes, ", ")}
}

// Network names the network, and what the method asks of it and of the training.
// It is empty for a method without either.
func (r Record) Network() string {
	var parts []string
	if r.Arch != "" {
		parts = append(parts, r.Arch)
	}
	if len(r.Layers) > 0 {
		parts = append(parts, "layers "+strings.Join(r.Layers, " "))
	}
	for _, n := range []struct {
		of   int
		word string
	}{{r.Shots, "shot"}, {r.Epochs, "epoch"}} {
		switch {
		case n.of == 1:
			parts = append(parts, "1 "+n.word)
		case n.of > 1:
			parts = append(parts, fmt.Sprintf("%d %ss", n.of, n.word))
		}
	}
	return strings.Join(parts, ", ")
}

// short is enough of a checksum to tell files apart.
func short(sha256 string) string { return sha256[:min(8, len(sha256))] }

// keep puts the interval of a figure into the record.
func (r *Record) keep(key FigureKey, i metrics.Interval) {
	if r.Intervals == nil {
		r.Intervals = map[FigureKey]Interval{}
	}
	r.Intervals[key] = Interval{Low: i.Low, High: i.High, Level: i.Level, Method: i.Method}
}
