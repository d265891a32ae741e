package machine

import (
	"io/fs"
	"slices"
	"strings"
)

// guest is why such a processor is met today.
const guest = "in a virtual machine let the guest have the host's processor (libvirt: host-passthrough, Proxmox: type host)"

// Processor says which of libtorch's kernels the processor runs, and whether it can load that version of libtorch at all.
// Nothing after SSE4.1 must be there: libtorch asks the processor and takes what it has. 2.1 uses SSE4.1 without asking,
// while it is loaded and so before any code of a program runs that could say so.
func Processor(root fs.FS, version string) Finding {
	var model string
	var flags []string
	for line := range strings.Lines(read(root, "proc/cpuinfo")) {
		key, value, ok := strings.Cut(line, ":")
		if !ok {
			continue
		}
		switch strings.TrimSpace(key) {
		case "model name":
			model = strings.TrimSpace(value)
		case "flags":
			flags = strings.Fields(value)
		}
		if model != "" && flags != nil {
			break // all processors are alike
		}
	}
	if flags == nil {
		return Finding{Note, "processor", "the kernel does not list its instruction sets"}
	}
	if model == "" {
		model = "a processor without a name"
	}
	has := func(names ...string) bool {
		return !slices.ContainsFunc(names, func(n string) bool { return !slices.Contains(flags, n) })
	}
	switch {
	case !has("sse4_1") && strings.HasPrefix(version, "2.1."):
		return Finding{Bad, "processor", model + " has no SSE4.1: the system ends a program ('illegal instruction') while it loads libtorch " + version + "; take -floor libtorch, whose newest version starts, or " + guest}
	case !has("avx2", "fma"):
		return Finding{Note, "processor", model + " has no AVX2: libtorch runs, by its slowest kernels; " + guest}
	case !has("avx512f", "avx512bw", "avx512dq", "avx512vl"):
		return Finding{OK, "processor", model + ": AVX2"}
	case has("amx_bf16"):
		return Finding{OK, "processor", model + ": AVX2, AVX-512, bfloat16 products (AMX)"}
	case has("avx512_bf16"):
		return Finding{OK, "processor", model + ": AVX2, AVX-512, bfloat16 products"}
	}
	return Finding{OK, "processor", model + ": AVX2, AVX-512"}
}
