package main

import (
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/evaluate"
	"github.com/gotab/gotab/evaluate/detectors"
	"github.com/gotab/gotab/evaluate/session"
	"github.com/gotab/gotab/examples/internal/inputs"
	"github.com/gotab/gotab/examples/internal/process"
	"github.com/gotab/gotab/metrics"
)

var (
	errUsage = errors.New("evaluate: wrong arguments")
	wrong    = process.Wrong(errUsage)
)

// options are the flags.
type options struct {
	session.Config
	arch      string
	precision backbone.Precision
	details   bool
	reading   inputs.Flags
}

// parse reads the flags; known are the methods to choose from.
func parse(args []string, known []detectors.Kind, stderr io.Writer) (options, error) {
	o := options{Config: session.Default()}
	var names []string
	for _, m := range known {
		names = append(names, m.Name)
	}
	var roots inputs.Several
	var classes, chosen, layers inputs.List
	var one, several, rule, part string
	fs := flag.NewFlagSet("evaluate", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.Var(&roots, "data", "`folder` of a data set: one folder a class in MVTec AD's layout, or another layout with the splits train and test (required; may be given several times)")
	fs.StringVar(&o.Path, "weights", "", "`file` with weights of a ResNet under torchvision's names, 'random' or 'random:SEED' (required)")
	fs.StringVar(&o.arch, "arch", "", "architecture `name` of random weights (resnet18), or what the file must hold")
	fs.Var(&classes, "class", "class `names`, or 'all' (the default)")
	fs.Var(&chosen, "method", "detectors, of: "+strings.Join(names, ", ")+" (padim)")
	fs.Var(&layers, "layers", "`layers` to look at in place of the method's own, for example layer2,layer3,layer4")
	fs.StringVar(&one, "seed", "", "`seed` of what a method draws at random, or 'reference' (the method's own)")
	fs.StringVar(&several, "seeds", "", "`N` for the seeds 1 to N, or a list of them: everything is done for each")
	fs.IntVar(&o.Epochs, "epochs", 0, "`epochs` of methods that train (the article's)")
	fs.IntVar(&o.Shots, "shots", 0, "good `images` a class of methods that learn from few (the method's own)")
	fs.StringVar(&rule, "cut", "overkill:0.05", "`rule` of the threshold for escape and overkill: overkill:RATE, escape:RATE, youden or f1")
	o.reading.AddDevice(fs)
	fs.TextVar(&o.precision, "precision", backbone.Float32, "`precision` that features are computed in: float32, or bfloat16, which is two to three times as fast on processors that have AVX512-BF16")
	fs.StringVar(&o.Records, "json", "", "`file` for one JSON object a class, method and seed")
	fs.BoolVar(&o.Resume, "resume", false, "go on with what the -json file has, and leave out what is in it")
	fs.BoolVar(&o.details, "details", false, "print every figure with its interval and its protocol")
	fs.StringVar(&o.Report, "report", "", "`folder` for a report: one page with table, curves, histograms and the worst misses, and its pictures")
	fs.StringVar(&o.SecondPath, "compare", "", "`weights` of a second network, whose figures and maps stand beside in the report")
	fs.BoolVar(&o.SameScale, "same-scale", false, "draw the second network's maps on the scale of the first one's good parts, and not of its own")
	inputs.AddCurves(fs, &o.Curves)
	o.reading.AddReading(fs)
	o.reading.AddPrefix(fs)
	o.reading.AddTransform(fs)
	fs.StringVar(&o.Maps, "maps", "", "`folder` for one picture a test image")
	fs.StringVar(&o.Save, "save", "", "`folder` for the fitted detectors")
	fs.StringVar(&part, "part", "", "which of the classes: `I/N`, every N-th from the I-th of 0 to N-1, auto/N or auto")
	if err := process.Parse(fs, args, errUsage); err != nil {
		return o, err
	}
	if err := o.reading.Validate(); err != nil {
		return o, wrong("%w", err)
	}
	o.Reading, o.Log = o.reading.Reading, stderr
	given := map[string]bool{}
	fs.Visit(func(f *flag.Flag) { given[f.Name] = true })
	switch {
	case given["epochs"] && o.Epochs < 1:
		return o, wrong("-epochs is %d, want 1 or more, or leave it out for the method's own", o.Epochs)
	case given["shots"] && o.Shots < 1:
		return o, wrong("-shots is %d, want 1 or more, or leave it out for the method's own", o.Shots)
	case o.reading.Prefix != "" && strings.HasPrefix(o.Path, "random"):
		return o, wrong("-prefix is for a file of weights, and -weights is %s", o.Path)
	case len(roots) == 0:
		return o, wrong("-data is missing, the folder that holds the class folders")
	case o.Path == "":
		return o, wrong("-weights is missing, a file with weights of a ResNet or 'random'")
	case part != "" && o.Records == "":
		return o, wrong("-part needs -json, where the results of a part go")
	case part != "" && o.Report != "":
		return o, wrong("-report is of all classes: merge the results of the parts, and leave out -part")
	case o.Resume && o.Records == "":
		return o, wrong("-resume needs -json, the file to go on with")
	case o.Resume && o.Report != "":
		return o, wrong("-report shows what is evaluated now, not what a file has: leave out -resume")
	case o.Resume && o.Maps != "":
		return o, wrong("-maps draws what is evaluated now, and -resume leaves out what the file has: leave out one of them")
	case o.SecondPath != "" && o.Report == "":
		return o, wrong("-compare needs -report, where the second network's maps are shown")
	case o.SameScale && o.SecondPath == "":
		return o, wrong("-same-scale is for -compare, the second network whose maps it is about")
	case one != "" && several != "":
		return o, wrong("-seed and -seeds are both given")
	}
	for i, root := range roots {
		if slices.ContainsFunc(roots[:i], func(r string) bool { return baseOf(r) == baseOf(root) }) {
			return o, wrong("-data names two folders %s, and results are told apart by the last part of the path: "+
				"rename one, or make a link of another name to it (ln -s) and name that", baseOf(root))
		}
	}
	for i, class := range classes {
		if slices.Contains(classes[:i], class) {
			return o, wrong("-class %s is named twice", class)
		}
	}
	o.Data = roots
	if !slices.Equal(classes, inputs.List{"all"}) {
		o.Classes = classes
	}
	if len(chosen) == 0 {
		chosen = inputs.List{"padim"}
	}
	for i, name := range chosen {
		at := slices.IndexFunc(known, func(m detectors.Kind) bool { return m.Name == name })
		switch {
		case at < 0:
			return o, wrong("-method %s is not known, want some of %s", name, strings.Join(names, ", "))
		case slices.Contains(chosen[:i], name):
			return o, wrong("-method %s is named twice", name)
		}
		o.Methods = append(o.Methods, known[at])
		if _, tiles := o.Reading.View.Tiles(); tiles && known[at].Chooses {
			return o, wrong("-transform tiles does not go with -method %s, which chooses the images that it learns from; take padim, patchcore, rd4ad or simplenet", name)
		}
		if o.SecondPath != "" && known[at].Shots {
			return o, wrong("-compare does not go with %s, which trains a network of its own: give a report for each of the weights", name)
		}
	}
	if o.Epochs > 0 && !slices.ContainsFunc(o.Methods, func(m detectors.Kind) bool { return m.Trains }) {
		return o, wrong("-epochs is given and none of the methods %s trains", chosen.String())
	}
	if (o.Curves.CSV != "" || o.Curves.TensorBoard != "") && !slices.ContainsFunc(o.Methods, func(m detectors.Kind) bool { return m.Trains }) {
		return o, wrong("-csv and -tensorboard are for methods that train, and none of %s does", chosen.String())
	}
	if o.Shots > 0 && !slices.ContainsFunc(o.Methods, func(m detectors.Kind) bool { return m.Shots }) {
		return o, wrong("-shots is given and none of the methods %s learns from few images", chosen.String())
	}
	var err error
	if o.Layers, err = backbone.ParseLayers(layers...); err != nil {
		return o, wrong("-layers: %w", err)
	}
	if part != "" {
		if o.Part, err = evaluate.ParsePart(part, os.Getenv); err != nil {
			return o, wrong("-part: %w", err)
		}
	}
	if one != "" {
		s, err := evaluate.ParseSeed(one)
		if err != nil {
			return o, wrong("-seed: %w", err)
		}
		o.Seeds = []evaluate.Seed{s}
	}
	if several != "" {
		if o.Seeds, err = evaluate.ParseSeeds(several); err != nil {
			return o, wrong("-seeds: %w", err)
		}
	}
	if o.Rule, err = metrics.ParseRule(rule); err != nil {
		return o, wrong("-cut: %w", err)
	}
	if o.Rule.Kind == metrics.RuleTail || o.Rule.Kind == metrics.RuleConformal {
		return o, wrong("-cut is %s, which half of a test set has too few good parts for: detectors are calibrated by it; want overkill:RATE, escape:RATE, youden or f1", rule)
	}
	o.Command = commandOf(fs)
	return o, nil
}

// commandOf is the command line again, with the last part of every path only: it
// goes into tables, which are read elsewhere.
func commandOf(fs *flag.FlagSet) string {
	words := []string{"evaluate"}
	fs.Visit(func(f *flag.Flag) {
		switch v := f.Value.(type) {
		case *inputs.Several:
			for _, p := range *v {
				words = append(words, "-"+f.Name, word(baseOf(p)))
			}
			return
		case interface{ IsBoolFlag() bool }:
			words = append(words, "-"+f.Name)
			return
		}
		value := f.Value.String()
		switch f.Name {
		case "json", "maps", "report", "save", "weights", "compare":
			value = baseOf(value)
		}
		words = append(words, "-"+f.Name, word(value))
	})
	return strings.Join(words, " ")
}

// word quotes what a shell would take apart.
func word(s string) string {
	if s == "" || strings.ContainsAny(s, " \t\n'\"\\$`*?[]{}()<>|&;#~!") {
		return strconv.Quote(s)
	}
	return s
}

// baseOf is the last part of a path, also of "." and "..".
func baseOf(p string) string {
	if abs, err := filepath.Abs(p); err == nil {
		return filepath.Base(abs)
	}
	return filepath.Base(p)
}
