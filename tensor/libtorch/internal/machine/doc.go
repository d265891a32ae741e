// Package machine looks at what a machine offers to a build and to libtorch: instruction sets, processors and threads
// that a container leaves, memory, NVIDIA's driver and GPUs. It reads the kernel's files below a root that is given and
// asks nvidia-smi; it changes nothing. What it finds are sentences for people.
package machine

import (
	"io"
	"io/fs"
)

// Level says how much a finding matters.
type Level int

const (
	OK   Level = iota // as it should be
	Note              // works, and is good to know
	Bad               // does not work
)

// Finding is one thing that was looked at.
type Finding struct {
	Level Level
	What  string // one word
	Text  string // a sentence
}

// read is the beginning of a file, empty where it cannot be read.
func read(root fs.FS, name string) string {
	f, err := root.Open(name)
	if err != nil {
		return ""
	}
	defer func() { _ = f.Close() }() // nothing was written
	data, err := io.ReadAll(io.LimitReader(f, 1<<20))
	if err != nil {
		return ""
	}
	return string(data)
}
