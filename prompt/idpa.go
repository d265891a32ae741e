package prompt

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"maps"
	"slices"
	"strings"
)

// Errors of this package; the returned errors wrap them and say which field or name is wrong.
var (
	// ErrConfig says that an IDPA cannot make sentences: an empty list, or a phrase without its placeholder.
	ErrConfig = errors.New("invalid prompts")
	// ErrClass says that a class name cannot stand in a sentence.
	ErrClass = errors.New("unusable class name")
	// ErrPreset says that no preset has the name asked for.
	ErrPreset = errors.New("unknown preset")
)

const (
	slot       = "{}"       // where the phrase inside goes: the class name into a state, the state into a template
	domainSlot = "{domain}" // where a template takes a domain word
	// MaxSentences bounds what one polarity of one class may expand to. The largest published list has 1,344.
	MaxSentences = 100_000
)

// IDPA is a set of prompt lists: the product of states, templates and domain words.
//
// The sentences of a class are, for every state and every template in that order, the template with the state in
// place of {}, the state having the class name in place of its own {}. A template may hold {domain} once; it then
// counts once for each domain word. An "a" right before {domain} becomes "an" when the word starts with a vowel
// letter.
type IDPA struct {
	// Normal holds the state phrases of an undamaged object, each with exactly one {}.
	Normal []string
	// Abnormal holds the state phrases of a damaged object, each with exactly one {}.
	Abnormal []string
	// Templates holds the sentences that a state goes into, each with exactly one {} and at most one {domain}.
	// An entry that occurs twice counts twice in the mean.
	Templates []string
	// Domains holds the words that {domain} stands for. Empty where no template has {domain}.
	Domains []string
	// Positions holds phrases that say where the defect is, each with exactly one {}. Where it is not empty, each
	// abnormal sentence is written once for each of them, the phrase around the state. Optional.
	Positions []string
	// Names says how a class name is written.
	Names Naming
	// Aliases gives some class names other words, for example "pcb": "printed circuit board". It is looked up with
	// the name as the data set has it, before Names is applied. Optional.
	Aliases map[string]string
}

// Validate names the first field that keeps the lists from making sentences; the error wraps ErrConfig.
func (p IDPA) Validate() error {
	for _, l := range []struct {
		field    string
		list     []string
		required bool
		domain   bool
	}{
		{"Normal", p.Normal, true, false},
		{"Abnormal", p.Abnormal, true, false},
		{"Templates", p.Templates, true, true},
		{"Positions", p.Positions, false, false},
	} {
		if l.required && len(l.list) == 0 {
			return fmt.Errorf("prompt: %s is empty: %w", l.field, ErrConfig)
		}
		for i, s := range l.list {
			if err := checkPhrase(s, l.domain); err != nil {
				return fmt.Errorf("prompt: %s[%d] %q %w: %w", l.field, i, s, err, ErrConfig)
			}
		}
	}
	if err := p.checkDomains(); err != nil {
		return err
	}
	if err := p.Names.validate(); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(p.Aliases)) {
		if _, err := cleanName(p.Aliases[name], p.Names); err != nil {
			return fmt.Errorf("prompt: Aliases[%q] = %q: %w", name, p.Aliases[name], err)
		}
	}
	normal, abnormal := p.counts()
	if n := max(normal, abnormal); n > MaxSentences {
		return fmt.Errorf("prompt: the lists make %d sentences for a class, at most %d are allowed: %w", n, MaxSentences, ErrConfig)
	}
	return nil
}

func (p IDPA) checkDomains() error {
	wanted := slices.ContainsFunc(p.Templates, func(t string) bool { return strings.Contains(t, domainSlot) })
	if wanted && len(p.Domains) == 0 {
		return fmt.Errorf("prompt: Domains is empty and a template has %s: %w", domainSlot, ErrConfig)
	}
	if !wanted && len(p.Domains) > 0 {
		return fmt.Errorf("prompt: Domains has %d words and no template has %s: %w", len(p.Domains), domainSlot, ErrConfig)
	}
	for i, w := range p.Domains {
		if strings.TrimSpace(w) == "" || strings.ContainsAny(w, "{}") {
			return fmt.Errorf("prompt: Domains[%d] %q is no word: %w", i, w, ErrConfig)
		}
	}
	return nil
}

// checkPhrase returns what is wrong with the placeholders of a phrase, nil if nothing is.
func checkPhrase(s string, domain bool) error {
	if n := strings.Count(s, slot); n != 1 {
		return fmt.Errorf("needs exactly one {} and has %d", n)
	}
	rest := strings.Replace(s, slot, "", 1)
	if domain {
		rest = strings.Replace(rest, domainSlot, "", 1)
	}
	if strings.ContainsAny(rest, "{}") {
		if strings.Contains(rest, domainSlot) && !domain {
			return fmt.Errorf("has %s, which only templates may have", domainSlot)
		}
		return errors.New("has a brace that belongs to no placeholder")
	}
	return nil
}

// counts returns the number of sentences of each polarity of one class.
func (p IDPA) counts() (normal, abnormal int) {
	templates := 0
	for _, t := range p.Templates {
		if strings.Contains(t, domainSlot) {
			templates += len(p.Domains)
		} else {
			templates++
		}
	}
	return len(p.Normal) * templates, len(p.Abnormal) * templates * max(1, len(p.Positions))
}

// Count returns how many sentences Sentences writes for each polarity of a class.
func (p IDPA) Count() (normal, abnormal int) { return p.counts() }

// Sentences writes the sentences of one class, states outermost, then templates (a template's domain words in their
// order), then positions. The order is always the same. The error wraps ErrConfig or ErrClass.
func (p IDPA) Sentences(class string) (normal, abnormal []string, err error) {
	if err := p.Validate(); err != nil {
		return nil, nil, err
	}
	name, err := p.ClassName(class)
	if err != nil {
		return nil, nil, err
	}
	normal, abnormal = p.expand()
	fill(normal, name)
	fill(abnormal, name)
	return normal, abnormal, nil
}

// ClassName returns the words that stand for a class in its sentences: its alias where it has one, written as Names
// says. The error wraps ErrClass.
func (p IDPA) ClassName(class string) (string, error) {
	words := class
	if alias, ok := p.Aliases[class]; ok {
		words = alias
	}
	name, err := cleanName(words, p.Names)
	if err != nil {
		return "", fmt.Errorf("prompt: class %q: %w", class, err)
	}
	return name, nil
}

// Hash returns a fingerprint of the prompts in 64 hexadecimal digits: it changes whenever a sentence of some class
// would. Lists that write the same sentences in the same order have the same hash, however they are put together.
func (p IDPA) Hash() string {
	h := sha256.New()
	normal, abnormal := p.expand()
	writeStrings(h, normal)
	writeStrings(h, abnormal)
	writeStrings(h, []string{string(p.Names)})
	var aliases []string
	for _, name := range slices.Sorted(maps.Keys(p.Aliases)) {
		aliases = append(aliases, name, p.Aliases[name])
	}
	writeStrings(h, aliases)
	return hex.EncodeToString(h.Sum(nil))
}

// writeStrings hashes a list so that no two lists hash the same bytes: count first, every string after its length.
func writeStrings(h hash.Hash, list []string) {
	var n [8]byte
	binary.LittleEndian.PutUint64(n[:], uint64(len(list)))
	h.Write(n[:])
	for _, s := range list {
		binary.LittleEndian.PutUint64(n[:], uint64(len(s)))
		h.Write(n[:])
		h.Write([]byte(s))
	}
}

// expand returns the sentences with {} still in place of the class name.
func (p IDPA) expand() (normal, abnormal []string) {
	var templates []string
	for _, t := range p.Templates {
		if !strings.Contains(t, domainSlot) {
			templates = append(templates, t)
			continue
		}
		for _, w := range p.Domains {
			templates = append(templates, withDomain(t, w))
		}
	}
	for _, s := range p.Normal {
		for _, t := range templates {
			normal = append(normal, strings.Replace(t, slot, s, 1))
		}
	}
	positions := p.Positions
	if len(positions) == 0 {
		positions = []string{slot}
	}
	for _, s := range p.Abnormal {
		for _, t := range templates {
			for _, pos := range positions {
				abnormal = append(abnormal, strings.Replace(t, slot, strings.Replace(pos, slot, s, 1), 1))
			}
		}
	}
	return normal, abnormal
}

// withDomain puts a domain word into a template and mends the article before it.
func withDomain(template, word string) string {
	before, after, _ := strings.Cut(template, domainSlot)
	if word != "" && strings.ContainsRune("aeiouAEIOU", rune(word[0])) {
		for _, article := range []string{"a ", "A "} {
			cut, ok := strings.CutSuffix(before, article)
			if ok && (cut == "" || strings.HasSuffix(cut, " ")) {
				before = cut + article[:1] + "n "
			}
		}
	}
	return before + word + after
}

// fill puts a class name into every sentence, in place.
func fill(sentences []string, name string) {
	for i, s := range sentences {
		sentences[i] = strings.Replace(s, slot, name, 1)
	}
}
