package prompt

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
)

// With returns the prompts with further aliases, which count where both have one for a class. p stays as it is.
func (p IDPA) With(aliases map[string]string) IDPA {
	if len(aliases) == 0 {
		return p
	}
	all := make(map[string]string, len(p.Aliases)+len(aliases))
	maps.Copy(all, p.Aliases)
	maps.Copy(all, aliases)
	p.Aliases = all
	return p
}

// CheckClasses says of every class that is named twice, or whose words cannot stand in a sentence. The error wraps
// ErrClass.
func (p IDPA) CheckClasses(classes []string) error {
	var faults []error
	for i, c := range classes {
		if slices.Contains(classes[:i], c) {
			faults = append(faults, fmt.Errorf("prompt: class %q is named twice: %w", c, ErrClass))
		} else if _, err := p.ClassName(c); err != nil {
			faults = append(faults, err)
		}
	}
	return errors.Join(faults...)
}

// WriteSentences writes the sentences of the classes, a line each: the class, "normal" or "abnormal", and the sentence,
// with tabs between them. Errors are those of Sentences and of w; a nil w is ErrConfig.
func (p IDPA) WriteSentences(w io.Writer, classes []string) error {
	if w == nil {
		return fmt.Errorf("prompt: write sentences: the writer is nil: %w", ErrConfig)
	}
	for _, c := range classes {
		normal, abnormal, err := p.Sentences(c)
		if err != nil {
			return err
		}
		for i, s := range slices.Concat(normal, abnormal) {
			kind := "normal"
			if i >= len(normal) {
				kind = "abnormal"
			}
			if _, err := fmt.Fprintf(w, "%s\t%s\t%s\n", c, kind, s); err != nil {
				return fmt.Errorf("prompt: write sentences: %w", err)
			}
		}
	}
	return nil
}
