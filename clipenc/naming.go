package clipenc

import (
	"fmt"
	"slices"
	"strings"
)

// A naming says under which names a publisher stores the text tower.
type naming struct {
	publisher string
	// probe is a name that every file of this naming has and none of another has.
	probe string
	// source returns the names that a parameter is made of, in this naming; several are joined along dimension 0.
	source func(name string) []string
	// transposed holds the parameters that are stored with their two dimensions exchanged.
	transposed map[string]bool
	// foreign reports names of the same file that do not belong to the text tower.
	foreign func(name string) bool
}

// namings returns the known ones. OpenCLIP stores its two kinds of model in different ways: the older with OpenAI's
// names, the newer with "text." before them.
func namings() []naming {
	return []naming{
		plain("OpenAI or OpenCLIP", ""),
		plain("OpenCLIP", "text."),
		{
			publisher:  "Hugging Face",
			probe:      "text_model.embeddings.token_embedding.weight",
			source:     huggingFace,
			transposed: map[string]bool{"text_projection": true},
			foreign: func(name string) bool {
				return hasPrefix(name, "vision_model.", "visual_projection.") || name == "logit_scale" || name == "logit_bias" ||
					name == "text_model.embeddings.position_ids"
			},
		},
	}
}

func plain(publisher, prefix string) naming {
	return naming{
		publisher: publisher,
		probe:     prefix + "token_embedding.weight",
		source:    func(name string) []string { return []string{prefix + name} },
		foreign: func(name string) bool {
			return hasPrefix(name, "visual.") || name == prefix+"attn_mask" ||
				slices.Contains([]string{"logit_scale", "logit_bias", "input_resolution", "context_length", "vocab_size"}, name)
		},
	}
}

func hasPrefix(name string, prefixes ...string) bool {
	return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(name, p) })
}

// huggingFace translates a parameter's name.
func huggingFace(name string) []string {
	switch name {
	case "token_embedding.weight":
		return []string{"text_model.embeddings.token_embedding.weight"}
	case "positional_embedding":
		return []string{"text_model.embeddings.position_embedding.weight"}
	case "text_projection":
		return []string{"text_projection.weight"}
	}
	if kind, ok := strings.CutPrefix(name, "ln_final."); ok {
		return []string{"text_model.final_layer_norm." + kind}
	}
	layer, rest, _ := strings.Cut(strings.TrimPrefix(name, "transformer.resblocks."), ".")
	prefix := "text_model.encoder.layers." + layer + "."
	if kind, ok := strings.CutPrefix(rest, "attn.in_proj_"); ok {
		var parts []string
		for _, p := range []string{"q", "k", "v"} {
			parts = append(parts, prefix+"self_attn."+p+"_proj."+kind)
		}
		return parts
	}
	for _, r := range [][2]string{
		{"attn.out_proj", "self_attn.out_proj"}, {"ln_1", "layer_norm1"}, {"ln_2", "layer_norm2"},
		{"mlp.c_fc", "mlp.fc1"}, {"mlp.c_proj", "mlp.fc2"},
	} {
		if kind, ok := strings.CutPrefix(rest, r[0]+"."); ok {
			return []string{prefix + r[1] + "." + kind}
		}
	}
	return []string{name}
}

// detect finds the naming of a file by its names.
func detect(has func(name string) bool) (naming, error) {
	var found []naming
	var probes []string
	for _, n := range namings() {
		probes = append(probes, n.probe)
		if has(n.probe) {
			found = append(found, n)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return naming{}, fmt.Errorf("no text tower in it: none of %s is there: %w", strings.Join(probes, ", "), ErrWeights)
	}
	return naming{}, fmt.Errorf("text towers in more than one naming: %s and %s are there: %w", found[0].probe, found[1].probe, ErrWeights)
}
