// Package elftest builds tiny ELF files for tests, so that those need no compiler.
package elftest

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
)

// File is what the built file declares. The order in its string table is Symbols, Needed, Runpath.
type File struct {
	Symbols []string // names of defined dynamic symbols
	Needed  []string // DT_NEEDED
	Runpath string   // DT_RUNPATH, none if empty
	Glibc   []string // versions asked of libc.so.6, without GLIBC_
	// Shared makes the first symbol's name the tail of Runpath that begins at this offset, as linkers do (0: no).
	Shared int
}

// Build returns a 64-bit little-endian shared object with sections .dynstr, .dynsym, .dynamic, .gnu.version_r and
// .gnu.version. It holds no code and no program headers.
func Build(f File) []byte {
	le := binary.LittleEndian
	strs := []byte{0}
	add := func(s string) uint32 {
		at := uint32(len(strs))
		strs = append(append(strs, s...), 0)
		return at
	}
	var syms, dyn bytes.Buffer
	syms.Write(make([]byte, 24))
	var names []uint32
	for _, s := range f.Symbols {
		names = append(names, add(s))
	}
	tag := func(t elf.DynTag, v uint32) {
		_ = binary.Write(&dyn, le, []uint64{uint64(t), uint64(v)}) // a bytes.Buffer takes everything
	}
	for _, n := range f.Needed {
		tag(elf.DT_NEEDED, add(n))
	}
	if f.Runpath != "" {
		at := add(f.Runpath)
		tag(elf.DT_RUNPATH, at)
		if f.Shared > 0 {
			names = append(names, at+uint32(f.Shared))
		}
	}
	tag(elf.DT_NULL, 0)
	for _, n := range names {
		_ = binary.Write(&syms, le, elf.Sym64{Name: n, Info: elf.ST_INFO(elf.STB_GLOBAL, elf.STT_FUNC), Shndx: 1, Value: 1})
	}
	var vers bytes.Buffer
	if len(f.Glibc) > 0 {
		_ = binary.Write(&vers, le, []uint16{1, uint16(len(f.Glibc))})
		_ = binary.Write(&vers, le, []uint32{add("libc.so.6"), 16, 0})
		for i, v := range f.Glibc {
			next := uint32(16)
			if i == len(f.Glibc)-1 {
				next = 0
			}
			_ = binary.Write(&vers, le, []uint32{0, uint32(i+2) << 16, add("GLIBC_" + v), next})
		}
	}
	shstr := []byte("\x00.dynstr\x00.dynsym\x00.dynamic\x00.gnu.version_r\x00.gnu.version\x00.shstrtab\x00")
	at := func(s string) uint32 { return uint32(bytes.Index(shstr, []byte(s+"\x00"))) }
	type section struct {
		head elf.Section64
		data []byte
	}
	sections := []section{
		{},
		{elf.Section64{Name: at(".dynstr"), Type: uint32(elf.SHT_STRTAB)}, strs},
		{elf.Section64{Name: at(".dynsym"), Type: uint32(elf.SHT_DYNSYM), Link: 1, Entsize: 24}, syms.Bytes()},
		{elf.Section64{Name: at(".dynamic"), Type: uint32(elf.SHT_DYNAMIC), Link: 1, Entsize: 16}, dyn.Bytes()},
		{elf.Section64{Name: at(".gnu.version_r"), Type: uint32(elf.SHT_GNU_VERNEED), Link: 1, Info: 1}, vers.Bytes()},
		{elf.Section64{Name: at(".gnu.version"), Type: uint32(elf.SHT_GNU_VERSYM), Link: 2, Entsize: 2}, make([]byte, syms.Len()/12)},
		{elf.Section64{Name: at(".shstrtab"), Type: uint32(elf.SHT_STRTAB)}, shstr},
	}
	if len(f.Glibc) == 0 {
		sections = append(sections[:4], sections[6])
	}
	var body bytes.Buffer
	for i := range sections {
		if i == 0 {
			continue
		}
		sections[i].head.Off = 64 + uint64(body.Len())
		sections[i].head.Size = uint64(len(sections[i].data))
		sections[i].head.Addralign = 1
		body.Write(sections[i].data)
	}
	head := elf.Header64{Type: uint16(elf.ET_DYN), Machine: uint16(elf.EM_X86_64), Version: 1, Shoff: 64 + uint64(body.Len()), Ehsize: 64,
		Phentsize: 56, Shentsize: 64, Shnum: uint16(len(sections)), Shstrndx: uint16(len(sections) - 1)}
	copy(head.Ident[:], "\x7fELF\x02\x01\x01")
	var out bytes.Buffer
	_ = binary.Write(&out, le, head)
	out.Write(body.Bytes())
	for _, s := range sections {
		_ = binary.Write(&out, le, s.head)
	}
	return out.Bytes()
}
