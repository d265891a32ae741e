package elfs

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
)

// SetRunpath replaces the search path (DT_RUNPATH, else DT_RPATH) of the program at path by value, in place. The file
// keeps its size and every other byte: the new string overwrites the old one and zeros fill the rest, so value must not
// be longer than what is there. A linker may let two strings share bytes (one being the tail of the other); where
// anything else in the file refers to the bytes in question, nothing is changed and ErrRunpathShared is returned.
func SetRunpath(path, value string) (err error) {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("elfs: set search path: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	f, err := elf.NewFile(file)
	if err != nil || f.Class != elf.ELFCLASS64 || f.Data != elf.ELFDATA2LSB {
		return fmt.Errorf("elfs: set search path of %s: %w", path, ErrFormat)
	}
	dyn := f.SectionByType(elf.SHT_DYNAMIC)
	if dyn == nil || int(dyn.Link) >= len(f.Sections) {
		return fmt.Errorf("elfs: set search path of %s: %w", path, ErrNoRunpath)
	}
	strs := f.Sections[dyn.Link]
	text, err := strs.Data()
	if err != nil {
		return fmt.Errorf("elfs: set search path of %s: %w", path, err)
	}
	refs, own, err := stringRefs(f, dyn)
	if err != nil {
		return fmt.Errorf("elfs: set search path of %s: %w", path, err)
	}
	if own == 0 || own >= uint64(len(text)) {
		return fmt.Errorf("elfs: set search path of %s: %w", path, ErrNoRunpath)
	}
	end := own
	for end < uint64(len(text)) && text[end] != 0 {
		end++
	}
	if uint64(len(value)) > end-own {
		return fmt.Errorf("elfs: set search path of %s to %q: %w (%q)", path, value, ErrRunpathLong, text[own:end])
	}
	if text[own-1] != 0 {
		return fmt.Errorf("elfs: set search path of %s: %w", path, ErrRunpathShared)
	}
	for _, r := range refs {
		// A reference to the byte at end is to the empty string, which stays empty.
		if r >= own && r < end {
			return fmt.Errorf("elfs: set search path of %s: %w", path, ErrRunpathShared)
		}
	}
	buf := make([]byte, end-own)
	copy(buf, value)
	if _, err := file.WriteAt(buf, int64(strs.Offset+own)); err != nil {
		return fmt.Errorf("elfs: set search path of %s: %w", path, err)
	}
	return nil
}

// stringRefs returns the offsets into the dynamic string table that anything but the search path uses, and the search
// path's own (0 if there is none).
func stringRefs(f *elf.File, dyn *elf.Section) (refs []uint64, own uint64, err error) {
	le := binary.LittleEndian
	data, err := dyn.Data()
	if err != nil {
		return nil, 0, err
	}
	var rpath, runpath uint64
	for ; len(data) >= 16; data = data[16:] {
		tag, val := elf.DynTag(le.Uint64(data)), le.Uint64(data[8:])
		switch tag {
		case elf.DT_RUNPATH:
			runpath = val
		case elf.DT_RPATH:
			rpath = val
		case elf.DT_NEEDED, elf.DT_SONAME, elf.DT_AUXILIARY, elf.DT_FILTER, elf.DT_CONFIG, elf.DT_DEPAUDIT, elf.DT_AUDIT:
			refs = append(refs, val)
		}
	}
	own = runpath
	if own == 0 {
		own = rpath
	} else if rpath != 0 && rpath != runpath {
		refs = append(refs, rpath)
	}
	for _, s := range f.Sections {
		if s.Type != elf.SHT_DYNSYM && s.Type != elf.SHT_GNU_VERNEED && s.Type != elf.SHT_GNU_VERDEF {
			continue
		}
		data, err := s.Data()
		if err != nil {
			return nil, 0, err
		}
		switch s.Type {
		case elf.SHT_DYNSYM:
			for ; len(data) >= 24; data = data[24:] {
				refs = append(refs, uint64(le.Uint32(data)))
			}
		case elf.SHT_GNU_VERNEED: // file name at 4, first name at 8, next record at 12; a name's string at 8, next at 12
			refs = append(refs, chain(data, 16, 4, 8, 12, 16, 8, 12)...)
		case elf.SHT_GNU_VERDEF: // no string of its own, first name at 12, next record at 16; a name's string at 0, next at 4
			refs = append(refs, chain(data, 20, -1, 12, 16, 8, 0, 4)...)
		}
	}
	return refs, own, nil
}

// chain walks a GNU version section: records of size bytes linked by the offset at next, each with a list of names of
// nameSize bytes that starts at the offset at first. Offsets that do not go forward end a list, so it always ends.
func chain(data []byte, size, str, first, next, nameSize, nameStr, nameNext int) []uint64 {
	var refs []uint64
	u32 := func(at int) int { return int(binary.LittleEndian.Uint32(data[at:])) }
	for at := 0; at+size <= len(data); {
		if str >= 0 {
			refs = append(refs, uint64(u32(at+str)))
		}
		for n := at + u32(at+first); n+nameSize <= len(data); {
			refs = append(refs, uint64(u32(n+nameStr)))
			step := u32(n + nameNext)
			if step == 0 {
				break
			}
			n += step
		}
		step := u32(at + next)
		if step == 0 {
			break
		}
		at += step
	}
	return refs
}
