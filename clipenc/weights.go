package clipenc

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gotab/gotab/internal/safetensors"
)

const (
	maxIndex    = 64 << 20 // bytes of an index.json; those of the largest models have some 100 KB
	indexSuffix = ".index.json"
	maxFaults   = 40 // how many faults one error spells out
)

// store holds the open files of a checkpoint and knows which holds which tensor.
type store struct {
	files []*os.File
	where map[string]*safetensors.File
	infos map[string]safetensors.Info
}

func (s *store) Close() error {
	var errs []error
	for _, f := range s.files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

// openStore opens a safetensors file, the shards that an index.json lists, or what of these a folder holds.
func openStore(path string) (*store, error) {
	file, err := weightFile(path)
	if err != nil {
		return nil, err
	}
	s := &store{where: map[string]*safetensors.File{}, infos: map[string]safetensors.Info{}}
	if strings.HasSuffix(file, indexSuffix) {
		err = s.addIndex(file)
	} else {
		err = s.add(file)
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// weightFile returns the file that a path means: itself, or in a folder the one that its publishers use.
func weightFile(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if !info.IsDir() {
		return path, nil
	}
	names := []string{
		"model.safetensors", "open_clip_model.safetensors",
		"model.safetensors" + indexSuffix, "open_clip_model.safetensors" + indexSuffix,
	}
	for _, n := range names {
		p := filepath.Join(path, n)
		if _, err := os.Stat(p); err == nil {
			return p, nil
		} else if !errors.Is(err, os.ErrNotExist) {
			return "", err
		}
	}
	return "", fmt.Errorf("the folder holds none of %s: %w", strings.Join(names, ", "), ErrWeights)
}

// add opens one safetensors file.
func (s *store) add(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	s.files = append(s.files, f)
	info, err := f.Stat()
	if err != nil {
		return err
	}
	st, err := safetensors.Open(f, info.Size())
	if err != nil {
		head := make([]byte, 512)
		n, _ := f.ReadAt(head, 0) // fewer bytes are what there is
		if what := safetensors.Stranger(head[:n]); what != "" {
			return fmt.Errorf("%s: %s: %w", filepath.Base(path), what, ErrWeights)
		}
		if bytes.HasPrefix(head[:n], []byte("PK")) {
			return fmt.Errorf("%s is a torch archive; save its state dict as safetensors first: %w", filepath.Base(path), ErrWeights)
		}
		return fmt.Errorf("%s: %w: %w", filepath.Base(path), err, ErrWeights)
	}
	for _, t := range st.Infos() {
		if _, ok := s.infos[t.Name]; ok {
			return fmt.Errorf("%.80q is in %s and in another shard: %w", t.Name, filepath.Base(path), ErrWeights)
		}
		s.where[t.Name], s.infos[t.Name] = st, t
	}
	return nil
}

// addIndex opens the shards that hold text tensors. A shard that holds nothing but the image tower need not be there.
func (s *store) addIndex(path string) error {
	weightMap, err := readIndex(path)
	if err != nil {
		return err
	}
	n, err := detect(func(name string) bool { _, ok := weightMap[name]; return ok })
	if err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(path), err)
	}
	wanted := map[string]bool{}
	for name, shard := range weightMap {
		if !n.foreign(name) {
			wanted[shard] = true
		}
	}
	for _, shard := range slices.Sorted(maps.Keys(wanted)) {
		if err := s.add(filepath.Join(filepath.Dir(path), shard)); err != nil {
			return err
		}
	}
	var faults []error
	for _, name := range slices.Sorted(maps.Keys(weightMap)) {
		if _, ok := s.infos[name]; !ok && wanted[weightMap[name]] && !n.foreign(name) {
			faults = append(faults, fmt.Errorf("%s is not in %s, where the index has it", name, weightMap[name]))
		}
	}
	return report(faults)
}

func readIndex(path string) (map[string]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return parseIndex(f, filepath.Base(path))
}

// parseIndex reads which shard holds which tensor. Shards lie beside the index: a name with a folder in it is refused.
func parseIndex(r io.Reader, name string) (map[string]string, error) {
	raw, err := io.ReadAll(io.LimitReader(r, maxIndex+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(raw) > maxIndex {
		return nil, fmt.Errorf("%s holds more than %d MiB: %w", name, maxIndex>>20, ErrWeights)
	}
	var index struct {
		WeightMap map[string]string `json:"weight_map"`
	}
	if err := json.Unmarshal(raw, &index); err != nil {
		return nil, fmt.Errorf("%s: %w: %w", name, err, ErrWeights)
	}
	if len(index.WeightMap) == 0 {
		return nil, fmt.Errorf("%s has no weight_map: %w", name, ErrWeights)
	}
	for tensor, shard := range index.WeightMap {
		if shard == "" || shard == "." || !filepath.IsLocal(shard) || filepath.Base(shard) != shard || strings.ContainsAny(shard, `/\`) {
			return nil, fmt.Errorf("%s puts %.80q into %.80q, which is no file beside it: %w", name, tensor, shard, ErrWeights)
		}
	}
	return index.WeightMap, nil
}

// source is one parameter with the tensors of the files that it is made of.
type source struct {
	shaped
	parts     []string
	transpose bool
}

// plan matches the tower's parameters with the tensors of the files. All that does not fit is reported at once.
func (s *store) plan(cfg Config) ([]source, error) {
	n, err := detect(func(name string) bool { _, ok := s.infos[name]; return ok })
	if err != nil {
		return nil, err
	}
	var sources []source
	var faults []error
	used := map[string]bool{}
	for _, p := range cfg.names() {
		src := source{shaped: p, parts: n.source(p.name), transpose: n.transposed[p.name]}
		want := slices.Clone(p.shape)
		want[0] /= int64(len(src.parts))
		if src.transpose {
			slices.Reverse(want)
		}
		for _, part := range src.parts {
			used[part] = true
			info, ok := s.infos[part]
			switch {
			case !ok:
				faults = append(faults, fmt.Errorf("%s %v is missing", part, want))
			case !slices.Equal(info.Shape, want):
				faults = append(faults, fmt.Errorf("%s is %v, file has %v", part, want, info.Shape))
			case !slices.Contains([]safetensors.DType{safetensors.F32, safetensors.F16, safetensors.BF16, safetensors.F64}, info.DType):
				faults = append(faults, fmt.Errorf("%s is %s, must be of a floating-point type", part, info.DType))
			}
		}
		sources = append(sources, src)
	}
	for _, name := range slices.Sorted(maps.Keys(s.infos)) {
		if !used[name] && !n.foreign(name) {
			faults = append(faults, fmt.Errorf("%s %v is unexpected", name, s.infos[name].Shape))
		}
	}
	if err := report(faults); err != nil {
		return nil, fmt.Errorf("%s naming: %w", n.publisher, err)
	}
	return sources, nil
}

// report joins faults into one error that wraps ErrWeights, nil if there are none.
func report(faults []error) error {
	if len(faults) == 0 {
		return nil
	}
	total := len(faults)
	if total > maxFaults {
		faults = append(slices.Clone(faults[:maxFaults]), fmt.Errorf("and %d more", total-maxFaults))
	}
	return fmt.Errorf("%w: %d faults:\n%w", ErrWeights, total, errors.Join(faults...))
}

// read returns the values of a parameter in its own layout, row-major float32. Values that are no numbers are refused.
func (s *store) read(src source) ([]float32, error) {
	var values []float32
	for _, part := range src.parts {
		v, err := s.where[part].Float32(part)
		if err != nil {
			return nil, fmt.Errorf("%s: %w: %w", part, err, ErrWeights)
		}
		for i, x := range v {
			if math.IsNaN(float64(x)) || math.IsInf(float64(x), 0) {
				return nil, fmt.Errorf("%s holds %g at flat index %d: %w", part, x, i, ErrWeights)
			}
		}
		if values == nil {
			values = v
		} else {
			values = append(values, v...)
		}
	}
	if src.transpose {
		values = transpose(values, int(src.shape[0]), int(src.shape[1]))
	}
	return values, nil
}

// transpose returns a [rows, columns] matrix of what is stored as [columns, rows].
func transpose(v []float32, rows, columns int) []float32 {
	out := make([]float32, len(v))
	for r := range rows {
		for c := range columns {
			out[r*columns+c] = v[c*rows+r]
		}
	}
	return out
}
