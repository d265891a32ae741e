package dataset

import (
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"
)

// originalName is the name that safeName was given.
func originalName(safe string) (string, error) {
	var b strings.Builder
	for rest := safe; rest != ""; {
		if rest[0] != '%' {
			b.WriteByte(rest[0])
			rest = rest[1:]
			continue
		}
		if len(rest) < 3 {
			return "", fmt.Errorf("%q ends within a sign", safe)
		}
		c, err := hex.DecodeString(rest[1:3])
		if err != nil {
			return "", fmt.Errorf("%q: %w", safe, err)
		}
		b.Write(c)
		rest = rest[3:]
	}
	return b.String(), nil
}

func FuzzSafeName(f *testing.F) {
	for _, s := range []string{"端子", "..", "con.txt", "a/b\\c:d", "%41", "__x", " x ", "\xb6\xcb", "COM1", "a\x00b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		safe := safeName(name)
		back, err := originalName(safe)
		if err != nil || back != name {
			t.Fatalf("%q became %q and then %q, %v", name, safe, back, err)
		}
		if name == "" {
			return
		}
		if !utf8.ValidString(safe) || strings.ContainsAny(safe, "/\\:*?\"<>|\x00\n") || strings.HasPrefix(safe, ".") || strings.HasPrefix(safe, "__") || strings.HasSuffix(safe, ".") || strings.HasSuffix(safe, " ") {
			t.Fatalf("%q became %q", name, safe)
		}
	})
}
