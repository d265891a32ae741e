package torchfile

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
)

// The instructions, by the names of Python's pickletools.
const (
	opMark           = '('
	opStop           = '.'
	opPop            = '0'
	opPopMark        = '1'
	opDup            = '2'
	opNone           = 'N'
	opBinInt         = 'J'
	opBinInt1        = 'K'
	opBinInt2        = 'M'
	opBinFloat       = 'G'
	opBinUnicode     = 'X'
	opBinString      = 'T'
	opShortBinString = 'U'
	opBinBytes       = 'B'
	opShortBinBytes  = 'C'
	opEmptyDict      = '}'
	opEmptyList      = ']'
	opEmptyTuple     = ')'
	opList           = 'l'
	opDict           = 'd'
	opAppend         = 'a'
	opAppends        = 'e'
	opSetItem        = 's'
	opSetItems       = 'u'
	opTuple          = 't'
	opBuild          = 'b'
	opGlobal         = 'c'
	opInst           = 'i'
	opObj            = 'o'
	opReduce         = 'R'
	opBinPersID      = 'Q'
	opBinGet         = 'h'
	opLongBinGet     = 'j'
	opBinPut         = 'q'
	opLongBinPut     = 'r'
	opProto          = 0x80
	opNewObj         = 0x81
	opExt1           = 0x82
	opExt2           = 0x83
	opExt4           = 0x84
	opTuple1         = 0x85
	opTuple2         = 0x86
	opTuple3         = 0x87
	opNewTrue        = 0x88
	opNewFalse       = 0x89
	opLong1          = 0x8a
	opLong4          = 0x8b
	opShortBinUni    = 0x8c
	opBinUnicode8    = 0x8d
	opBinBytes8      = 0x8e
	opEmptySet       = 0x8f
	opAddItems       = 0x90
	opFrozenSet      = 0x91
	opNewObjEx       = 0x92
	opStackGlobal    = 0x93
	opMemoize        = 0x94
	opFrame          = 0x95
	opByteArray8     = 0x96
	opNextBuffer     = 0x97
	lowestProtocol   = 2
	highestProtocol  = 5
	longestInteger   = 8 // bytes of an integer that is kept; the value of a longer one is not
	reservedForFrame = 8 // bytes of a frame's length, which needs no attention
)

// machine executes a pickle. Every instruction adds at most one value, so memory
// is bounded by the length of the code.
type machine struct {
	code  []byte
	pos   int
	stack []any
	marks []int // lengths of the stack at the open marks
	memo  map[uint32]any
	// storages are all that the pickle refers to, also those of tensors in what is
	// only a placeholder here.
	storages map[storage]bool
}

func newMachine(code []byte) *machine {
	return &machine{code: code, memo: map[uint32]any{}, storages: map[storage]bool{}}
}

// unpickle returns the value that the pickle at the front of code describes, and
// the number of bytes that it takes.
func unpickle(code []byte) (any, int, error) { return newMachine(code).run() }

func (m *machine) run() (any, int, error) {
	for {
		at := m.pos
		op, err := m.byte()
		if err != nil {
			return nil, 0, err
		}
		if op == opStop {
			v, err := m.pop()
			if err != nil {
				return nil, 0, err
			}
			if len(m.stack) != 0 {
				return nil, 0, fmt.Errorf("%w: %d values are left at the end", ErrFormat, len(m.stack))
			}
			return v, m.pos, nil
		}
		if err := m.step(op); err != nil {
			return nil, 0, fmt.Errorf("byte %d: %w", at, err)
		}
	}
}

// step executes one instruction.
func (m *machine) step(op byte) error {
	switch op {
	case opProto:
		p, err := m.byte()
		if err == nil && (p < lowestProtocol || p > highestProtocol) {
			err = fmt.Errorf("%w: pickle protocol %d, torch.save writes 2", ErrFormat, p)
		}
		return err
	case opFrame:
		_, err := m.bytes(reservedForFrame)
		return err
	case opMark:
		m.marks = append(m.marks, len(m.stack))
		return nil
	case opPop:
		_, err := m.pop()
		return err
	case opPopMark:
		_, err := m.popMark()
		return err
	case opDup:
		v, err := m.top()
		if err != nil {
			return err
		}
		return m.push(v)
	case opNone:
		return m.push(nil)
	case opNewTrue:
		return m.push(true)
	case opNewFalse:
		return m.push(false)
	case opEmptyDict:
		return m.push(&dict{index: map[string]int{}})
	case opEmptyList:
		return m.push(&list{})
	case opEmptyTuple:
		return m.push(tuple{})
	case opEmptySet:
		return m.push(&object{class: "builtins.set"})
	case opList, opFrozenSet:
		items, err := m.popMark()
		if err != nil {
			return err
		}
		if op == opFrozenSet {
			return m.push(&object{class: "builtins.frozenset"})
		}
		return m.push(&list{items: items})
	case opDict:
		items, err := m.popMark()
		if err != nil {
			return err
		}
		d := &dict{index: map[string]int{}}
		if err := d.set(items); err != nil {
			return err
		}
		return m.push(d)
	case opBinInt, opBinInt1, opBinInt2, opLong1, opLong4, opBinFloat:
		return m.number(op)
	case opBinUnicode, opShortBinUni, opBinUnicode8, opBinString, opShortBinString, opBinBytes, opShortBinBytes, opBinBytes8, opByteArray8:
		return m.text(op)
	case opTuple, opTuple1, opTuple2, opTuple3:
		return m.tuple(op)
	case opAppend, opAppends, opAddItems:
		return m.appends(op)
	case opSetItem, opSetItems:
		return m.setItems(op)
	case opBinGet, opLongBinGet, opBinPut, opLongBinPut, opMemoize:
		return m.memory(op)
	case opGlobal, opInst, opStackGlobal:
		return m.global(op)
	case opReduce:
		return m.reduce()
	case opBuild:
		return m.build()
	case opBinPersID:
		return m.persistent()
	case opNewObj, opNewObjEx:
		return m.newObject(op)
	case opObj:
		items, err := m.popMark()
		if err != nil {
			return err
		}
		if len(items) == 0 {
			return fmt.Errorf("%w: an object without a class", ErrFormat)
		}
		return m.push(&object{class: className(items[0])})
	case opExt1, opExt2, opExt4:
		return fmt.Errorf("%w: instruction %#02x takes a class from Python's extension registry, which the file does not hold", ErrUnsafe, op)
	case opNextBuffer:
		return fmt.Errorf("%w: the pickle refers to buffers outside of it", ErrFormat)
	}
	return fmt.Errorf("%w: instruction %#02x is not one that a state dict needs", ErrFormat, op)
}

func (m *machine) byte() (byte, error) {
	b, err := m.bytes(1)
	if err != nil {
		return 0, err
	}
	return b[0], nil
}

func (m *machine) bytes(n int) ([]byte, error) {
	if n > len(m.code)-m.pos {
		return nil, fmt.Errorf("%w: %d bytes wanted at byte %d, %d are left", ErrFormat, n, m.pos, len(m.code)-m.pos)
	}
	b := m.code[m.pos : m.pos+n]
	m.pos += n
	return b, nil
}

// line reads up to a newline.
func (m *machine) line() (string, error) {
	n := bytes.IndexByte(m.code[m.pos:], '\n')
	if n < 0 {
		return "", fmt.Errorf("%w: a line without end", ErrFormat)
	}
	s := string(m.code[m.pos : m.pos+n])
	m.pos += n + 1
	return s, nil
}

func (m *machine) push(v any) error {
	m.stack = append(m.stack, v)
	return nil
}

// floor is where the values above the last open mark begin.
func (m *machine) floor() int {
	if len(m.marks) == 0 {
		return 0
	}
	return m.marks[len(m.marks)-1]
}

func (m *machine) top() (any, error) {
	if len(m.stack) <= m.floor() {
		return nil, fmt.Errorf("%w: the stack is empty", ErrFormat)
	}
	return m.stack[len(m.stack)-1], nil
}

func (m *machine) pop() (any, error) {
	v, err := m.top()
	if err == nil {
		m.stack = m.stack[:len(m.stack)-1]
	}
	return v, err
}

// popMark closes the last mark and returns a copy of the values above it.
func (m *machine) popMark() ([]any, error) {
	if len(m.marks) == 0 {
		return nil, fmt.Errorf("%w: no mark is open", ErrFormat)
	}
	at := m.floor()
	m.marks = m.marks[:len(m.marks)-1]
	items := append([]any(nil), m.stack[at:]...)
	m.stack = m.stack[:at]
	return items, nil
}

func (m *machine) number(op byte) error {
	var width int
	switch op {
	case opBinInt:
		width = 4
	case opBinInt1:
		width = 1
	case opBinInt2:
		width = 2
	case opBinFloat:
		width = 8
	case opLong1, opLong4:
		n, err := m.length(map[byte]int{opLong1: 1, opLong4: 4}[op])
		if err != nil {
			return err
		}
		if n > longestInteger { // the state of a random generator, a seed
			if _, err := m.bytes(n); err != nil {
				return err
			}
			return m.push(&object{class: "builtins.int"})
		}
		width, op = n, opLong1
	}
	b, err := m.bytes(width)
	if err != nil {
		return err
	}
	if op == opBinFloat {
		return m.push(math.Float64frombits(binary.BigEndian.Uint64(b)))
	}
	var v uint64
	for i, x := range b {
		v |= uint64(x) << (8 * i)
	}
	// Four-byte and long integers are two's complement, the others unsigned.
	if (op == opBinInt || op == opLong1) && width > 0 {
		unused := 64 - 8*width
		return m.push(int64(v<<unused) >> unused)
	}
	return m.push(int64(v))
}

// text reads a string, or bytes, which nothing here looks into.
func (m *machine) text(op byte) error {
	width := 4
	switch op {
	case opShortBinUni, opShortBinString, opShortBinBytes:
		width = 1
	case opBinUnicode8, opBinBytes8, opByteArray8:
		width = 8
	}
	n, err := m.length(width)
	if err != nil {
		return err
	}
	b, err := m.bytes(n)
	if err != nil {
		return err
	}
	switch op {
	case opBinBytes, opShortBinBytes, opBinBytes8, opByteArray8:
		return m.push(&object{class: "builtins.bytes"})
	}
	// Python writes surrogates of broken file names as they are.
	return m.push(string(bytes.ToValidUTF8(b, []byte("\uFFFD"))))
}

// length reads a little-endian length of width bytes. One that does not fit the
// code is refused here, before it is a slice's.
func (m *machine) length(width int) (int, error) {
	b, err := m.bytes(width)
	if err != nil {
		return 0, err
	}
	var n uint64
	for i, x := range b {
		n |= uint64(x) << (8 * i)
	}
	if n > uint64(len(m.code)) {
		return 0, fmt.Errorf("%w: %d bytes wanted at byte %d, the pickle has %d", ErrFormat, n, m.pos, len(m.code))
	}
	return int(n), nil
}

func (m *machine) tuple(op byte) error {
	if op == opTuple {
		items, err := m.popMark()
		if err != nil {
			return err
		}
		return m.push(tuple(items))
	}
	t := make(tuple, int(op-opTuple1)+1)
	for i := len(t) - 1; i >= 0; i-- {
		var err error
		if t[i], err = m.pop(); err != nil {
			return err
		}
	}
	return m.push(t)
}

// operands are the values that an instruction in its single form (one or two
// values) or its plural form (all above the mark) works on.
func (m *machine) operands(plural bool, n int) ([]any, error) {
	if plural {
		return m.popMark()
	}
	items := make([]any, n)
	for i := n - 1; i >= 0; i-- {
		var err error
		if items[i], err = m.pop(); err != nil {
			return nil, err
		}
	}
	return items, nil
}

func (m *machine) appends(op byte) error {
	items, err := m.operands(op != opAppend, 1)
	if err != nil {
		return err
	}
	v, err := m.top()
	if err != nil {
		return err
	}
	switch v := v.(type) {
	case *list:
		v.items = append(v.items, items...)
	case *object: // what it does with them is its own affair
	default:
		return fmt.Errorf("%w: append to %s", ErrFormat, kind(v))
	}
	return nil
}

func (m *machine) setItems(op byte) error {
	items, err := m.operands(op == opSetItems, 2)
	if err != nil {
		return err
	}
	v, err := m.top()
	if err != nil {
		return err
	}
	switch v := v.(type) {
	case *dict:
		return v.set(items)
	case *object:
		return nil
	}
	return fmt.Errorf("%w: %d keys and values set in %s", ErrFormat, len(items), kind(v))
}

func (m *machine) memory(op byte) error {
	var at uint32
	switch op {
	case opMemoize:
		at = uint32(len(m.memo))
	case opBinGet, opBinPut:
		b, err := m.byte()
		if err != nil {
			return err
		}
		at = uint32(b)
	default:
		b, err := m.bytes(4)
		if err != nil {
			return err
		}
		at = binary.LittleEndian.Uint32(b)
	}
	if op == opBinGet || op == opLongBinGet {
		v, ok := m.memo[at]
		if !ok {
			return fmt.Errorf("%w: nothing was kept under number %d", ErrFormat, at)
		}
		return m.push(v)
	}
	v, err := m.top()
	if err == nil {
		m.memo[at] = v
	}
	return err
}
