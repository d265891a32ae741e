package torchfile

import "fmt"

// global puts a name on the stack. A name is all that it is: nothing is imported,
// and the few that stand for something here are compared as text.
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
	if hostile(module, name) {
		return fmt.Errorf("%w: the file asks for %q, which runs commands or code; no weights need it", ErrUnsafe, short(string(g)))
	}
	if op == opInst {
		if _, err := m.popMark(); err != nil {
			return err
		}
		return m.push(&object{class: string(g)})
	}
	return m.push(g)
}

// newObject is Python's cls.__new__(cls, *args).
func (m *machine) newObject(op byte) error {
	n := 2
	if op == opNewObjEx {
		n = 3
	}
	items, err := m.operands(false, n)
	if err != nil {
		return err
	}
	if items[0] == orderedDict {
		return m.push(&dict{index: map[string]int{}})
	}
	return m.push(&object{class: className(items[0])})
}

// reduce is Python's call. The names that build a container or a view of a storage
// are built here; any other call leaves a placeholder, and nothing is called.
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
	out, err := call(callee, args)
	if err != nil {
		return err
	}
	return m.push(out)
}

func call(callee any, args tuple) (any, error) {
	switch callee {
	case orderedDict:
		d := &dict{index: map[string]int{}}
		if len(args) == 0 {
			return d, nil
		}
		pairs, ok := args[0].(*list) // as Python 2 wrote it
		if !ok {
			return nil, fmt.Errorf("%w: %s of %s", ErrFormat, orderedDict, kind(args[0]))
		}
		for _, p := range pairs.items {
			pair, ok := p.(*list)
			if !ok || len(pair.items) != 2 {
				return nil, fmt.Errorf("%w: %s of a list of %s", ErrFormat, orderedDict, kind(p))
			}
			if err := d.set(pair.items); err != nil {
				return nil, err
			}
		}
		return d, nil
	case rebuildTensor, rebuildTensorV2:
		return view(args)
	case rebuildParameter, rebuildParameterWithState:
		if len(args) > 0 {
			switch args[0].(type) {
			case tensor, *object:
				return args[0], nil
			}
		}
		return nil, fmt.Errorf("%w: %s without a tensor", ErrFormat, callee)
	case rebuildFromType:
		// (function, class, its arguments, attributes): a tensor that carries attributes.
		if len(args) >= 3 {
			if inner, ok := args[2].(tuple); ok && args[0] != rebuildFromType {
				return call(args[0], inner)
			}
		}
		return nil, fmt.Errorf("%w: %s without a function and its arguments", ErrFormat, callee)
	}
	return &object{class: className(callee)}, nil
}

// build sets attributes. Those of a module of a network are kept, since its
// parameters are among them; no tensor depends on any others.
func (m *machine) build() error {
	state, err := m.pop()
	if err != nil {
		return err
	}
	v, err := m.top()
	if err != nil {
		return err
	}
	if o, ok := v.(*object); ok {
		o.state, _ = state.(*dict)
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
	if !ok || len(t) < 5 || len(t) > 6 || t[0] != "storage" {
		return fmt.Errorf("%w: a reference that is not to a storage", ErrFormat)
	}
	if len(t) == 6 && t[5] != nil {
		return fmt.Errorf(`%w: a storage is a view of another one, as torch.save wrote before PyTorch 0.4; in Python: torch.save(torch.load(old, map_location="cpu"), new)`, ErrConvert)
	}
	class, ok1 := t[1].(global)
	key, ok2 := t[2].(string)
	count, ok3 := t[4].(int64)
	if !ok1 || !ok2 || !ok3 || count < 0 {
		return fmt.Errorf("%w: a storage of %s, key %s, %s elements", ErrFormat, kind(t[1]), kind(t[2]), kind(t[4]))
	}
	if storageType(class) == "" { // of a kind of number that is not read
		return m.push(&object{class: string(class)})
	}
	ref := storage{dtype: storageType(class), key: key, count: count}
	m.storages[ref] = true
	return m.push(ref)
}
