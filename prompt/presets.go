package prompt

import (
	"fmt"
	"strings"
)

// The words of the domain association: the paper's text names manufacturing and industrial (section 3).
func domainWords() []string { return []string{"manufacturing", "industrial"} }

// bareTemplate stands for "no template": the state phrase alone with a full stop, as the unused one-class and
// two-class lists of the released code have it.
const bareTemplate = "{}."

// DefaultIDPA returns the lists that come closest to the paper: 7 normal and 7 abnormal states that mirror each other,
// 32 templates of which 24 name the domain, cleaned class names: 224 sentences a class and polarity.
//
// The paper prints no complete list. This one is a reconstruction: it holds every word that the paper names
// (unblemished and blemished, manufacturing, industrial), and it is what the authors' code held three days before
// the paper appeared. It is the row "+ Industrial Association" of Table 8. What the code that was released with the
// paper uses instead is OfficialIDPA.
func DefaultIDPA() IDPA {
	return IDPA{
		Normal:    pairedNormal(),
		Abnormal:  pairedAbnormal(),
		Templates: industrialTemplates(),
		Domains:   domainWords(),
		Names:     Cleaned,
	}
}

// OfficialIDPA returns the lists of the released training code, word for word: 6 normal and 6 abnormal states, 38
// templates of which "a photo of the {}." occurs twice, names verbatim but for VisA's macaroni1 and macaroni2, which
// are both written macaroni: 228 sentences a class and polarity. It has no domain word.
func OfficialIDPA() IDPA {
	return IDPA{
		Normal:    officialNormal(),
		Abnormal:  officialAbnormal(),
		Templates: officialTemplates(),
		Names:     Verbatim,
		Aliases:   map[string]string{"macaroni1": "macaroni", "macaroni2": "macaroni"},
	}
}

// WinCLIP returns the compositional prompt ensemble of WinCLIP (Jeong et al., CVPR 2023): 7 normal and 4 abnormal
// states, 21 templates in which the jpeg line stands twice, as it is commonly run: 147 and 84 sentences a class.
func WinCLIP() IDPA {
	return IDPA{
		Normal:    winclipNormal(),
		Abnormal:  winclipAbnormal(),
		Templates: winclipTemplates(),
		Names:     Cleaned,
	}
}

// DomainTemplates returns 22 templates with {domain} where the kind of image is named, to be used with words such as
// "photo", "industrial photo", "industrial image", "manufacturing image", "textural photo" or "surface image" in
// IDPA.Domains. The released code carries these lists without using them.
func DomainTemplates() []string { return domainFrames() }

type preset struct {
	name string
	make func() IDPA
}

// presets is the one list that Preset and Presets read; the rows of Table 8 come first, in the table's order.
func presets() []preset {
	bare := func(normal, abnormal []string) func() IDPA {
		return func() IDPA {
			return IDPA{Normal: normal, Abnormal: abnormal, Templates: []string{bareTemplate}, Names: Cleaned}
		}
	}
	return []preset{
		{"one-class", bare([]string{"normal {}"}, []string{"normal {}"})},
		{"two-class", bare([]string{"normal {}"}, []string{"anomalous {}"})},
		{"two-class-defect", bare([]string{"normal {}"}, []string{"defect {}"})},
		{"state-ensemble", bare(pairedNormal(), pairedAbnormal())},
		{"clip-template", func() IDPA {
			return IDPA{Normal: pairedNormal(), Abnormal: pairedAbnormal(), Templates: officialTemplates(), Names: Cleaned}
		}},
		{"industrial", DefaultIDPA},
		{"industrial-positions", func() IDPA {
			p := DefaultIDPA()
			p.Positions = industrialPositions()
			return p
		}},
		{"official", OfficialIDPA},
		{"winclip", WinCLIP},
	}
}

// Preset returns the lists of a name; the error wraps ErrPreset and lists the names there are.
//
// The rows of the paper's Table 8 (image and pixel AUROC of PaDiM on MVTec AD, in percent, as printed there):
//
//	one-class         45.31  69.11  "normal {}." for both polarities
//	two-class         73.75  85.77  "normal {}." against "anomalous {}."
//	two-class-defect                the same row in the wording of the released code's unused list, "defect {}."
//	state-ensemble    89.74  95.73  7 and 7 states, no template
//	clip-template     90.58  96.10  the same states in CLIP's 38 photo templates
//	industrial        92.64  96.69  the same states in 32 templates with domain words: DefaultIDPA
//
// The table gives names only, so the lists are readings. For the first row it leaves open what damaged images align
// to; taking the same sentence for both polarities fits its result, below chance.
//
// The others: industrial-positions multiplies the abnormal sentences by six phrases that say where the defect is, as
// the authors' earlier code did; official is OfficialIDPA; winclip is WinCLIP.
func Preset(name string) (IDPA, error) {
	for _, p := range presets() {
		if p.name == name {
			return p.make(), nil
		}
	}
	return IDPA{}, fmt.Errorf("prompt: preset %q: %w: there are %s", name, ErrPreset, strings.Join(Presets(), ", "))
}

// Presets returns the names that Preset knows, the rows of Table 8 first and in its order.
func Presets() []string {
	var names []string
	for _, p := range presets() {
		names = append(names, p.name)
	}
	return names
}
