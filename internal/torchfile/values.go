package torchfile

import (
	"fmt"

	"github.com/gotab/gotab/internal/safetensors"
)

// The values that the machine handles are nil, bool, int64, float64, string,
// tuple, *list, *dict, global, storage and tensor.
type (
	tuple []any
	list  struct{ items []any }
	// dict keeps the order of insertion; only string keys can be looked up, and
	// those of other kinds are kept for the message that refuses them.
	dict struct {
		keys, values []any
		index        map[string]int
	}
	// global is a name of the list below; what names it is all there is to it.
	global string
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
)

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
		return "the name " + string(v)
	case storage:
		return "a storage"
	case tensor:
		return "a tensor"
	}
	return fmt.Sprintf("a %T", v)
}
