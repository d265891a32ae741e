// Bank makes a text bank of your own classes from the weights of a CLIP model: the
// anchors that examples/pretrain -bank trains against, so that training needs no text
// encoder at hand.
//
//	bank -clip FILE|FOLDER (-class NAME,... | -data ROOT) -out FILE
//	     [-alias NAME=WORDS] [-prompts NAME] [-show]
//	     [-clip-vocab FILE] [-clip-model auto|b32|b16|l14] [-clip-gelu[=false]]
//	     [-force] [-threads N] [-device auto|cpu|cuda|cuda:N]
//
// -clip are safetensors under OpenAI's, OpenCLIP's or Hugging Face's names: a file, an
// index of shards, or a folder with one of them. Only the text tower is read. Its
// vocabulary (tokenizer.json, merges.txt or bpe_simple_vocab_16e6.txt.gz) lies beside it
// or is named by -clip-vocab. Sizes come from the weights, heads and activation from
// config.json or open_clip_config.json beside them. Without such a file exact GELU is
// taken, which is said: -clip-gelu=false is for OpenAI's own weights.
//
// Classes are named, or are those that pretrain finds in the same -data; both may be
// given several times. A name stands in the sentences as package prompt writes it
// (pcb_01 becomes pcb 01), or in the words of -alias: -alias "pcb_01=printed circuit
// board". -prompts takes other lists of sentences than the article's; -show prints all
// sentences and makes nothing, for which no weights are needed.
//
// A class's row is the mean of its sentences' unit vectors, of length one again. The
// file's metadata hold the classes, the model's name and SHA-256, the activation, the
// hash of the sentences and the name of their list, and aliases. The table shows how far
// normal and damaged anchors of a class are apart (cosine), and which other class is
// nearest: classes whose anchors are the same cannot be told apart in training.
//
// A file that is there is not written over without -force. The exit code is 0 only if
// the bank was written.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/gotab/gotab/examples/internal/inputs"
	"github.com/gotab/gotab/examples/internal/process"
	"github.com/gotab/gotab/internal/atomicfile"
	"github.com/gotab/gotab/prompt"
	"github.com/gotab/gotab/tab/clipbank"
)

func main() { process.Main("bank: ", errUsage, run) }

var (
	errUsage = errors.New("wrong arguments")
	wrong    = process.Wrong(errUsage)
)

// options are the flags.
type options struct {
	clip          clipbank.Source
	reading       inputs.Flags
	classes, data []string
	aliases       map[string]string
	preset, out   string
	prompts       prompt.IDPA
	show, force   bool
}

func parse(args []string, stderr io.Writer) (options, error) {
	o := options{aliases: map[string]string{}}
	fs := flag.NewFlagSet("bank", flag.ContinueOnError)
	fs.SetOutput(stderr)
	inputs.AddCLIP(fs, &o.clip)
	fs.Func("class", "class `names` with commas between them; may be given several times", func(s string) error {
		for _, name := range strings.Split(s, ",") {
			o.classes = append(o.classes, strings.TrimSpace(name))
		}
		return nil
	})
	fs.Var((*inputs.Several)(&o.data), "data", "`folder` whose classes are taken, as pretrain finds them; may be given several times")
	fs.Func("alias", "`NAME=WORDS` that stand for a class in its sentences; may be given several times", func(s string) error {
		name, words, ok := strings.Cut(s, "=")
		if !ok || name == "" || words == "" {
			return fmt.Errorf("want NAME=WORDS")
		}
		o.aliases[name] = words
		return nil
	})
	fs.StringVar(&o.preset, "prompts", "industrial", "`name` of the lists of sentences: "+strings.Join(prompt.Presets(), ", "))
	fs.BoolVar(&o.show, "show", false, "print the sentences and make nothing")
	fs.StringVar(&o.out, "out", "", "`file` for the bank (safetensors)")
	fs.BoolVar(&o.force, "force", false, "write over a file that is there")
	o.reading.AddDevice(fs)
	o.reading.AddReading(fs)
	if err := process.Parse(fs, args, errUsage); err != nil {
		return o, err
	}
	err := o.reading.Validate()
	if err != nil {
		return o, wrong("%w", err)
	}
	if err := o.clip.Validate(); err != nil {
		return o, wrong("-clip-model is %q: %w", o.clip.Model, err)
	}
	if o.prompts, err = prompt.Preset(o.preset); err != nil {
		return o, wrong("-prompts: %w", err)
	}
	switch {
	case len(o.classes) == 0 && len(o.data) == 0:
		return o, wrong("-class or -data is missing, which say what the classes are")
	case o.show:
		return o, nil
	case o.clip.Weights == "":
		return o, wrong("-clip is missing, the weights of a CLIP model; the README says where to get one")
	case o.out == "":
		return o, wrong("-out is missing, the file for the bank")
	}
	if err := inputs.CheckWeightsName(o.out); err != nil {
		return o, wrong("-out: %w", err)
	}
	if _, err := os.Lstat(o.out); err == nil && !o.force {
		return o, wrong("%s is there already; give -out another name, or -force to write over it", o.out)
	}
	return o, nil
}

// run is the program without the process around it.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	if err := o.name(stderr); err != nil {
		return err
	}
	if o.show {
		return o.prompts.WriteSentences(stdout, o.classes)
	}
	dev, err := o.reading.Start()
	if err != nil {
		return err
	}
	if err := atomicfile.Try(o.out); err != nil {
		return err
	}
	b, err := inputs.CLIPBank(ctx, o.clip, o.classes, o.prompts, dev, stderr)
	if err != nil {
		return err
	}
	b.Provenance["prompt_list"] = o.preset
	if len(o.aliases) > 0 {
		text, err := json.Marshal(o.aliases)
		if err != nil {
			return err
		}
		b.Provenance["aliases"] = string(text)
	}
	if err := b.Save(o.out); err != nil {
		return err
	}
	if err := b.WriteTable(stdout, o.prompts); err != nil {
		return err
	}
	_, err = fmt.Fprintf(stderr, "bank written to %s: %d classes, %d wide\n", o.out, len(b.Classes), len(b.Normal[0]))
	return err
}

// name completes the classes by those of -data and checks that all of them can stand in
// a sentence.
func (o *options) name(stderr io.Writer) error {
	for _, root := range o.data {
		ds, err := o.reading.OpenGood(root, stderr)
		if err != nil {
			return err
		}
		for _, c := range ds.Classes() {
			if !slices.Contains(o.classes, c) {
				o.classes = append(o.classes, c)
			}
		}
	}
	for name := range maps.Keys(o.aliases) {
		if !slices.Contains(o.classes, name) {
			return wrong("-alias %s is for none of the classes %s", name, strings.Join(o.classes, ", "))
		}
	}
	o.prompts = o.prompts.With(o.aliases)
	if err := o.prompts.CheckClasses(o.classes); err != nil {
		return wrong("%w; for what cannot stand in a sentence, -alias gives it other words", err)
	}
	return nil
}
