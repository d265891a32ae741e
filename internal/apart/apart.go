// Package apart names files so that people, and file systems, can tell them apart.
package apart

import (
	"crypto/sha256"
	"encoding/hex"
	"path/filepath"
	"strings"
)

// FileName makes one element of a path of any text, such as the name of a class that a manifest gives: what is
// no letter of ASCII, digit, dot, hyphen or underscore becomes an underscore, and a checksum keeps
// such names apart. So no text leads out of the folder that it is joined to.
func FileName(name string) string {
	plain := strings.Map(func(r rune) rune {
		if r < 0x80 && (r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-", r)) {
			return r
		}
		return '_'
	}, name)
	const longest = 100
	if plain == name && len(name) <= longest && !strings.HasPrefix(name, ".") && name != "" {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return strings.TrimLeft(plain[:min(len(plain), longest)], ".") + "-" + hex.EncodeToString(sum[:4])
}

// Names names files: without folder and ending where that tells them apart, else with the
// ending, else with as many folders as it takes. as is what becomes of a name where it must
// differ from the others, nil for nothing. False says that two of them are the same file.
func Names(files []string, as func(string) string) ([]string, bool) {
	if as == nil {
		as = func(name string) string { return name }
	}
	paths, parts := make([][]string, len(files)), make([]int, len(files)) // parts: of each path that its name has; 0: one, without the ending
	for i, f := range files {
		if abs, err := filepath.Abs(f); err == nil {
			f = abs
		}
		paths[i] = strings.Split(filepath.ToSlash(f), "/")
	}
	for {
		names, times := make([]string, len(files)), map[string]int{}
		for i, p := range paths {
			last := p[len(p)-1]
			if names[i] = strings.TrimSuffix(last, filepath.Ext(last)); parts[i] > 0 {
				names[i] = strings.Join(p[len(p)-parts[i]:], "/")
			}
			times[as(names[i])]++
		}
		if len(times) == len(names) {
			return names, true
		}
		for i, p := range paths {
			if times[as(names[i])] < 2 {
				continue
			}
			if parts[i]++; parts[i] >= len(p) {
				return names, false
			}
		}
	}
}
