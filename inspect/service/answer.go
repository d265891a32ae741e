package service

import (
	"math"
	"time"

	"github.com/gotab/gotab/inspect"
)

// Answer is the body that an image is answered with.
type Answer struct {
	RequestID string   `json:"request_id"`
	Product   string   `json:"product"`
	Bundle    string   `json:"bundle"`    // that decided: the first 12 digits of its SHA-256
	Scorer    string   `json:"scorer"`    // identifies what gave the score: alike in bundles that differ by calibration alone
	Decision  Decision `json:"decision"`  // "pass" or "reject"
	Score     float64  `json:"score"`     // higher is more unusual
	Threshold *float64 `json:"threshold"` // a part is rejected from it on; null where it is infinite
	Rule      string   `json:"rule"`      // what the threshold was chosen for
	Reason    string   `json:"reason"`    // the decision in a sentence
	AsHigh    int      `json:"as_high"`   // of the Good parts of the calibration that score as high
	Good      int      `json:"good"`
	PValue    float64  `json:"p_value"` // conformal, above 0 to 1
	Width     int      `json:"width"`   // of the image as it was judged, in pixels
	Height    int      `json:"height"`
	Defects   []Defect `json:"defects"` // what the classifier sees, the most probable first; empty without one
	Timing    Timing   `json:"timing"`
	Map       *Map     `json:"map,omitempty"` // with ?map=base64
}

// Decision is what is to be done with a part.
type Decision string

// The two decisions.
const (
	Pass   Decision = "pass"
	Reject Decision = "reject"
)

// Defect is a kind of defect with its probability.
type Defect struct {
	Name        string  `json:"name"`
	Probability float64 `json:"probability"`
}

// Timing says where the time went, in milliseconds.
type Timing struct {
	Read    float64 `json:"read_ms"`    // until the body was there
	Decode  float64 `json:"decode_ms"`  // of the image
	Waited  float64 `json:"waited_ms"`  // in the Inspector's queue
	Inspect float64 `json:"inspect_ms"` // to score, with the images of the same batch
}

// Map is a heat map as an image.
type Map struct {
	Type string  `json:"type"` // "image/png"
	Data []byte  `json:"data"` // base64
	Low  float64 `json:"low"`  // values of the map below it have no colour
	High float64 `json:"high"` // values from it on have the last colour
}

// Information is the body of /info.
type Information struct {
	Products []Product `json:"products"` // by name, rising
}

// Product is an Inspector and what it did since it was made.
type Product struct {
	Name        string            `json:"name"` // by which the routes know it
	Bundle      string            `json:"bundle"`
	Scorer      string            `json:"scorer"`
	Version     int               `json:"version"` // of the bundle's format
	Library     string            `json:"library"` // version of gotab that wrote it
	Detector    string            `json:"detector"`
	Threshold   *float64          `json:"threshold"` // null where it is infinite
	Rule        string            `json:"rule"`
	Calibration string            `json:"calibration"` // what it promises
	Width       int               `json:"width"`       // that the detector works at, in pixels
	Height      int               `json:"height"`
	Created     time.Time         `json:"created"`
	Provenance  map[string]string `json:"provenance"`
	Accepted    uint64            `json:"accepted"` // verdicts
	Rejected    uint64            `json:"rejected"`
	Failed      uint64            `json:"failed"` // errors
	Busy        uint64            `json:"busy"`   // refused by a full queue
	Expired     uint64            `json:"expired"`
	Replaced    uint64            `json:"replaced"` // bundles put in force after the first
	Queued      int               `json:"queued"`   // images now
	Running     int               `json:"running"`
	Drift       Drift             `json:"drift"`
	Feedback    bool              `json:"feedback"` // what operators say is kept: there is a journal
}

// Drift holds the scores of accepted parts against the calibration.
type Drift struct {
	Seen    int     `json:"seen"` // accepted parts in the window
	PValue  float64 `json:"p_value"`
	Alarm   bool    `json:"alarm"`
	Message string  `json:"message"`
}

// Opinion is the body of /feedback/{product}: what an operator says of a part, with what
// the Answer said of it.
type Opinion struct {
	Label     string   `json:"label"` // "good" or "defect"
	RequestID string   `json:"request_id"`
	Bundle    string   `json:"bundle"`
	Scorer    string   `json:"scorer"`
	Decision  Decision `json:"decision"`
	Score     float64  `json:"score"`
	Threshold float64  `json:"threshold"`
	By        string   `json:"by,omitempty"`   // who says it, at most 200 bytes
	Note      string   `json:"note,omitempty"` // at most 1000 bytes
}

// Recorded is the answer to an Opinion that is in the journal.
type Recorded struct {
	RequestID string `json:"request_id"`
	Product   string `json:"product"`
	Recorded  bool   `json:"recorded"`
}

// State is the body of /healthz and /readyz: "ok", or "draining" with status 503.
type State struct {
	Status string `json:"status"`
}

// Problem is the body of every error.
type Problem struct {
	Error     ProblemError `json:"error"`
	RequestID string       `json:"request_id"`
}

// ProblemError says what is wrong: Code for programs, Message for people.
type ProblemError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

func answerOf(v inspect.Verdict) Answer {
	a := Answer{Product: v.Product, Bundle: v.Bundle, Scorer: v.Scorer, Decision: Pass, Score: v.Score, Threshold: finite(v.Threshold), Rule: v.Rule,
		Reason: v.Verdict.String(), AsHigh: v.AsHigh, Good: v.Good, PValue: v.PValue(), Defects: []Defect{}}
	if v.Reject {
		a.Decision = Reject
	}
	for _, d := range v.Defects {
		a.Defects = append(a.Defects, Defect(d))
	}
	return a
}

func productOf(name string, i inspect.Info, s inspect.Stats) Product {
	p := Product{Name: name, Bundle: i.Bundle, Scorer: i.Scorer, Version: i.Version, Library: i.Library, Detector: i.Detector, Threshold: finite(i.Threshold),
		Rule: i.Rule, Calibration: i.Calibration, Width: i.Input.X, Height: i.Input.Y, Created: i.Created, Provenance: i.Provenance,
		Accepted: s.Accepted, Rejected: s.Rejected, Failed: s.Failed, Busy: s.Busy, Expired: s.Expired, Replaced: s.Replaced,
		Queued: s.Queued, Running: s.Running, Drift: Drift(s.Drift)}
	if p.Provenance == nil {
		p.Provenance = map[string]string{}
	}
	if !isFinite(p.Drift.PValue) { // JSON has no such number
		p.Drift.PValue = 1
	}
	return p
}

// finite is v, or nil for a number that JSON does not have.
func finite(v float64) *float64 {
	if !isFinite(v) {
		return nil
	}
	return &v
}

func isFinite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
