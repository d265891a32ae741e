// Dataset looks at a data set before anything is trained on it, finds its
// faults, divides it, and writes it in another layout.
//
//	dataset describe -data PATH -layout NAME [-sheet FILE.png]
//	dataset check    -data PATH -layout NAME [-manifest FILE]
//	dataset split    -data PATH -layout NAME -out FILE [-parts train=0.8,validation=0.2] [-seed 1]
//	dataset split    -data PATH -layout NAME -out FILE -shots K [-seed 1]
//	dataset convert  -data PATH -layout NAME -out FOLDER [-manifest FILE]
//	dataset convert  -data PATH -layout NAME -out FILE.jsonl
//	dataset shard    -data PATH -layout NAME -out FOLDER [-size 256] [-archive tar|zip] [-shuffle=false] [-seed 1]
//
// PATH is a folder or a zip file, and may go on inside the zip file. NAME is
// mvtec, mvtec2, btad, ksdd2, visa, mpdd, folders (a folder a class, only good),
// goodbad, manifest (manifest.jsonl in the folder), mixedwm38 or shards.
//
// describe prints counts by class, split and kind of defect, sizes, colours and
// areas of masks, and draws a contact sheet. check lists every fault it finds:
// files that cannot be read, masks of another size or empty, images of another
// colour depth than the rest of their class, the same pixels under two splits,
// parts whose images are in two splits, and what does not belong into the
// layout. split writes a manifest; images of a test split stay there,
// defective ones of others go there, and images with the same pixels stay on
// one side. convert writes MVTec AD's layout with PNG
// files, or a manifest. shard writes the files as they are into a few large archives
// with an index, in an order that -seed draws; check compares such archives with
// what was written.
//
// The exit code is 1 if check finds a fault or anything fails, 2 for arguments
// that make no sense.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"runtime"
	"strings"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/examples/internal/process"
	"github.com/gotab/gotab/internal/cpus"
)

func main() { process.Main("", errUsage, run) }

var (
	errUsage  = errors.New("dataset: wrong arguments")
	wrong     = process.Wrong(errUsage)
	errFaults = errors.New("dataset: the data set has faults")
)

// options are the flags of all commands.
type options struct {
	dataset.Config
	data, layout, classes, manifest         string
	out, sheet, parts, from, defects, group string
	archive                                 string
	shots, threads                          int
	seed                                    uint64
	size                                    int64 // MiB
	together, shuffle                       bool
}

func commands() map[string]func(ctx context.Context, s *set, o options, stdout, stderr io.Writer) error {
	return map[string]func(ctx context.Context, s *set, o options, stdout, stderr io.Writer) error{
		"describe": describe, "check": check, "split": split, "convert": convert, "shard": shard,
	}
}

const usage = "want one of describe, check, split, convert, shard, and then flags; dataset describe -h lists them"

// run is the program without the process around it.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) == 0 {
		return wrong("%s", usage)
	}
	command := commands()[args[0]]
	if command == nil {
		return wrong("there is no command %q: %s", args[0], usage)
	}
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	if o.threads == 0 {
		o.threads = cpus.Allowed()
	}
	runtime.GOMAXPROCS(o.threads)
	s, err := open(ctx, o)
	if err != nil {
		return err
	}
	return errors.Join(command(ctx, s, o, stdout, stderr), s.Close())
}

func parse(args []string, stderr io.Writer) (options, error) {
	o := options{Config: dataset.DefaultConfig()}
	f := flag.NewFlagSet("dataset "+args[0], flag.ContinueOnError)
	f.SetOutput(stderr)
	dec := &o.Decoder
	f.StringVar(&o.data, "data", "", "`path` of a folder or a zip file (required)")
	f.StringVar(&o.layout, "layout", string(dataset.LayoutMVTecAD), fmt.Sprintf("`name` of the layout, one of %v", dataset.Layouts()))
	f.StringVar(&o.classes, "classes", "", "`names` of classes with commas between them; empty for all")
	f.StringVar(&o.Split, "split", "", "`name` of the only split to read; empty for all")
	f.StringVar(&o.Setup, "setup", o.Setup, "`name` of VisA's split list")
	f.StringVar(&o.manifest, "manifest", "", "`file` with a manifest that says which images count, and in which split")
	f.IntVar(&dec.MaskAbove, "mask-above", dec.MaskAbove, "`brightness` above which a pixel of a mask is a defect, 0 to 254; -1 takes what is not the background")
	f.IntVar(&dec.Bits16, "bits", dec.Bits16, "how many `bits` of 16-bit images count, 8 to 16")
	f.IntVar(&dec.MaxPixels, "max-pixels", dec.MaxPixels, "largest `number` of pixels of an image")
	f.IntVar(&o.threads, "threads", 0, "largest `number` of threads; 0 takes as many as the processors that the process may use")
	f.BoolVar(&o.TrainDefects, "train-defects", false, "keep defective images of the training split (KolektorSDD2)")
	f.StringVar(&o.sheet, "sheet", "", "describe: `file` for a contact sheet, PNG")
	f.StringVar(&o.out, "out", "", "split, convert, shard: `path` to write; convert makes a manifest of a name that ends in .jsonl")
	f.StringVar(&o.parts, "parts", "train=0.8,validation=0.2", "split: `names` of the sides with their fractions")
	f.StringVar(&o.from, "from", "train,", "split: `names` of the splits that are divided, with commas; an empty name is for images without one")
	f.StringVar(&o.defects, "defects", dataset.Test, "split: `name` of the split that defective images go to; empty divides them too")
	f.StringVar(&o.group, "group", "", "split: `expression` on the name of an image whose first bracket is the part that it shows")
	f.BoolVar(&o.together, "together", true, "split: read all images and keep those with the same pixels on one side")
	f.IntVar(&o.shots, "shots", 0, "split: `number` of normal images of each class for a support set instead of a split")
	f.Int64Var(&o.size, "size", dataset.DefaultShards().Bytes>>20, "shard: size of a shard, `MiB`")
	f.StringVar(&o.archive, "archive", string(dataset.ShardTar), "shard: `kind` of archive, tar or zip")
	f.BoolVar(&o.shuffle, "shuffle", true, "shard: write the images in a drawn order, which a window over them needs")
	f.Uint64Var(&o.seed, "seed", 1, "split, shard: seed of the draw")
	if err := process.Parse(f, args[1:], errUsage); err != nil {
		return o, err
	}
	shots := false
	f.Visit(func(g *flag.Flag) { shots = shots || g.Name == "shots" })
	switch needsOut := args[0] == "split" || args[0] == "convert" || args[0] == "shard"; {
	case o.data == "":
		return o, wrong("-data is missing, a folder or a zip file")
	case needsOut && o.out == "":
		return o, wrong("-out is missing, where to write")
	case o.size < 1 || o.size > 1<<30:
		return o, wrong("-size is %d MiB, want 1 or more", o.size)
	case o.threads < 0 || o.threads > 4096:
		return o, wrong("-threads is %d, want 1 to 4096, or 0", o.threads)
	case shots && o.shots < 1:
		return o, wrong("-shots is %d, want 1 or more, or leave it out for a split", o.shots)
	case dec.MaskAbove < dataset.MaskByBackground || dec.MaskAbove > 254:
		return o, wrong("-mask-above is %d, want 0 to 254, or -1", dec.MaskAbove)
	}
	return o, nil
}

// set is an open data set.
type set struct {
	ds  dataset.Dataset
	raw dataset.Listed // before the manifest
	io.Closer
}

// open opens the data set and, if asked to, sees it through a manifest.
func open(ctx context.Context, o options) (*set, error) {
	if o.classes != "" {
		o.Classes = strings.Split(o.classes, ",")
	}
	ds, closer, err := dataset.OpenLayout(ctx, o.data, dataset.Layout(o.layout), o.Config)
	if err != nil {
		return nil, err
	}
	s := &set{ds: ds, raw: ds, Closer: closer}
	if o.manifest == "" {
		return s, nil
	}
	items, err := dataset.ReadManifestFile(o.manifest)
	if err == nil {
		s.ds, err = dataset.Apply(ds, items)
	}
	if err != nil {
		return nil, errors.Join(err, closer.Close())
	}
	return s, nil
}
