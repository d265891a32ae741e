// Package elfs reads what the set-up command must know about 64-bit little-endian ELF files (shared libraries they
// need, search paths, the C++ ABI they were compiled with, the glibc they ask for) and replaces the search path of a
// finished program. It needs no external tool and no cgo. All functions are safe for concurrent use on different files.
package elfs
