package dataset

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
)

// ReadManifestFile reads a file that [WriteManifest] wrote, as [ReadManifest] does; an error names it.
func ReadManifestFile(name string) ([]Item, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("dataset: open manifest: %w", err)
	}
	items, err := ReadManifest(f)
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("%w (in %s)", err, name)
	}
	return items, nil
}

// ParseParts reads the sides of a split, names and fractions with commas between them: "train=0.8,validation=0.2". What they
// sum to is for [SplitConfig.Validate]. Other texts are an error that wraps [ErrConfig].
func ParseParts(text string) ([]Part, error) {
	var parts []Part
	for _, p := range strings.Split(text, ",") {
		name, fraction, _ := strings.Cut(p, "=")
		v, err := strconv.ParseFloat(fraction, 64)
		if err != nil {
			return nil, fmt.Errorf("dataset: parts: %w: %q, want a name and a fraction such as train=0.8", ErrConfig, p)
		}
		parts = append(parts, Part{Name: name, Fraction: v})
	}
	return parts, nil
}

// GroupByName gives items whose names a regular expression finds the part that they show (Item.Group), which is what its first
// bracket holds, so that a division keeps images of one part on one side and a manifest says it. It changes items, and returns an
// error that wraps [ErrConfig] for an expression that is none or has no bracket.
func GroupByName(items []Item, expression string) error {
	re, err := regexp.Compile(expression)
	if err != nil || re.NumSubexp() < 1 {
		return fmt.Errorf("dataset: group by name: %w: %q is no expression with a bracket", ErrConfig, expression)
	}
	for i := range items {
		if m := re.FindStringSubmatch(items[i].Name); m != nil {
			items[i].Group = m[1]
		}
	}
	return nil
}
