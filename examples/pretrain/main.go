// Pretrain trains a ResNet-18 on good images against language anchors, as TAB
// does (arXiv 2312.09480), and writes weights that every detector of this module,
// and torchvision, can read.
//
//	pretrain -data ROOT -bank FILE | -clip FILE  -out FILE
//	         [-init FILE] [-objective paper|official|joint|normal|binary|classes]
//	         [-recipe amplify|paper|official|ref|none] [-epochs N] [-batch PAIRS] [-size N]
//	         [-steps N] [-crop N] [-amplify F] [-text F] [-keep F] [-interpolate F]
//	         [-lr F] [-head-epochs N] [-repeat N] [-bn train|frozen] [-affine] [-freeze LAYER] [-seed N]
//	         [-warmup N] [-synth nsa|cutpaste|perlin|mask|mix|mixture] [-least F]
//	         [-twins auto|plain|FILE] [-where-blind [-tie [-tie-weight W]]] [-without KIND] [-draws N] [-scale A,B] [-control misplaced]
//	         [-probe DIR] [-watch SHARE] [-probe-every N] [-log FILE.jsonl] [-resume|-continue]
//	         [-tensorboard DIR] [-csv FILE] [-licence TEXT] [-measured FILE]
//	         [-transform centre|square|WxH|tiles] [-bits N] [-max-pixels N] [-skip-broken]
//	         [-prefix TEXT] [-names torchvision|timm|hf] [-threads N] [-device auto|cpu|cuda|cuda:N]
//	         [-precision float32|bfloat16] [-rank-timeout D] [-rank-bn mean|first|sync]
//
// ROOT holds one folder a class with train/good below it (MVTec AD's layout; only
// those images are read), or one folder a class with good images in it. Where good and
// bad images are apart (good/ and bad/, OK/ and NG/), only the good ones are read. Or it holds
// shards (dataset shard), of which those for training are read, and the card has the checksums of their index. -data may
// be given several times. All files are looked at first: -skip-broken goes on without
// those that cannot be read, and the weights say how many these were. -bank is a text bank as package tab reads it, which
// examples/bank makes of your own classes; -clip are the weights of a CLIP model, whose
// text tower then encodes the prompts. The objectives binary and classes, and the recipe
// amplify with -text 0, need neither.
//
// The output holds torchvision's names, all of them and no others, or with -names those of timm or
// of Hugging Face's transformers; where the widths of
// image and text features differ, the projection lies beside it (FILE.projection). A
// card (FILE.card.json) says what the weights are made of: sums of the images of each
// class, their licences (-licence), the recipe, the start, the text, how long it took, and
// figures that are given with -measured, also later, with -resume of a finished run.
// Beside it lies a checkpoint
// (FILE.ckpt), from which -resume goes on with the settings that it holds: flags that
// say others are refused. -log gets one JSON object a step; -tensorboard and -csv get the
// same figures for TensorBoard and for spreadsheets. A run that is resumed goes on in
// all of them.
//
// With -transform tiles, or tiles:SIDE, it is trained on squares of the images that
// overlap by a quarter, of their shorter side or of SIDE pixels, instead of the images.
//
// -probe names a class folder in MVTec AD's layout, or a folder of them: PaDiM is
// fitted on the network and scored every -probe-every epochs, before the first
// and after the last, so that one sees whether the training helps. Its files are looked
// at before the training too. It sees images as PaDiM does by default.
//
// -watch keeps a share of the good images of each class out of the training and says, as often as -probe does, what
// it has done to good parts, without any defect: how far they have moved, whether parts that it never saw lie farther from
// the others than at the start, what variance and how many directions are left (tab.Watch). With
// -resume it is said again, with -init and -seed as they were.
//
// -recipe amplify, the default, pushes what damage changes in layers 1 to 3 apart from what it
// was, in units of the spread of good parts, and holds good parts in place (see
// tab.Recommended). -init should name good weights, ImageNet's for example. -recipe paper is the article's; it is
// the default where -objective or a -synth that is no mixture is given. A resumed run goes on with its own recipe.
// -amplify, -text and -keep are the weights of its terms; 0 leaves a term out.
// -interpolate 0.5 writes weights half-way between those of -init and the trained
// ones.
//
// -freeze layer1 keeps stem and layer 1 as they are, which also saves their backward pass.
//
// -synth mixture, which amplify takes, draws twins of many kinds, some of which
// changed nothing that matters; each class finds foreign texture in the others.
// With -twins auto the kinds are measured first, on the good images of each class in
// the network as it is: those that are within the spread of good parts count as
// normal, those that are plain already are drawn again, and the rest are weighed.
// The table is printed and written to FILE.twins.json; the weights hold its hash.
// -twins FILE takes the table of another run and measures nothing: several seeds of
// one recipe need one table.
// Under the table a sentence for each class says how far foreign matter stands out in the start (the kinds
// texture and noise at layer 2), and whether training is likely to help. -where-blind trains only on the classes
// where it stands out by less than 2.5 times what good parts vary by, and leaves the others out: the weights are those of
// a run on these classes alone. It is said again with -resume. Where no class is left nothing is trained or
// written, and the exit code is 3. That rule is a proposal, formed after the results of seven sets (docs/results.md).
// With -tie the other classes stay in the training, and half of its places are theirs: nothing of them is pushed, and all
// of their features are held to what the start makes of them. So one network for the plant changes for the classes
// that need it. A resumed run knows them without it. A -tie-weight above 1 holds them harder and leaves less to the others.
// -without keeps a kind out, for a validation by what training never saw.
//
// -scale weighs the channels of layers 1 to 3 in the end, by what twins of -synth mixture
// and good parts do to them (tab.ChannelScales): A is the power of what twins move, B that
// of bringing channels to one deviation, 0 to 2 each. Layer 4 computes what it did.
// With -recipe none nothing is trained, so that the weights of -init are scaled and written,
// which takes minutes. The factors go to FILE.scale.json; the weights hold its hash.
//
// -control misplaced is no recipe: damaged twins get the masks of other twins, and
// what a network gains then is not owed to the places of damage.
//
// In its first step and every 50 the log holds "indicators": the terms of the loss
// one by one, and ln q/q0, how far damage has been pushed at each layer.
//
// Started by torchrun, or with RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT set, it is one
// of several processes that train one network, each on its share of every batch; all of
// them read -data, and -out is on a disk that all see. The first one writes and speaks. A
// run that torchrun starts again goes on from its checkpoint, which FILE.ckpt.run tells from that of an older
// one; where something else does that, -continue is -resume where there is a checkpoint. See docs/scale.md.
//
// The exit code is 0 only if all went well, 2 for wrong arguments, 3 where -where-blind leaves no class, and 1 otherwise.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/examples/internal/inputs"
	"github.com/gotab/gotab/examples/internal/process"
	"github.com/gotab/gotab/synth"
	"github.com/gotab/gotab/tab"
	"github.com/gotab/gotab/tab/clipbank"
	"github.com/gotab/gotab/tab/training"
	"github.com/gotab/gotab/tensor"
	"github.com/gotab/gotab/tensor/dist"
)

func main() { process.Main("pretrain: ", errUsage, run) }

var (
	errUsage = errors.New("wrong arguments")
	wrong    = process.Wrong(errUsage)
)

// options are the flags. Those that the recipe decides unless they are given are
// remembered in set.
type options struct {
	training.Config
	clip                                clipbank.Source
	bank, objective, recipe, bn, device string
	freeze                              string
	again, affine                       bool
	epochs, batch, size, head, repeat   int
	every, steps, crop, warmup          int
	lr, least, amplify, text, keep      float64
	tieWeight                           float64
	synth, twins, scale, control        string
	without                             []string
	seed                                uint64
	precision                           backbone.Precision
	patience                            time.Duration
	local                               int // number of this process on its machine; -1 where there is no other
	reading                             inputs.Flags
	set                                 map[string]bool
}

// run is the program without the process around it.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	defer func() {
		err = hint(inputs.Hint(err))
	}()
	close, err := o.join(ctx, os.Getenv, stderr)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, close()) }()
	if o.Group != nil && o.Group.Rank() > 0 { // the first one speaks
		stdout, stderr = io.Discard, io.Discard
	}
	if err := o.reading.UseThreads(); err != nil {
		return err
	}
	if o.Device, err = tensor.ParseDevice(o.device); err != nil {
		return err
	}
	if o.Device, err = o.gpu(o.Device); err != nil {
		return err
	}
	if o.Train, o.Synth, err = settings(o); err != nil {
		return err
	}
	if err := o.anchored(); err != nil {
		return err
	}
	o.Anchors = func(ctx context.Context, classes []string) (training.Anchors, error) {
		return o.anchors(ctx, classes, stderr)
	}
	o.Agree = func(has tab.Config) error { return o.agree(has, stderr) }
	o.Print, o.Log = stdout, stderr
	_, err = training.Run(ctx, o.Config)
	return err
}

// hint adds to an error of a training which flags it is about.
func hint(err error) error {
	switch {
	case errors.Is(err, training.ErrNoneBlind):
		return process.Exit(3, fmt.Errorf("-where-blind: %w", err))
	case errors.Is(err, training.ErrInterpolate):
		return wrong("-interpolate, -init: %w", err)
	case errors.Is(err, training.ErrConfig):
		return wrong("%w", err)
	case errors.Is(err, tab.ErrNoTwin):
		return fmt.Errorf("%w (-twins plain)", err)
	}
	return err
}

// untold are the flags that a card does not repeat: paths, what it says elsewhere, and
// what changes no weight.
const untold = "data init clip clip-vocab bank out log probe tensorboard csv measured licence resume max-steps interpolate threads device seed probe-every"

func parse(args []string, stderr io.Writer) (options, error) {
	o := options{Config: training.Default(), set: map[string]bool{}, local: -1}
	o.Options = map[string]string{}
	fs := flag.NewFlagSet("pretrain", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.Var((*inputs.Several)(&o.Data), "data", "`folder` of class folders with good images; may be given several times (required)")
	fs.StringVar(&o.Init, "init", "", "`file` with the weights to start from (safetensors or .pth); random without")
	fs.StringVar(&o.bank, "bank", "", "text bank `file` (safetensors)")
	inputs.AddCLIP(fs, &o.clip)
	fs.StringVar(&o.recipe, "recipe", "", "`name` of a recipe: amplify (gotab's own, at every position of layers 1 to 3, from -init), paper (the article's), official (what its released code does), ref (joint softmax, raw temperature, rate 0.01, batch 32, exact size, one patch) or none (no training, with -scale); default: amplify, or paper with -objective or a -synth that is no mixture; a resumed run goes on with its own")
	fs.StringVar(&o.objective, "objective", "", "paper, official, joint, normal, binary or classes; default: the recipe's")
	fs.IntVar(&o.epochs, "epochs", 100, "number of `passes`; not read where the recipe or -steps counts steps")
	fs.IntVar(&o.steps, "steps", 0, "length of the run in `steps` instead of passes; default: the recipe's")
	fs.IntVar(&o.crop, "crop", 0, "side in `pixels` of cuts of the input to train on; default: the recipe's, 0: whole images")
	fs.Float64Var(&o.amplify, "amplify", 1, "`weight` of what pushes damage, with -recipe amplify")
	fs.Float64Var(&o.text, "text", 0.3, "`weight` of the text anchors at every position, with -recipe amplify")
	fs.Float64Var(&o.keep, "keep", 1, "`weight` of what holds good parts in place, with -recipe amplify")
	fs.Float64Var(&o.Interpolate, "interpolate", 1, "`share` of the trained weights in what is written, 0 to 1; the rest are those of the start")
	fs.IntVar(&o.batch, "batch", 0, "`pairs` a step; default: the recipe's")
	fs.IntVar(&o.size, "size", 224, "`pixels` of the network's square input")
	fs.Float64Var(&o.lr, "lr", 0, "learning `rate`; default: the recipe's")
	fs.IntVar(&o.head, "head-epochs", 0, "`epochs` in which only head and layer 4 are trained")
	fs.StringVar(&o.synth, "synth", "", "`kind` of damaged twins: nsa (the recipe's own), cutpaste, perlin, mask, mix (nsa and cutpaste by halves) or mixture (of many kinds); examples/synth shows them; default: mixture with -recipe amplify, else nsa")
	fs.Float64Var(&o.least, "least", 0, "least visible change of a twin in grey `levels`, mean over its mask; 0: as drawn")
	fs.StringVar(&o.twins, "twins", "", "of -synth mixture: auto (measured on the good images, weighed by what they are to each class), plain, or the `table` of another run (FILE.twins.json) of the same start and classes; default: auto with -recipe amplify")
	fs.Var((*inputs.Several)(&o.without), "without", "`kind` of -synth mixture that is kept out: "+strings.Join(synth.DefaultMixture().ShortNames(), ", ")+"; may be given several times")
	fs.BoolVar(&o.Twins.WhereBlind, "where-blind", false, "of -synth mixture with a table (-twins): train only on the classes on which the start hardly sees damage, leave the others out; where none is left the exit code is 3")
	fs.BoolVar(&o.Twins.Tie, "tie", false, "of -where-blind: keep the other classes in the training, held to the start, so that one network serves all")
	fs.Float64Var(&o.tieWeight, "tie-weight", 1, "how many `times` cells of classes that -tie holds count in the term of -keep")
	fs.IntVar(&o.Twins.Draws, "draws", o.Twins.Draws, "`twins` of each kind and class that -twins auto and -scale measure")
	fs.StringVar(&o.scale, "scale", "", "two `powers`, A,B: channels of layers 1 to 3 are weighed by what twins move (A) and by their deviation (B) in the end; e.g. 0.5,0.5")
	fs.StringVar(&o.control, "control", "", "for studies, of -synth mixture: misplaced gives every damaged twin the mask of another one, so that what is learnt beyond it is owed to where damage is")
	fs.IntVar(&o.warmup, "warmup", 0, "`steps` in which the learning rate rises to its full; default: the recipe's")
	fs.IntVar(&o.repeat, "repeat", 0, "how `often` an epoch goes over the data; default: the recipe's")
	fs.StringVar(&o.bn, "bn", "train", "batch norm statistics of stem to layer 3: train or frozen")
	fs.BoolVar(&o.affine, "affine", false, "train the scales and shifts of batch norm only, in stem to layer 3; a rate of 0.001 fits")
	fs.StringVar(&o.freeze, "freeze", "", "last `stage` that stays as it is, with those before it: stem, layer1, layer2 or layer3; default: the recipe's, which is stem with amplify")
	fs.TextVar(&o.precision, "precision", backbone.Float32, "`precision` of convolutions in training: float32, or bfloat16, which takes about half the time on processors that have AVX512-BF16; weights are float32 with either")
	fs.Uint64Var(&o.seed, "seed", 111, "seed of everything random")
	fs.StringVar(&o.Probe, "probe", "", "class `folder` (or folder of them) to fit and score PaDiM on")
	fs.Float64Var(&o.Watch, "watch", 0, "`share` of the good images of each class, 0 to 0.5, that is kept out of the training and looked at with -probe-every: what becomes of good parts")
	fs.IntVar(&o.every, "probe-every", 0, "`epochs` between looks of -probe and -watch; 0: at the beginning and the end only")
	fs.StringVar(&o.Out, "out", "", "`file` for the trained weights (required)")
	fs.Func("names", "`library` by whose names the weights are written: torchvision (the default), timm or hf (transformers)", func(s string) (err error) {
		if s == "hf" {
			s = backbone.HuggingFace.String()
		}
		o.Names, err = backbone.ParseNames(s)
		return err
	})
	fs.StringVar(&o.Journal, "log", "", "`file` for one JSON object a step")
	fs.BoolVar(&o.Resume, "resume", false, "go on from the checkpoint beside -out")
	fs.BoolVar(&o.again, "continue", false, "go on from the checkpoint beside -out where there is one, begin where there is none: for schedulers that start a job again")
	fs.IntVar(&o.MaxSteps, "max-steps", 0, "stop after so many `steps` with a checkpoint; 0: never")
	fs.StringVar(&o.device, "device", "auto", "auto, cpu, cuda or cuda:N")
	fs.Var((*inputs.Several)(&o.Licences), "licence", "`text` for the card: a licence of the data; may be given several times")
	fs.StringVar(&o.Measured, "measured", "", "`file` with a table of figures of the weights, for the card")
	fs.DurationVar(&o.patience, "rank-timeout", dist.DefaultTimeout, "longest `time` that one of several processes waits for the others; longer than -probe and -watch take")
	fs.StringVar((*string)(&o.Statistics), "rank-bn", string(tab.StatisticsMean), "batch norm of several processes where it is not frozen: mean (each by its own share, statistics averaged), first (those of the first one kept) or sync (by the whole batch, as one process does it)")
	inputs.AddCurves(fs, &o.Curves)
	o.reading.AddReading(fs)
	o.reading.AddPrefix(fs)
	o.reading.AddTransform(fs)
	if err := process.Parse(fs, args, errUsage); err != nil {
		return o, err
	}
	fs.Visit(func(f *flag.Flag) {
		if o.set[f.Name] = true; !oneOf(f.Name, strings.Fields(untold)...) {
			o.Options[f.Name] = f.Value.String()
		}
	})
	if o.set["twins"] { // which may be a file
		o.Options["twins"] = filepath.Base(o.twins)
	}
	if err := o.reading.Validate(); err != nil {
		return o, wrong("%v", err)
	}
	if err := o.clip.Validate(); err != nil {
		return o, wrong("-clip-model is %q: %v", o.clip.Model, err)
	}
	o.Reading, o.Prefix = o.reading.Reading, o.reading.Prefix
	if o.Out != "" {
		if err := inputs.CheckWeightsName(o.Out); err != nil {
			return o, wrong("-out: %v", err)
		}
	}
	anew, err := o.choose()
	if err != nil {
		return o, err
	}
	if !o.set["synth"] {
		if o.synth = "nsa"; oneOf(o.recipe, "amplify", "none") {
			o.synth = "mixture"
		}
	}
	if o.twins == "" {
		o.twins = "plain"
		if o.recipe == "amplify" && o.synth == "mixture" {
			o.twins = "auto"
		}
	}
	switch {
	case o.epochs < 1:
		return o, wrong("-epochs is %d, want 1 or more", o.epochs)
	case o.set["batch"] && o.batch < 1:
		return o, wrong("-batch is %d, want 1 or more, or leave it to the recipe", o.batch)
	case o.set["repeat"] && o.repeat < 1:
		return o, wrong("-repeat is %d, want 1 or more, or leave it to the recipe", o.repeat)
	case o.Init != "" && o.Out != "" && inputs.SameFile(o.Init, o.Out):
		return o, wrong("-init and -out are the same file, %s, whose weights would be lost; give -out another name", o.Out)
	case o.Prefix != "" && o.Init == "":
		return o, wrong("-prefix is for the file of -init, which is missing")
	case o.Twins.Draws < 1:
		return o, wrong("-draws is %d, want 1 or more", o.Twins.Draws)
	case len(o.Data) == 0:
		return o, wrong("-data is missing, the folder with one folder of good images a class")
	case o.Out == "":
		return o, wrong("-out is missing, the file for the trained weights")
	case o.bank != "" && o.clip.Weights != "":
		return o, wrong("-bank and -clip are both given; the anchors come from one of them")
	case o.bn != "train" && o.bn != "frozen":
		return o, wrong("-bn is %q, want train or frozen", o.bn)
	case o.freeze != "" && !oneOf(o.freeze, "stem", "layer1", "layer2", "layer3"):
		return o, wrong("-freeze is %q, want stem, layer1, layer2 or layer3", o.freeze)
	case o.size < 32 || o.size > 4096:
		return o, wrong("-size is %d, want 32 to 4096", o.size)
	case o.head < 0 || o.MaxSteps < 0 || o.steps < 0 || o.crop < 0 || o.warmup < 0:
		return o, wrong("-head-epochs, -max-steps, -steps, -crop and -warmup must not be negative")
	case !oneOf(o.twins, "auto", "plain") && !strings.HasSuffix(o.twins, ".json"):
		return o, wrong("-twins is %q, want auto, plain, or the table of another run (FILE.twins.json)", o.twins)
	case o.Twins.WhereBlind && (o.synth != "mixture" || o.twins == "plain"):
		return o, wrong("-where-blind goes by the table of twins; it belongs to -synth mixture with -twins auto or a table")
	case o.Twins.Tie && !o.Twins.WhereBlind:
		return o, wrong("-tie says what becomes of the classes that -where-blind sorts out; it needs that")
	case o.set["tie-weight"] && !(o.Twins.Tie && o.tieWeight > 0 && o.tieWeight <= 1e6):
		return o, wrong("-tie-weight is %g; it belongs to -tie, and is more than 0 and at most 1e6", o.tieWeight)
	case o.Twins.Tie && o.keep == 0:
		return o, wrong("-tie holds classes by the term that -keep weighs, which is 0")
	case o.Twins.Tie && (o.recipe != "amplify" || o.set["objective"]):
		return o, wrong("-tie needs an objective that holds classes to the start; it belongs to -recipe amplify")
	case o.synth != "mixture" && (o.set["twins"] || o.scale == "" && (o.set["without"] || o.set["draws"])):
		return o, wrong("-twins, -without and -draws belong to -synth mixture, the last two to -scale too")
	case o.recipe == "none" && (o.scale == "" || o.Init == "" || o.synth != "mixture"):
		return o, wrong("-recipe none trains nothing: it needs weights, -init, and what to do with them, -scale, and takes no other -synth than mixture")
	case o.Statistics != tab.StatisticsMean && o.Statistics != tab.StatisticsFirst && o.Statistics != tab.StatisticsSync:
		return o, wrong("-rank-bn is %q, want mean, first or sync", o.Statistics)
	case o.patience < time.Second || o.patience > 24*time.Hour:
		return o, wrong("-rank-timeout is %v, want 1s to 24h", o.patience)
	case o.control != "" && o.control != "misplaced":
		return o, wrong("-control is %q, want misplaced, or leave it out", o.control)
	case o.control != "" && o.synth != "mixture":
		return o, wrong("-control belongs to -synth mixture")
	case o.synth == "mixture" && o.least != 0:
		return o, wrong("-least belongs to the other generators; of a mixture, -twins auto measures what can be told from good parts")
	case !(o.Watch >= 0 && o.Watch <= 0.5):
		return o, wrong("-watch is %g, want 0 to 0.5", o.Watch)
	case !(o.Interpolate >= 0 && o.Interpolate <= 1):
		return o, wrong("-interpolate is %g, want 0 to 1", o.Interpolate)
	case !oneOf(o.recipe, "paper", "official", "ref", "amplify", "none"):
		return o, wrong("-recipe is %q, want paper, official, ref, amplify or none", o.recipe)
	case o.recipe != "amplify" && (o.set["amplify"] || o.set["text"] || o.set["keep"]):
		return o, wrong("-amplify, -text and -keep belong to -recipe amplify")
	case o.recipe == "amplify" && o.set["objective"] && (o.set["amplify"] || o.set["text"] || o.set["keep"]):
		return o, wrong("-objective replaces the terms that -amplify, -text and -keep weigh")
	}
	if o.recipe == "none" {
		for _, name := range strings.Fields("affine amplify bank batch bn clip clip-gelu clip-model clip-vocab continue control crop csv epochs freeze head-epochs interpolate keep licence log lr max-steps measured objective probe probe-every repeat resume steps tensorboard text tie tie-weight twins warmup watch where-blind") {
			if o.set[name] {
				return o, wrong("-recipe none trains nothing, so -%s has no meaning", name)
			}
		}
	}
	for _, pair := range [][2]string{{"log", "out"}, {"log", "init"}, {"log", "measured"}, {"log", "csv"}, {"csv", "out"}, {"csv", "init"}, {"csv", "measured"}, {"measured", "out"}} {
		a, b := fs.Lookup(pair[0]).Value.String(), fs.Lookup(pair[1]).Value.String()
		if a != "" && b != "" && (a == b || inputs.SameFile(a, b)) {
			return o, wrong("-%s and -%s are the same file, %s, whose contents would be lost", pair[0], pair[1], b)
		}
	}
	if o.Resume && anew != nil {
		return o, fmt.Errorf("-resume: there is no run to go on with: %w", anew)
	}
	if o.recipe == "amplify" && !o.set["recipe"] && o.Init == "" && anew != nil {
		return o, wrong("-init is missing: the recipe amplify, which is taken where -recipe names none, goes on from weights that know something, ImageNet's for example; -recipe paper begins with random ones too")
	}
	return o, o.useTwins()
}

func oneOf(s string, list ...string) bool {
	return strings.Contains(" "+strings.Join(list, " ")+" ", " "+s+" ") && s != ""
}
