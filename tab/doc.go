// Package tab pre-trains the backbone of an inspection system on good images of
// the plant itself, as TAB does (arXiv 2312.09480): every image gets a
// synthetically damaged twin, and the network learns to place good images near
// the text feature of sentences such as "a photo of a flawless screw" and their
// twins near that of "a photo of a damaged screw". The text features are fixed
// anchors; only the network that sees images is trained.
//
// A [Pretrainer] is composed of [Parts] that the caller makes and owns: a visual
// encoder (*backbone.ResNet18), anchors (from a CLIP text encoder by [FromText],
// or a file by [OpenBank]), a generator of defects (synth.NSA, or twins that were measured, below) and, if wanted, a
// [Probe] that measures now and then whether the training helps, or, without any defect, what it does to good parts ([Watch]).
//
//	pre, err := tab.New(tab.Parts{Visual: net, Anchors: bank, Synth: twins}, tab.Recommended())
//	...
//	defer pre.Close()
//	for st, err := range pre.Steps(ctx, ds) { ... }
//
// What is learnt is an [Objective], a value behind one small interface; the
// article's equations, the released code's and others are here, and another is
// one file of the caller's own.
//
// A pooled feature hardly sees a small defect, and plain pre-training lets the
// early layers, which detectors read, forget what they knew. [Recommended] is a
// recipe against both: objectives at every position of layers 1 to 3 ([Amplify],
// [Dense], [Keep]), mixed with weights ([Mix]), against a frozen copy of the start. It is for products on which the
// start hardly sees damage, which [TwinTable.Detectability] tells. [DefaultConfig] is the article's, with synth.DefaultNSA.
//
// # Twins
//
// Whether a twin is damage depends on the product: a stain is none on material
// that has stains. [MeasureTwins] finds out before training, in the network as it
// is, and [TwinTable.Fit] gives the twins that fit.
//
//	table, err := tab.MeasureTwins(ctx, net, ds, synth.DefaultMixture(), tab.DefaultTwins())
//	...
//	twins, err := table.Fits(synth.DefaultMixture()) // for Parts.Synth
//
// [MeasureTwinsByClass] takes a mixture of each product's own. In a step,
// Amplify.WithinSpread judges every damaged cell once more.
//
// # Several ranks
//
// Under [WithGroup] several processes train one network, each on its share of every
// batch. Their number divides the work and changes neither the data nor the twins, so a
// checkpoint can be resumed by another number; tensor/dist has a group over libtorch's own engine.
//
// # Repeatability
//
// Every random choice is drawn from a generator that depends on Config.Seed, what
// it is for, the epoch and the sample, never on the number of workers. On the CPU
// with an equal number of threads a run is repeatable to the bit, and a run that
// was stopped and resumed from its checkpoint equals the unbroken one.
package tab
