package machine

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/gotab/gotab/tensor/libtorch/internal/elfs"
)

// Capability is the compute capability of a GPU: 9.0 is {9, 0}.
type Capability struct{ Major, Minor int }

func (c Capability) String() string { return fmt.Sprintf("%d.%d", c.Major, c.Minor) }

// Library is what a libtorch with CUDA asks of a machine.
type Library struct {
	Version string   // of libtorch
	CUDA    int      // major version of the CUDA libraries, 0 where it is not known
	Kernels []string // what its kernels were compiled for ("sm_90", "compute_90"); nil where it is not known
}

// known are the wheels that the command fetches. The lists are those that the wheels themselves carry.
var known = map[string]Library{
	"2.1.2":  {"2.1.2", 12, []string{"sm_50", "sm_60", "sm_70", "sm_75", "sm_80", "sm_86", "sm_90"}},
	"2.15.0": {"2.15.0", 13, []string{"sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120"}},
}

// drivers are the first releases of NVIDIA's driver for a major version of CUDA; any later one serves it.
var drivers = map[int]int{11: 450, 12: 525, 13: 580}

// Describe looks at the libtorch in dir, which holds lib/. What the files do not tell is taken from the wheel of that
// version where it is one that the command fetches.
func Describe(dir, version string) (Library, error) {
	l := known[version]
	l.Version = version
	if dir == "" { // there is none yet: not the one that may lie where this process runs
		return l, nil
	}
	if in, err := elfs.Read(filepath.Join(dir, "lib", "libtorch_cuda.so")); err == nil {
		for _, lib := range in.Needed {
			if n, ok := strings.CutPrefix(lib, "libcudart.so."); ok {
				major, _, _ := strings.Cut(n, ".")
				if l.CUDA, err = strconv.Atoi(major); err != nil {
					l.CUDA = 0
				}
			}
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return l, fmt.Errorf("machine: describe libtorch: %w", err)
	}
	f, err := os.Open(filepath.Join(dir, "lib", "libtorch_python.so")) // of a Python installation: it knows the list by heart
	if errors.Is(err, fs.ErrNotExist) {
		return l, nil
	}
	if err != nil {
		return l, fmt.Errorf("machine: describe libtorch: %w", err)
	}
	kernels, err := findKernels(f)
	if err = errors.Join(err, f.Close()); err != nil {
		return l, fmt.Errorf("machine: describe libtorch: %w", err)
	}
	if kernels != nil {
		l.Kernels = kernels
	}
	return l, nil
}

var reKernels = regexp.MustCompile(`\x00((?:(?:sm|compute)_\d{2,3}[af]? ){0,31}(?:sm|compute)_\d{2,3}[af]?)\x00`)

// findKernels searches a library for the list, a string of its own, a block at a time.
func findKernels(r io.Reader) ([]string, error) {
	const block, overlap = 1 << 20, 1 << 9 // a list is shorter than the overlap
	buf := make([]byte, overlap, overlap+block)
	for {
		n, err := io.ReadFull(r, buf[overlap:overlap+block])
		if m := reKernels.FindSubmatch(buf[:overlap+n]); m != nil {
			return strings.Fields(string(m[1])), nil
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		copy(buf, buf[n:n+overlap])
	}
}

// Runs reports whether a kernel that was compiled for one of the architectures runs on a GPU of the capability: binaries
// ("sm_") within a major version and upwards, an intermediate form ("compute_") on all later ones.
func (l Library) Runs(c Capability) bool {
	for _, k := range l.Kernels {
		form, number, _ := strings.Cut(k, "_")
		exact := strings.HasSuffix(number, "a")
		n, err := strconv.Atoi(strings.TrimRight(number, "af"))
		if err != nil {
			continue
		}
		at := Capability{n / 10, n % 10}
		switch {
		case exact:
			if at == c {
				return true
			}
		case form == "sm":
			if at.Major == c.Major && at.Minor <= c.Minor {
				return true
			}
		case form == "compute":
			if at.Major < c.Major || at.Major == c.Major && at.Minor <= c.Minor {
				return true
			}
		}
	}
	return false
}

// smi runs nvidia-smi; the error is what it said.
type smi func(ctx context.Context, args ...string) (string, error)

type gpu struct {
	name       string
	capability Capability
	known      bool // the capability is
	memory     int64
}

var (
	reDriver = regexp.MustCompile(`Kernel Module\s+(?:for \S+\s+)?(\d+)\.(\d+)`)
	reCUDA   = regexp.MustCompile(`CUDA Version\s*:\s*(\d+)\.(\d+)`)
)

// GPUs looks for NVIDIA's driver and GPUs and compares them with libtorch. cuda says that programs are to be linked for
// them: what does not fit is Bad then and else a Note. ask runs nvidia-smi and returns an error where it is not there.
func GPUs(ctx context.Context, root fs.FS, l Library, cuda bool, ask func(ctx context.Context, args ...string) (string, error)) []Finding {
	wrong := Note
	if cuda {
		wrong = Bad
	}
	module := reDriver.FindStringSubmatch(read(root, "proc/driver/nvidia/version"))
	if _, err := fs.Stat(root, "dev/nvidiactl"); err != nil {
		switch {
		case module != nil:
			return []Finding{{wrong, "gpu", "an NVIDIA driver (" + module[1] + "." + module[2] + ") is loaded, and its devices are not here: give them to the container (docker run --gpus all)"}}
		case cuda:
			return []Finding{{Note, "gpu", "no NVIDIA driver is loaded here: a program built with -cuda runs on the CPU on this machine"}}
		}
		return []Finding{{Note, "gpu", "no NVIDIA driver; the CPU is used"}}
	}
	var out []Finding
	out = append(out, driver(ctx, module, l, wrong, ask))
	cards, err := list(ctx, ask)
	if err != nil {
		return append(out, Finding{Note, "gpu", fmt.Sprintf("nvidia-smi does not list the GPUs (%v)", err)})
	}
	if len(cards) == 0 {
		return append(out, Finding{wrong, "gpu", "nvidia-smi lists no GPU: give one to this container or machine"})
	}
	for i, c := range cards {
		out = append(out, card(i, c, l, cuda, wrong))
	}
	return out
}

// driver compares the driver with libtorch's CUDA.
func driver(ctx context.Context, module []string, l Library, wrong Level, ask smi) Finding {
	about := "of an unknown version"
	serves := 0 // major version of CUDA
	if module != nil {
		about = module[1] + "." + module[2]
		release, err := strconv.Atoi(module[1])
		for major, first := range drivers {
			if err == nil && release >= first {
				serves = max(serves, major)
			}
		}
	}
	if text, err := ask(ctx, "-q", "-d", "COMPUTE"); err == nil {
		if m := reCUDA.FindStringSubmatch(text); m != nil {
			if n, err := strconv.Atoi(m[1]); err == nil {
				serves, about = n, about+", for CUDA up to "+m[1]+"."+m[2]
			}
		}
	}
	switch {
	case l.CUDA == 0 || serves == 0:
		return Finding{Note, "driver", fmt.Sprintf("NVIDIA's driver %s; it is not known which CUDA libtorch %s needs or the driver serves", about, l.Version)}
	case serves < l.CUDA:
		advice := "install a newer driver"
		if first, ok := drivers[l.CUDA]; ok {
			advice = fmt.Sprintf("install release %d or newer", first)
		}
		if l.CUDA > 12 && serves == 12 {
			advice += ", or take -floor gotch, whose CUDA is 12"
		}
		return Finding{wrong, "driver", fmt.Sprintf("NVIDIA's driver %s; libtorch %s needs CUDA %d: %s", about, l.Version, l.CUDA, advice)}
	}
	return Finding{OK, "driver", fmt.Sprintf("NVIDIA's driver %s; libtorch %s needs CUDA %d", about, l.Version, l.CUDA)}
}

// list asks nvidia-smi for the GPUs; old ones do not tell the compute capability.
func list(ctx context.Context, ask smi) ([]gpu, error) {
	text, err := ask(ctx, "--query-gpu=compute_cap,memory.total,name", "--format=csv,noheader,nounits")
	if err != nil {
		if text, err = ask(ctx, "--query-gpu=memory.total,name", "--format=csv,noheader,nounits"); err != nil {
			return nil, err
		}
		var lines strings.Builder
		for line := range strings.Lines(text) {
			lines.WriteString("?, " + line)
		}
		text = lines.String()
	}
	var out []gpu
	for s := bufio.NewScanner(strings.NewReader(text)); s.Scan() && len(out) < 64; {
		parts := strings.SplitN(s.Text(), ",", 3)
		if len(parts) != 3 {
			continue // a warning
		}
		g := gpu{name: strings.TrimSpace(parts[2])}
		if n, err := fmt.Sscanf(strings.TrimSpace(parts[0]), "%d.%d", &g.capability.Major, &g.capability.Minor); err == nil && n == 2 {
			g.known = true
		}
		if mib, err := strconv.ParseInt(strings.TrimSpace(parts[1]), 10, 64); err == nil && mib > 0 && mib < 1<<40 {
			g.memory = mib << 20
		}
		out = append(out, g)
	}
	return out, nil
}

// card compares one GPU with libtorch's kernels.
func card(i int, g gpu, l Library, cuda bool, wrong Level) Finding {
	about := fmt.Sprintf("cuda:%d, %s", i, g.name)
	if g.memory > 0 {
		about += fmt.Sprintf(", %.0f GB", float64(g.memory)/1e9)
	}
	if !g.known || l.Kernels == nil {
		return Finding{Note, "gpu", about + "; it is not known whether libtorch " + l.Version + " has kernels for it"}
	}
	about += ", compute capability " + g.capability.String()
	if !l.Runs(g.capability) {
		advice := "take another libtorch in TAB_LIBTORCH"
		for _, other := range []struct{ version, flag string }{{"2.1.2", "-floor gotch"}, {"2.15.0", "-floor libtorch"}} {
			if known[other.version].Runs(g.capability) {
				advice = "take " + other.flag + ", whose libtorch " + other.version + " has them"
			}
		}
		return Finding{wrong, "gpu", fmt.Sprintf("%s: libtorch %s has kernels for %s alone: %s", about, l.Version, strings.Join(l.Kernels, " "), advice)}
	}
	if !cuda {
		return Finding{OK, "gpu", about + "; libtorch " + l.Version + " has kernels for it: use `libtorch env -cuda` to link for it"}
	}
	return Finding{OK, "gpu", about + "; libtorch " + l.Version + " has kernels for it"}
}
