package inspect

import (
	"errors"
	"image"
	"time"

	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/downstream/heatmap"
)

var (
	// ErrBusy says that the queue is full: the caller is to try again later, or to send
	// fewer.
	ErrBusy = errors.New("busy: the queue is full")
	// ErrBundle says that a file is no bundle, is cut short or was altered.
	ErrBundle = errors.New("not a sound bundle")
	// ErrVersion says that a bundle is of a version that this library does not read.
	ErrVersion = errors.New("version of the bundle")
	// ErrReplaced says that an image was read for a bundle that has been replaced since by
	// one that wants its file read otherwise ([DecodedBy]): read it again.
	ErrReplaced = errors.New("the bundle was replaced")
	// ErrGolden says that the images in a bundle do not get the scores that they had
	// when it was made.
	ErrGolden = errors.New("golden images have other scores")
)

// Verdict is what an Inspector decides about one part.
type Verdict struct {
	downstream.Verdict
	Product string         // of the bundle
	Bundle  string         // identifies the bundle that decided: the first 12 digits of the SHA-256 that it carries
	Scorer  string         // identifies what gave the score: alike in bundles that differ by calibration and words alone
	Map     downstream.Map // where the image is unusual, at the image's own size (but see [Config.MapPixels] and [WithoutMap]); NaN where the bundle does not look ([Verdict.Overlay] draws it)
	Scale   heatmap.Scale  // colours of Map
	// Defects names what the bundle's classifier sees, the most probable first; empty
	// without one, and on parts that pass.
	Defects []Named
	Waited  time.Duration // in the queue
	Took    time.Duration // to score, with the images of the same batch
}

// Named is a kind of defect with its probability.
type Named struct {
	Name        string
	Probability float64
}

// Info describes an Inspector and the bundle that is in force.
type Info struct {
	Product     string
	Bundle      string // as in Verdict
	Scorer      string // as in Verdict
	Version     int    // of the bundle's format
	Library     string // version of gotab that wrote it
	Detector    string // such as "padim"
	Threshold   float64
	Rule        string      // what the threshold was chosen for, in words
	Calibration string      // what it promises, in a sentence
	Transform   string      // what becomes of an image, in words
	Input       image.Point // what the network sees, of an image or a tile
	Created     time.Time
	Provenance  map[string]string // data hashes, prompts, seeds, licences as given
}

// Stats counts what an Inspector did since it was made. Counters never fall.
type Stats struct {
	Accepted, Rejected uint64 // verdicts
	Failed             uint64 // errors other than ErrBusy and ends of contexts
	Busy               uint64 // refused by a full queue
	Expired            uint64 // contexts that ended while their image was queued
	Replaced           uint64 // bundles put in force after the first
	Queued, Running    int    // images now
	Drift              Drift
}

// Drift holds the scores of accepted parts against the calibration.
type Drift struct {
	Seen    int     // accepted parts in the window
	PValue  float64 // of the stated test; 1 before there are enough parts
	Alarm   bool    // the monitor's limit was passed, and has not been reset
	Message string  // what was seen, in a sentence; empty without an alarm
}
