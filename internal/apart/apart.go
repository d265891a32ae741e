// Package apart names files so that people can tell them apart.
package apart

import (
	"path/filepath"
	"strings"
)

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
