package torchfile

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gotab/gotab/internal/safetensors"
)

// The values that the machine handles are nil, bool, int64, float64, string,
// tuple, *list, *dict, global, *object, storage and tensor.
type (
	tuple []any
	list  struct{ items []any }
	// dict keeps the order of insertion; only string keys can be looked up, and
	// those of other kinds are kept for the message that refuses them.
	dict struct {
		keys, values []any
		index        map[string]int
	}
	// global is a name; what names it is all there is to it.
	global string
	// object stands for whatever Python would have made there. It has no behaviour.
	object struct {
		class string
		state *dict // the attributes, where they came as a dict
	}
	// storage is an entry data/<key> of the archive that holds count elements.
	storage struct {
		dtype safetensors.DType
		key   string
		count int64
	}
	// tensor is a view of a storage; offset and strides count elements.
	tensor struct {
		storage       storage
		offset        int64
		shape, stride []int64
	}
)

const (
	orderedDict      global = "collections.OrderedDict"
	rebuildTensor    global = "torch._utils._rebuild_tensor"
	rebuildTensorV2  global = "torch._utils._rebuild_tensor_v2"
	rebuildParameter global = "torch._utils._rebuild_parameter"

	rebuildParameterWithState global = "torch._utils._rebuild_parameter_with_state"
	rebuildFromType           global = "torch._tensor._rebuild_from_type_v2"
)

// set puts keys and values, which alternate, into the dict.
func (d *dict) set(items []any) error {
	if len(items)%2 != 0 {
		return fmt.Errorf("%w: %d keys and values", ErrFormat, len(items))
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

// dict returns the dict under a key of an object's attributes, or nil.
func (o *object) dict(key string) *dict {
	if o.state == nil {
		return nil
	}
	i, ok := o.state.index[key]
	if !ok {
		return nil
	}
	d, _ := o.state.values[i].(*dict)
	return d
}

// className names what a placeholder stands for.
func className(v any) string {
	if g, ok := v.(global); ok {
		return string(g)
	}
	return kind(v)
}

// runners are modules of Python that run commands or code, and functions of its
// builtins that do.
var (
	runners  = []string{"os", "posix", "nt", "subprocess", "pty", "commands", "runpy", "importlib", "code", "codeop", "shutil", "socket", "ctypes", "webbrowser", "sys", "pdb", "bdb", "timeit", "marshal"}
	builtins = []string{"eval", "exec", "execfile", "compile", "__import__", "open", "input", "breakpoint", "apply", "globals"}
)

// hostile says that a name of a module, or what the name leads through, runs
// commands or code. Nothing here would run it, but Python would, so a file that
// asks for it is to be known as what it is.
func hostile(module, name string) bool {
	top, _, _ := strings.Cut(module, ".")
	parts := append([]string{top}, strings.Split(name, ".")...) // Python goes through dots of a name by attributes
	for i, p := range parts[:len(parts)-1] {
		next := parts[i+1]
		switch {
		case slices.Contains(runners, p):
			return true
		case (p == "builtins" || p == "__builtin__" || p == "__builtins__") && slices.Contains(builtins, next):
			return true
		case p == "types" && (next == "CodeType" || next == "FunctionType"):
			return true
		}
	}
	return false
}

// storageType says what a storage class holds, "" for every other name.
func storageType(g global) safetensors.DType {
	switch g {
	case "torch.DoubleStorage":
		return safetensors.F64
	case "torch.FloatStorage":
		return safetensors.F32
	case "torch.HalfStorage":
		return safetensors.F16
	case "torch.BFloat16Storage":
		return safetensors.BF16
	case "torch.LongStorage":
		return safetensors.I64
	case "torch.IntStorage":
		return safetensors.I32
	case "torch.ShortStorage":
		return safetensors.I16
	case "torch.CharStorage":
		return safetensors.I8
	case "torch.ByteStorage":
		return safetensors.U8
	case "torch.BoolStorage":
		return safetensors.BOOL
	}
	return ""
}

// kind names a value for a message.
func kind(v any) string {
	switch v := v.(type) {
	case nil:
		return "None"
	case bool:
		return "a bool"
	case int64:
		return "an int"
	case float64:
		return "a float"
	case string:
		return "a string"
	case tuple:
		return "a tuple"
	case *list:
		return "a list"
	case *dict:
		return "a dict"
	case global:
		return "the name " + short(string(v))
	case *object:
		return "an object of " + short(v.class)
	case storage:
		return "a storage"
	case tensor:
		return "a tensor"
	}
	return fmt.Sprintf("a %T", v)
}
