package prompt

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Naming says how a data set's class name is written into a sentence.
type Naming string

const (
	// Cleaned turns underscores into spaces, runs of white space into one space, and cuts both ends: metal_nut is
	// written "metal nut". Digits and hyphens stay, because a digit may be all that tells two classes apart (pcb1,
	// pcb2); Aliases is the place to merge such classes. The paper's figures write names this way.
	Cleaned Naming = "cleaned"
	// Verbatim writes the name as the data set has it, underscores included, as the released code does.
	Verbatim Naming = "verbatim"
)

// maxName bounds a class name in bytes; a text encoder of 77 tokens could not read a longer one.
const maxName = 256

func (n Naming) validate() error {
	switch n {
	case Cleaned, Verbatim:
		return nil
	}
	return fmt.Errorf("prompt: Names is %q, must be %q or %q: %w", string(n), Cleaned, Verbatim, ErrConfig)
}

// cleanName writes a name in the given style, or says why it cannot stand in a sentence.
func cleanName(name string, style Naming) (string, error) {
	if !utf8.ValidString(name) {
		return "", fmt.Errorf("is not valid UTF-8: %w", ErrClass)
	}
	if len(name) > maxName {
		return "", fmt.Errorf("has %d bytes, at most %d are allowed: %w", len(name), maxName, ErrClass)
	}
	if style == Cleaned {
		name = strings.Join(strings.FieldsFunc(name, func(r rune) bool { return r == '_' || unicode.IsSpace(r) }), " ")
	}
	if err := checkName(name); err != nil {
		return "", fmt.Errorf("%w: %w", err, ErrClass)
	}
	return name, nil
}

func checkName(name string) error {
	if strings.TrimSpace(name) == "" {
		return errors.New("holds no word")
	}
	if strings.ContainsFunc(name, unicode.IsControl) {
		return errors.New("holds a control character")
	}
	return nil
}
