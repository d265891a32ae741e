package dataset

import (
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// placement chooses where images and their masks go. An image keeps its name, or
// has its whole path as its name where another one would get the same. Letters and digits of
// any script stay. What cannot stand in the name of a file on every system is written
// as a per cent sign and two digits for each byte, a per cent sign as "%25": safeName
// has the rule, and two names never become one.
type placement struct {
	count map[string]int    // how many images would have a place, without case
	used  map[string]string // place without case: the image that has it
}

func newPlacement(items []Item) *placement {
	p := &placement{count: make(map[string]int), used: make(map[string]string)}
	for _, it := range items {
		p.count[placeKey(it, lastName(it))]++
	}
	return p
}

// lastName is the name of an image without folder and ending.
func lastName(it Item) string {
	base := path.Base(it.Name)
	return strings.TrimSuffix(base, path.Ext(base))
}

// placeKey is equal for images that cannot have the same name. Masks of all splits
// share a folder. Many disks do not tell capitals from small letters.
func placeKey(it Item, name string) string {
	parts := []string{it.Class, it.Kind(), name}
	if it.IsGood() { // which have no masks
		parts = append(parts, it.Split)
	}
	return strings.ToLower(strings.Join(parts, "\x00"))
}

// longestName bounds an element of a path, in bytes: file systems take 255, and a
// mask's name adds an ending.
const longestName = 240

// place chooses where an image and its mask go.
func (p *placement) place(it Item) (img, mask string, err error) {
	switch {
	case it.Split == "":
		return "", "", fmt.Errorf("%s is in no split; give it one in a manifest", it.Name)
	case !it.IsLabelled():
		return "", "", fmt.Errorf("%s has no label", it.Name)
	case it.Split == Train && it.IsDefective():
		return "", "", fmt.Errorf("%s shows %s and is in train, where the layout has good images only", it.Name, it.Defect)
	}
	own := lastName(it)
	if p.count[placeKey(it, own)] > 1 {
		own = it.Name
	}
	parts := map[string]string{"class": it.Class, "split": it.Split, "kind of defect": it.Kind(), "name": own}
	for _, what := range []string{"class", "split", "kind of defect", "name"} {
		safe := safeName(parts[what])
		switch {
		case safe == "":
			return "", "", fmt.Errorf("%s has no %s to call a folder or file by; give it one in a manifest", it.Name, what)
		case len(safe) > longestName:
			return "", "", fmt.Errorf("the %s of %s becomes %d bytes long as the name of a file, want at most %d; shorten it in a manifest", what, it.Name, len(safe), longestName)
		}
		parts[what] = safe
	}
	class, kind, name := parts["class"], parts["kind of defect"], parts["name"]
	key := placeKey(it, own)
	if first, taken := p.used[key]; taken {
		return "", "", fmt.Errorf("%s and %s would get the same name %s; rename one", first, it.Name, path.Join(class, kind, name+".png"))
	}
	p.used[key] = it.Name
	return filepath.Join(class, parts["split"], kind, name+".png"), filepath.Join(class, "ground_truth", kind, name+"_mask.png"), nil
}

// safeName makes one element of a path of a name, from which the name can
// be made again: two names never become one. Letters, digits and marks of all scripts stay, and a few signs.
func safeName(name string) string {
	var b strings.Builder
	for at := 0; at < len(name); {
		r, n := utf8.DecodeRuneInString(name[at:])
		keep := r != utf8.RuneError && (unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r) || strings.ContainsRune("-+._ ()=,@", r))
		first, last := at == 0, at+n == len(name)
		switch {
		case first && (r == '.' || r == ' ' || strings.HasPrefix(name, "__")): // hidden names are not read
			keep = false
		case last && (r == '.' || r == ' '): // Windows takes them off
			keep = false
		}
		if keep {
			b.WriteString(name[at : at+n])
		} else {
			for _, c := range []byte(name[at : at+n]) {
				fmt.Fprintf(&b, "%%%02X", c)
			}
		}
		at += n
	}
	out := b.String()
	if device(out) {
		return fmt.Sprintf("%%%02X", out[0]) + out[1:]
	}
	return out
}

// device says whether Windows takes a name for a device's.
func device(name string) bool {
	base, _, _ := strings.Cut(strings.ToLower(name), ".")
	if slices.Contains([]string{"con", "prn", "aux", "nul"}, base) {
		return true
	}
	return len(base) == 4 && (strings.HasPrefix(base, "com") || strings.HasPrefix(base, "lpt")) && base[3] >= '0' && base[3] <= '9'
}
