package torchfile

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"unicode/utf8"
)

// The instructions, by the names of Python's pickletools.
const (
	opMark           = '('
	opStop           = '.'
	opPop            = '0'
	opNone           = 'N'
	opBinInt         = 'J'
	opBinInt1        = 'K'
	opBinInt2        = 'M'
	opBinFloat       = 'G'
	opBinUnicode     = 'X'
	opEmptyDict      = '}'
	opEmptyList      = ']'
	opEmptyTuple     = ')'
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
	opShortBinUni    = 0x8c
	opNewObjEx       = 0x92
	opStackGlobal    = 0x93
	opMemoize        = 0x94
	opFrame          = 0x95
	lowestProtocol   = 2
	highestProtocol  = 4
	longestInteger   = 8 // bytes of a LONG1
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
}

// unpickle returns the value that the pickle describes.
func unpickle(code []byte) (any, error) {
	m := &machine{code: code, memo: map[uint32]any{}}
	for {
		at := m.pos
		op, err := m.byte()
		if err != nil {
			return nil, err
		}
		if op == opStop {
			v, err := m.pop()
			if err != nil {
				return nil, err
			}
			if len(m.stack) != 0 || m.pos != len(m.code) {
				return nil, fmt.Errorf("%w: %d values and %d bytes are left at the end", ErrFormat, len(m.stack), len(m.code)-m.pos)
			}
			return v, nil
		}
		if err := m.step(op); err != nil {
			return nil, fmt.Errorf("byte %d: %w", at, err)
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
	case opBinInt, opBinInt1, opBinInt2, opLong1, opBinFloat:
		return m.number(op)
	case opBinUnicode, opShortBinUni:
		return m.text(op)
	case opTuple, opTuple1, opTuple2, opTuple3:
		return m.tuple(op)
	case opAppend, opAppends:
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
	case opObj, opNewObj, opNewObjEx, opExt1, opExt2, opExt4:
		return fmt.Errorf("%w: instruction %#02x makes an object of a class; a state dict has none", ErrUnsafe, op)
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
	case opLong1:
		n, err := m.byte()
		if err != nil {
			return err
		}
		if n > longestInteger {
			return fmt.Errorf("%w: an integer of %d bytes", ErrFormat, n)
		}
		width = int(n)
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

func (m *machine) text(op byte) error {
	width := 4
	if op == opShortBinUni {
		width = 1
	}
	b, err := m.bytes(width)
	if err != nil {
		return err
	}
	n := int(b[0])
	if width == 4 {
		n = int(binary.LittleEndian.Uint32(b))
	}
	if b, err = m.bytes(n); err != nil {
		return err
	}
	if !utf8.Valid(b) {
		return fmt.Errorf("%w: a string is not UTF-8", ErrFormat)
	}
	return m.push(string(b))
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
	items, err := m.operands(op == opAppends, 1)
	if err != nil {
		return err
	}
	v, err := m.top()
	if err != nil {
		return err
	}
	l, ok := v.(*list)
	if !ok {
		return fmt.Errorf("%w: append to %s", ErrFormat, kind(v))
	}
	l.items = append(l.items, items...)
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
	d, ok := v.(*dict)
	if !ok || len(items)%2 != 0 {
		return fmt.Errorf("%w: %d keys and values set in %s", ErrFormat, len(items), kind(v))
	}
	for i := 0; i < len(items); i += 2 {
		if key, ok := items[i].(string); ok {
			if _, dup := d.index[key]; dup {
				return fmt.Errorf("%w: key %q is set twice", ErrFormat, short(key))
			}
			d.index[key] = len(d.keys)
		}
		d.keys = append(d.keys, items[i])
		d.values = append(d.values, items[i+1])
	}
	return nil
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

// global puts a name on the stack if it is one of those known, and refuses it
// otherwise. This is the only way in which a name enters the machine.
func (m *machine) global(op byte) error {
	var module, name string
	if op == opStackGlobal {
		items, err := m.operands(false, 2)
		if err != nil {
			return err
		}
		var ok1, ok2 bool
		module, ok1 = items[0].(string)
		name, ok2 = items[1].(string)
		if !ok1 || !ok2 {
			return fmt.Errorf("%w: a name made of %s and %s", ErrFormat, kind(items[0]), kind(items[1]))
		}
	} else {
		var err error
		if module, err = m.line(); err != nil {
			return err
		}
		if name, err = m.line(); err != nil {
			return err
		}
	}
	g := global(module + "." + name)
	known := g == orderedDict || g == rebuildTensor || g == rebuildTensorV2 || g == rebuildParameter || storageType(g) != ""
	if op == opInst || !known {
		return fmt.Errorf("%w: the file asks for %q, which no state dict of tensors needs; if you trust where it comes from, save model.state_dict() alone in Python", ErrUnsafe, short(string(g)))
	}
	return m.push(g)
}

// reduce is Python's call. What can be called are the four names that build a
// container or a view, and they are built here.
func (m *machine) reduce() error {
	v, err := m.pop()
	if err != nil {
		return err
	}
	callee, err := m.pop()
	if err != nil {
		return err
	}
	args, ok := v.(tuple)
	if !ok {
		return fmt.Errorf("%w: arguments are %s", ErrFormat, kind(v))
	}
	switch callee {
	case orderedDict:
		if len(args) != 0 {
			return fmt.Errorf("%w: %s with %d arguments", ErrFormat, orderedDict, len(args))
		}
		return m.push(&dict{index: map[string]int{}})
	case rebuildTensor, rebuildTensorV2:
		t, err := view(args)
		if err != nil {
			return err
		}
		return m.push(t)
	case rebuildParameter:
		if len(args) > 0 {
			if t, ok := args[0].(tensor); ok {
				return m.push(t)
			}
		}
		return fmt.Errorf("%w: %s without a tensor", ErrFormat, rebuildParameter)
	}
	return fmt.Errorf("%w: the file wants to call %s", ErrUnsafe, kind(callee))
}

// build sets attributes. The only ones in a state dict are an OrderedDict's
// _metadata, versions of the modules, which no tensor depends on.
func (m *machine) build() error {
	if _, err := m.pop(); err != nil {
		return err
	}
	v, err := m.top()
	if err != nil {
		return err
	}
	if _, ok := v.(*dict); !ok {
		return fmt.Errorf("%w: attributes set on %s", ErrUnsafe, kind(v))
	}
	return nil
}

// persistent turns ("storage", class, key, device, elements) into a storage.
func (m *machine) persistent() error {
	v, err := m.pop()
	if err != nil {
		return err
	}
	t, ok := v.(tuple)
	if !ok || len(t) != 5 || t[0] != "storage" {
		return fmt.Errorf("%w: a reference that is not to a storage", ErrFormat)
	}
	class, ok1 := t[1].(global)
	key, ok2 := t[2].(string)
	count, ok3 := t[4].(int64)
	if !ok1 || !ok2 || !ok3 || storageType(class) == "" || count < 0 {
		return fmt.Errorf("%w: a storage of %s, key %s, %s elements", ErrFormat, kind(t[1]), kind(t[2]), kind(t[4]))
	}
	return m.push(storage{dtype: storageType(class), key: key, count: count})
}
