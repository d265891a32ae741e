package prompt_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/prompt"
)

func digest(sentences []string) string {
	sum := sha256.Sum256([]byte(strings.Join(sentences, "\n")))
	return hex.EncodeToString(sum[:])
}

func readFixture(t *testing.T, into any) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", "parity", "sentences.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(raw, into))
}

// TestPresetsEqualFixture holds every sentence of every preset against lists that were written down a second time in
// testdata/parity/sentences.py.
func TestPresetsEqualFixture(t *testing.T) {
	var want struct {
		Class   string
		Presets []struct {
			Name             string
			Normal, Abnormal int
			NormalSHA        string `json:"normal_sha256"`
			AbnormalSHA      string `json:"abnormal_sha256"`
		}
	}
	readFixture(t, &want)
	var names []string
	for _, w := range want.Presets {
		names = append(names, w.Name)
		t.Run(w.Name, func(t *testing.T) {
			p, err := prompt.Preset(w.Name)
			require.NoError(t, err)
			normal, abnormal, err := p.Sentences(want.Class)
			require.NoError(t, err)
			require.Len(t, normal, w.Normal)
			require.Len(t, abnormal, w.Abnormal)
			n, a := p.Count()
			require.Equal(t, []int{w.Normal, w.Abnormal}, []int{n, a})
			require.Equal(t, w.NormalSHA, digest(normal))
			require.Equal(t, w.AbnormalSHA, digest(abnormal))
		})
	}
	require.Equal(t, names, prompt.Presets(), "every preset is in the fixture, in the same order")
}

func TestPublishedCounts(t *testing.T) {
	for _, c := range []struct {
		name             string
		normal, abnormal int
		distinct         int // templates times normal states, without repetitions
	}{
		{"official", 6 * 38, 6 * 38, 6 * 37},
		{"industrial", 7 * 32, 7 * 32, 7 * 32},
		{"industrial-positions", 7 * 32, 7 * 32 * 6, 7 * 32},
		{"winclip", 7 * 21, 4 * 21, 7 * 20},
	} {
		p, err := prompt.Preset(c.name)
		require.NoError(t, err)
		normal, abnormal, err := p.Sentences("grid")
		require.NoError(t, err)
		require.Len(t, normal, c.normal, c.name)
		require.Len(t, abnormal, c.abnormal, c.name)
		slices.Sort(normal)
		require.Len(t, slices.Compact(normal), c.distinct, c.name)
	}
}

func TestPresetUnknown(t *testing.T) {
	_, err := prompt.Preset("two-classes")
	require.ErrorIs(t, err, prompt.ErrPreset)
	require.ErrorContains(t, err, `"two-classes"`)
	require.ErrorContains(t, err, "two-class-defect")
}

func TestPresetsAreSeparate(t *testing.T) {
	a := prompt.DefaultIDPA()
	a.Normal[0] = "shiny {}"
	a.Templates[0] = "{}"
	require.Equal(t, "good {}", prompt.DefaultIDPA().Normal[0], "a caller's change stays with the caller")
	one, err := prompt.Preset("one-class")
	require.NoError(t, err)
	one.Normal[0] = "x {}"
	again, err := prompt.Preset("one-class")
	require.NoError(t, err)
	require.Equal(t, "normal {}", again.Normal[0])
}

func TestClassNames(t *testing.T) {
	for _, c := range []struct {
		names       prompt.Naming
		class, want string
	}{
		{prompt.Cleaned, "metal_nut", "metal nut"},
		{prompt.Cleaned, "  Bent  Metal_\tStripe ", "Bent Metal Stripe"},
		{prompt.Cleaned, "__pipe__fryum_", "pipe fryum"},
		{prompt.Cleaned, "pcb4", "pcb4"},
		{prompt.Cleaned, "01", "01"},
		{prompt.Cleaned, "t-shirt", "t-shirt"},
		{prompt.Cleaned, "Schraube\u00a0groß", "Schraube groß"},
		{prompt.Verbatim, "metal_nut", "metal_nut"},
		{prompt.Verbatim, "a{}b", "a{}b"},
	} {
		p := prompt.DefaultIDPA()
		p.Names = c.names
		got, err := p.ClassName(c.class)
		require.NoError(t, err)
		require.Equal(t, c.want, got)
		normal, _, err := p.Sentences(c.class)
		require.NoError(t, err)
		require.Equal(t, "a photo of a good "+c.want+".", normal[0])
	}
}

func TestClassNamesRefused(t *testing.T) {
	for _, class := range []string{"", "  ", "___", "a\x00b", "a\xffb", strings.Repeat("x", 257)} {
		_, _, err := prompt.DefaultIDPA().Sentences(class)
		require.ErrorIs(t, err, prompt.ErrClass, "%q", class)
	}
	_, _, err := prompt.OfficialIDPA().Sentences("tab\there")
	require.ErrorIs(t, err, prompt.ErrClass)
}

func TestAliases(t *testing.T) {
	p := prompt.OfficialIDPA()
	one, _, err := p.Sentences("macaroni1")
	require.NoError(t, err)
	two, _, err := p.Sentences("macaroni2")
	require.NoError(t, err)
	require.Equal(t, one, two)
	require.Equal(t, "a photo of a flawless macaroni.", one[0])

	q := prompt.DefaultIDPA()
	q.Aliases = map[string]string{"pcb": "printed_circuit_board"}
	name, err := q.ClassName("pcb")
	require.NoError(t, err)
	require.Equal(t, "printed circuit board", name)
	q.Aliases["pcb"] = " "
	require.ErrorIs(t, q.Validate(), prompt.ErrClass)
}

func TestDomainWords(t *testing.T) {
	p := prompt.IDPA{
		Normal:    []string{"good {}"},
		Abnormal:  []string{"bad {}"},
		Templates: []string{"a {domain} photo of a {}.", "{domain} {}", "area {domain} {}", "A {domain} x {}"},
		Domains:   []string{"industrial", "textile"},
		Names:     prompt.Cleaned,
	}
	normal, abnormal, err := p.Sentences("nut")
	require.NoError(t, err)
	require.Equal(t, []string{
		"an industrial photo of a good nut.", "a textile photo of a good nut.",
		"industrial good nut", "textile good nut",
		"area industrial good nut", "area textile good nut",
		"An industrial x good nut", "A textile x good nut",
	}, normal)
	require.Len(t, abnormal, 8)
	require.Len(t, prompt.DomainTemplates(), 22)
	p.Templates = prompt.DomainTemplates()
	p.Domains = []string{"photo", "industrial image"}
	normal, _, err = p.Sentences("nut")
	require.NoError(t, err)
	require.Len(t, normal, 44)
	require.Contains(t, normal, "an industrial image of a small good nut")
	require.Contains(t, normal, "a jpeg corrupted photo of the good nut")
}

func TestValidate(t *testing.T) {
	many := make([]string, 400)
	for i := range many {
		many[i] = "{}"
	}
	for _, c := range []struct {
		change func(p *prompt.IDPA)
		want   string
	}{
		{func(p *prompt.IDPA) { p.Normal = nil }, "Normal is empty"},
		{func(p *prompt.IDPA) { p.Abnormal = []string{} }, "Abnormal is empty"},
		{func(p *prompt.IDPA) { p.Templates = nil }, "Templates is empty"},
		{func(p *prompt.IDPA) { p.Normal[1] = "good" }, `Normal[1] "good" needs exactly one {} and has 0`},
		{func(p *prompt.IDPA) { p.Templates[3] = "{} and {}" }, `Templates[3] "{} and {}" needs exactly one {} and has 2`},
		{func(p *prompt.IDPA) { p.Templates[0] = "a {name} {}" }, "brace"},
		{func(p *prompt.IDPA) { p.Templates[0] = "{domain} {domain} {}" }, "brace"},
		{func(p *prompt.IDPA) { p.Abnormal[2] = "{domain} {}" }, "Abnormal[2]"},
		{func(p *prompt.IDPA) { p.Positions = []string{"on the left"} }, "Positions[0]"},
		{func(p *prompt.IDPA) { p.Domains = nil }, "Domains is empty"},
		{func(p *prompt.IDPA) { p.Domains[1] = " " }, "Domains[1]"},
		{func(p *prompt.IDPA) { p.Domains[1] = "{}" }, "Domains[1]"},
		{func(p *prompt.IDPA) { p.Templates = []string{"{}"} }, "no template has {domain}"},
		{func(p *prompt.IDPA) { p.Names = "" }, "Names"},
		{func(p *prompt.IDPA) { p.Normal, p.Templates = many, append(slices.Clone(p.Templates), many...) }, "at most 100000"},
	} {
		p := prompt.DefaultIDPA()
		c.change(&p)
		err := p.Validate()
		require.ErrorIs(t, err, prompt.ErrConfig, c.want)
		require.ErrorContains(t, err, c.want)
		_, _, err = p.Sentences("grid")
		require.ErrorIs(t, err, prompt.ErrConfig)
	}
	for _, name := range prompt.Presets() {
		p, err := prompt.Preset(name)
		require.NoError(t, err)
		require.NoError(t, p.Validate(), name)
	}
}

func TestHash(t *testing.T) {
	seen := map[string]string{}
	for _, name := range prompt.Presets() {
		p, err := prompt.Preset(name)
		require.NoError(t, err)
		h := p.Hash()
		require.Len(t, h, 64)
		require.NotContains(t, seen, h, "%s and %s", name, seen[h])
		seen[h] = name
	}
	base := prompt.DefaultIDPA()
	require.Equal(t, base.Hash(), prompt.DefaultIDPA().Hash())
	// A bank file on disk carries this value: it may change only together with the sentences.
	var fixture struct{ Hashes map[string]string }
	readFixture(t, &fixture)
	require.Equal(t, fixture.Hashes["industrial"], base.Hash())
	require.Equal(t, fixture.Hashes["official"], prompt.OfficialIDPA().Hash())
	require.Len(t, prompt.IDPA{Templates: []string{"{domain}"}, Domains: []string{""}}.Hash(), 64, "lists that are not valid have a hash too")

	// The same sentences put together in another way have the same hash.
	spelt := prompt.DefaultIDPA()
	spelt.Domains = nil
	spelt.Templates = nil
	for _, s := range prompt.DefaultIDPA().Templates {
		if !strings.Contains(s, "{domain}") {
			spelt.Templates = append(spelt.Templates, s)
			continue
		}
		spelt.Templates = append(spelt.Templates,
			strings.Replace(s, "{domain}", "manufacturing", 1), strings.Replace(s, "a {domain}", "an industrial", 1))
	}
	require.Equal(t, base.Hash(), spelt.Hash())

	for what, change := range map[string]func(p *prompt.IDPA){
		"states moved between polarities": func(p *prompt.IDPA) {
			p.Normal, p.Abnormal = append(p.Normal, p.Abnormal[0]), p.Abnormal[1:]
		},
		"order":     func(p *prompt.IDPA) { slices.Reverse(p.Templates) },
		"names":     func(p *prompt.IDPA) { p.Names = prompt.Verbatim },
		"aliases":   func(p *prompt.IDPA) { p.Aliases = map[string]string{"a": "b"} },
		"positions": func(p *prompt.IDPA) { p.Positions = []string{"{} on top"} },
	} {
		p := prompt.DefaultIDPA()
		change(&p)
		require.NotEqual(t, base.Hash(), p.Hash(), what)
	}
}
