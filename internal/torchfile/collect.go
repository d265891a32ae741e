package torchfile

import (
	"fmt"
	"strconv"
)

const (
	maxDepth = 32      // of containers in containers
	maxVisit = 1 << 20 // values, each container counted as often as it is referred to
)

// collect finds all tensors below a value. A tensor's name is its path: the keys
// of the dicts and the places of the lists that lead to it, joined by dots. An
// object that is a module of a network has the names of its state dict.
func (f *File) collect(value any) error {
	switch value.(type) {
	case *dict, *object, *list, tuple, tensor:
	default:
		return fmt.Errorf("%w: it holds %s, not a dict of tensors", ErrFormat, kind(value))
	}
	c := collector{f: f}
	if err := c.visit("", value, 0); err != nil {
		return err
	}
	if len(f.names) == 0 {
		return fmt.Errorf("%w: it holds %s without a tensor", ErrFormat, kind(value))
	}
	return nil
}

type collector struct {
	f       *File
	visited int
}

func (c *collector) visit(name string, value any, depth int) error {
	if c.visited++; c.visited > maxVisit || depth > maxDepth {
		return fmt.Errorf("%w: more than %d values, or more than %d levels of them", ErrFormat, maxVisit, maxDepth)
	}
	switch v := value.(type) {
	case tensor:
		if _, twice := c.f.index[name]; twice {
			return fmt.Errorf("%w: two tensors have the name %q", ErrFormat, short(name))
		}
		c.f.index[name] = len(c.f.names)
		c.f.names, c.f.views = append(c.f.names, name), append(c.f.views, v)
	case *dict:
		for i, key := range v.keys {
			if !container(v.values[i]) {
				continue
			}
			if err := c.visit(join(name, keyText(key, i)), v.values[i], depth+1); err != nil {
				return err
			}
		}
	case *list:
		return c.items(name, v.items, depth)
	case tuple:
		return c.items(name, v, depth)
	case *object:
		// A module has its parts in three dicts, whose names are not part of a path.
		for _, part := range []string{"_parameters", "_buffers", "_modules"} {
			if d := v.dict(part); d != nil {
				if err := c.visit(name, d, depth+1); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (c *collector) items(name string, items []any, depth int) error {
	for i, v := range items {
		if !container(v) {
			continue
		}
		if err := c.visit(join(name, strconv.Itoa(i)), v, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// container says whether tensors may be found at a value.
func container(v any) bool {
	switch v.(type) {
	case tensor, *dict, *list, tuple, *object:
		return true
	}
	return false
}

func join(name, key string) string {
	if name == "" {
		return key
	}
	return name + "." + key
}

// keyText is a key as part of a path; i is its place, for one without a text.
func keyText(key any, i int) string {
	switch k := key.(type) {
	case string:
		return k
	case int64:
		return strconv.FormatInt(k, 10)
	}
	return "#" + strconv.Itoa(i)
}

// check compares all sizes with what the file holds, before anything is read.
func (f *File) check(size int64) error {
	limit := max(minTensors, maxGrowth*size)
	var total, stored int64
	for i, t := range f.views {
		name := short(f.names[i])
		n, err := t.elements()
		if err != nil {
			return fmt.Errorf("tensor %q: %w", name, err)
		}
		each := t.storage.dtype.Size()
		if n > (limit-total)/each {
			return fmt.Errorf("%w: up to tensor %q of shape %v the tensors take more than %d bytes, in a file of %d", ErrFormat, name, t.shape, limit, size)
		}
		total += n * each
		has, err := f.store.size(t.storage.key)
		if err != nil {
			return fmt.Errorf("tensor %q: %w", name, err)
		}
		// Divided, not multiplied: the claim may be any number.
		if t.storage.count > has/each {
			return fmt.Errorf("%w: tensor %q: its storage claims %d elements of %d bytes, the archive has %d bytes", ErrFormat, name, t.storage.count, each, has)
		}
		if f.uses[t.storage.key]++; f.uses[t.storage.key] > 1 {
			continue
		}
		if stored += has; stored > size {
			return fmt.Errorf("%w: up to tensor %q the storages take %d bytes, in a file of %d", ErrFormat, name, stored, size)
		}
	}
	return nil
}
