// Package session evaluates several detectors on all classes of data sets, with all seeds and
// on one or two networks: what examples/evaluate does behind flags.
//
// [Run] looks at all files before it fits anything, goes on after a class that fails, keeps a
// record of each result as soon as it is there, leaves out what a file of records has
// already, and makes a report, pictures of maps and files of fitted detectors on the way.
// Several processes do parts of one session side by side (evaluate.Part).
package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/evaluate"
	"github.com/gotab/gotab/evaluate/detectors"
	"github.com/gotab/gotab/metrics"
	"github.com/gotab/gotab/scalars"
	"github.com/gotab/gotab/tensor"
)

// Config says what is evaluated, and what is made of it.
type Config struct {
	// Data are folders of data sets (evaluate.OpenRoot); the last parts of their paths tell
	// results apart. Classes are those that are evaluated; none for all.
	Data, Classes []string
	Reading       dataset.Reading
	// Net is the network whose features detectors read; Second one that is compared with it
	// in the report, nil for none. Both are borrowed. Path and SecondPath are what tells the two
	// apart for people: their files.
	Net, Second      *detectors.Network
	Path, SecondPath string
	// Methods are at least one. Layers, Epochs and Shots replace what they have of their own,
	// where they are not empty or 0; Seeds likewise.
	Methods       []detectors.Kind
	Layers        []backbone.Layer
	Epochs, Shots int
	Seeds         []evaluate.Seed
	Rule          metrics.Rule // of the threshold for escape and overkill
	// Part is the part of the classes that this process does; the zero value is all.
	Part evaluate.Part
	// Records is the file of results, a line each; empty for none. Where it has results
	// already, Resume goes on with them, and without it that is evaluate.ErrExists.
	Records string
	Resume  bool
	// Report is the folder of a page with table, curves, histograms and the worst misses; Maps that of
	// a picture for each test image, as CLASS/KIND/NAME.png; Save that of the fitted detectors, as
	// DATA/CLASS/METHOD-SEED.safetensors. Empty for none. Report and Maps do not go with Resume.
	Report, Maps, Save string
	// Curves get the figures of each batch of detectors that train, each training's in places of its own
	// (DATA-CLASS-METHOD-SEED). They need a method that trains.
	Curves scalars.Places
	// SameScale draws the second network's maps on the scale of the first one's.
	SameScale bool
	// Command is what the report and the records say of how they were made.
	Command string
	// Log gets a line now and then for people; nil for nowhere.
	Log io.Writer
}

// ErrConfig reports settings that make no sense, or do not go together.
var ErrConfig = errors.New("wrong settings")

// Default reads files as dataset.DefaultReading has it, and takes a threshold of at most one
// good part in twenty rejected. Data, Net and Methods are the caller's.
func Default() Config {
	return Config{Reading: dataset.DefaultReading(), Rule: metrics.Overkill(0.05)}
}

// Validate names the first field that makes no sense; the error wraps [ErrConfig].
func (o Config) Validate() error {
	wrong := func(format string, a ...any) error {
		return fmt.Errorf("session: %w: "+format, append([]any{ErrConfig}, a...)...)
	}
	switch {
	case len(o.Data) == 0:
		return wrong("Data is empty, the folders of data sets")
	case o.Net == nil:
		return wrong("Net is nil")
	case len(o.Methods) == 0:
		return wrong("Methods is empty")
	case o.Resume && o.Records == "":
		return wrong("Resume needs Records, the file to go on with")
	case o.Resume && (o.Report != "" || o.Maps != ""):
		return wrong("Report and Maps show what is evaluated now, and Resume leaves out what the file has")
	case o.Second != nil && o.Report == "":
		return wrong("Second needs Report, where the second network's maps are shown")
	case o.SameScale && o.Second == nil:
		return wrong("SameScale is for Second, the network whose maps it is about")
	case o.Part.Count > 0 && (o.Records == "" || o.Report != ""):
		return wrong("Part needs Records, where the results of a part go, and no Report, which is of all classes")
	case o.Rule.Kind == metrics.RuleTail || o.Rule.Kind == metrics.RuleConformal:
		return wrong("Rule is %s, which half of a test set has too few good parts for", o.Rule)
	}
	if err := o.Part.Validate(); err != nil {
		return wrong("Part: %w", err)
	}
	for i, root := range o.Data {
		if slices.ContainsFunc(o.Data[:i], func(r string) bool { return baseOf(r) == baseOf(root) }) {
			return wrong("Data names two folders %s, and results are told apart by the last part of the path", baseOf(root))
		}
	}
	for i, class := range o.Classes {
		if slices.Contains(o.Classes[:i], class) {
			return wrong("Classes names %s twice", class)
		}
	}
	for _, n := range []*detectors.Network{o.Net, o.Second} {
		for _, l := range o.Layers {
			if n != nil && n.Net != nil && (n.Net.Channels(l) < 1 || l == backbone.Pooled) {
				return wrong("%w: Layers has %s, and %s has no such map", backbone.ErrLayer, l, n.Arch)
			}
		}
	}
	if err := o.Rule.Validate(); err != nil {
		return wrong("Rule: %w", err)
	}
	if o.Curves != (scalars.Places{}) && !slices.ContainsFunc(o.Methods, func(k detectors.Kind) bool { return k.Trains }) {
		return wrong("Curves are of detectors that train, and none of Methods does")
	}
	if o.Second != nil {
		return sameMethods(o.Methods)
	}
	return nil
}

// device is what a network is on, for people.
func device(n *detectors.Network) string {
	if n.Net == nil { // its methods have none
		return ""
	}
	return n.Net.Device().String()
}

// Result is what a session has made.
type Result struct {
	// Records are the results of the first network, those that were there already included.
	Records []evaluate.Record
	// Differences say how the detectors of the report differ, a line each.
	Differences []string
}

// Run evaluates. It returns what it has made with an error too: that of ctx, one that wraps
// [ErrConfig], dataset.ErrBroken, evaluate.ErrStore, or that of the first class that failed. Nothing
// is fitted before all files have been looked at.
func Run(ctx context.Context, o Config) (r Result, err error) {
	if o.Log == nil {
		o.Log = io.Discard
	}
	if err := o.Validate(); err != nil {
		return r, err
	}
	from, err := openSources(ctx, o.Data, o.Reading.Decoder)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	classes, err := classesOf(o, from)
	if err != nil {
		return r, err
	}
	if all := len(classes); o.Part.Count > 0 {
		classes = only(o.Part, classes)
		o.Records = o.Part.Path(o.Records)
		fmt.Fprintf(o.Log, "part %s: %d of %d classes\n", o.Part, len(classes), all)
		if len(classes) == 0 {
			return r, nil
		}
	}
	s := &session{o: o, net: network{Network: o.Net}, sources: from, log: o.Log, tell: newTeller(o.Log), curves: curves{Places: o.Curves}, noted: map[string]bool{}, made: evaluate.Origin{
		Command: o.Command, Go: runtime.Version(), Libtorch: tensor.LibtorchVersion(), Device: device(o.Net), Cores: tensor.GetThreads().Cores,
	}}
	if o.Second != nil {
		s.compare = &network{Network: o.Second}
		if err := tellApart(&s.net, s.compare, o.Path, o.SecondPath); err != nil {
			return r, err
		}
	}
	jobs, err := s.jobs(classes)
	if err != nil {
		return r, err
	}
	if err := o.tryOutputs(); err != nil {
		return r, err
	}
	if s.store, err = evaluate.OpenStore(o.Records, o.Resume); err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, s.store.Close()) }()
	if err := s.store.Unlocked(); err != nil {
		fmt.Fprintf(o.Log, "note: two that write these results at once would not be kept apart: %v\n", err)
	}
	if err := s.look(ctx, classes, jobs); err != nil {
		return r, err
	}
	return s.all(ctx, jobs)
}
