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
	"text/tabwriter"

	"github.com/gotab/gotab/examples/internal/inputs"
	"github.com/gotab/gotab/examples/internal/process"
	"github.com/gotab/gotab/internal/atomicfile"
	"github.com/gotab/gotab/prompt"
	"github.com/gotab/gotab/tab"
	"github.com/gotab/gotab/tab/clipbank"
	"github.com/gotab/gotab/tensor"
)

func main() { process.Main("bank: ", errUsage, run) }

var errUsage = errors.New("wrong arguments")

// options are the flags.
type options struct {
	clip                clipbank.Source
	reading             inputs.Flags
	classes, data       []string
	aliases             map[string]string
	preset, out, device string
	prompts             prompt.IDPA
	show, force         bool
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
	fs.Func("data", "`folder` whose classes are taken, as pretrain finds them; may be given several times", func(s string) error {
		o.data = append(o.data, s)
		return nil
	})
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
	fs.StringVar(&o.device, "device", "auto", "auto, cpu, cuda or cuda:N")
	o.reading.AddReading(fs)
	if err := process.Parse(fs, args, errUsage); err != nil {
		return o, err
	}
	usage := func(format string, a ...any) error {
		return fmt.Errorf("%w: "+format, append([]any{errUsage}, a...)...)
	}
	err := o.reading.Validate()
	if err != nil {
		return o, usage("%w", err)
	}
	if err := o.clip.Validate(); err != nil {
		return o, usage("-clip-model is %q: %w", o.clip.Model, err)
	}
	if o.prompts, err = prompt.Preset(o.preset); err != nil {
		return o, usage("-prompts: %w", err)
	}
	switch {
	case len(o.classes) == 0 && len(o.data) == 0:
		return o, usage("-class or -data is missing, which say what the classes are")
	case o.show:
		return o, nil
	case o.clip.Weights == "":
		return o, usage("-clip is missing, the weights of a CLIP model; the README says where to get one")
	case o.out == "":
		return o, usage("-out is missing, the file for the bank")
	}
	if err := inputs.CheckWeightsName(o.out); err != nil {
		return o, usage("-out: %w", err)
	}
	if _, err := os.Lstat(o.out); err == nil && !o.force {
		return o, usage("%s is there already; give -out another name, or -force to write over it", o.out)
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
		return o.print(stdout)
	}
	if err := o.reading.UseThreads(); err != nil {
		return err
	}
	dev, err := tensor.ParseDevice(o.device)
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
	if err := o.table(b, stdout); err != nil {
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
			return fmt.Errorf("%w: -alias %s is for none of the classes %s", errUsage, name, strings.Join(o.classes, ", "))
		}
	}
	all := maps.Clone(o.prompts.Aliases)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, o.aliases)
	o.prompts.Aliases = all
	if len(all) == 0 {
		o.prompts.Aliases = nil
	}
	var faults []error
	for i, c := range o.classes {
		if slices.Contains(o.classes[:i], c) {
			faults = append(faults, fmt.Errorf("class %q is named twice", c))
			continue
		}
		if _, err := o.prompts.ClassName(c); err != nil {
			faults = append(faults, fmt.Errorf("%w; -alias gives it other words", err))
		}
	}
	if len(faults) > 0 {
		return fmt.Errorf("%w: %w", errUsage, errors.Join(faults...))
	}
	return nil
}

// print writes all sentences, a line each.
func (o options) print(w io.Writer) error {
	for _, c := range o.classes {
		normal, abnormal, err := o.prompts.Sentences(c)
		if err != nil {
			return err
		}
		for kind, list := range [][]string{normal, abnormal} {
			for _, s := range list {
				if _, err := fmt.Fprintf(w, "%s\t%s\t%s\n", c, []string{"normal", "abnormal"}[kind], s); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// table writes what tells whether the anchors are of use.
func (o options) table(b *tab.Bank, w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	normal, abnormal := o.prompts.Count()
	fmt.Fprintf(t, "class\tin sentences\t%d normal, %d damaged sentences: cosine\tnearest other class\tcosine\n", normal, abnormal)
	for i, c := range b.Classes {
		words, err := o.prompts.ClassName(c)
		if err != nil {
			return err
		}
		other, most := "-", "-"
		best := -2.0
		for j, d := range b.Classes {
			if v := cosine(b.Normal[i], b.Normal[j]); i != j && v > best {
				best, other, most = v, d, fmt.Sprintf("%.3f", v)
			}
		}
		fmt.Fprintf(t, "%s\t%s\t%.3f\t%s\t%s\n", c, words, cosine(b.Normal[i], b.Abnormal[i]), other, most)
	}
	return t.Flush()
}

// cosine is that of two unit rows.
func cosine(a, b []float32) (sum float64) {
	for i := range a {
		sum += float64(a[i]) * float64(b[i])
	}
	return sum
}
