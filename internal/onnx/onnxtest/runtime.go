package onnxtest

import (
	_ "embed"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gotab/gotab/internal/onnx"
)

//go:embed run.py
var program string

// Runtime runs a model file by ONNX Runtime and returns its outputs by name and its
// metadata. It skips the test unless the environment variable PYTHON names a Python
// that has numpy and onnxruntime. Where that has the package onnx too, its checker
// must take the model.
func Runtime(t testing.TB, model string, input Array) (outputs map[string]Array, metadata map[string]string) {
	t.Helper()
	python := os.Getenv("PYTHON")
	if python == "" {
		t.Skip("PYTHON names no Python with onnxruntime")
	}
	if err := exec.CommandContext(t.Context(), python, "-c", "import numpy, onnxruntime").Run(); err != nil {
		t.Skipf("%s lacks numpy or onnxruntime (%v); set PYTHON to one that has them", python, err)
	}
	dir := t.TempDir()
	script, given := filepath.Join(dir, "run.py"), filepath.Join(dir, "input")
	shape := strings.Trim(strings.ReplaceAll(fmt.Sprint(input.Dims), " ", ","), "[]")
	results := filepath.Join(dir, "results")
	for _, err := range []error{
		os.WriteFile(script, []byte(program), 0o600), os.WriteFile(given, onnx.AppendFloats(nil, input.Data), 0o600), os.Mkdir(results, 0o700),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.CommandContext(t.Context(), python, script, model, given, shape, results).Output()
	if err != nil {
		var said []byte
		if e, ok := err.(*exec.ExitError); ok {
			said = e.Stderr
		}
		t.Fatalf("ONNX Runtime on %s: %v\n%s", model, err, said)
	}
	outputs = make(map[string]Array)
	for line := range strings.Lines(string(out)) {
		var said struct {
			Name     string
			Shape    []int
			Metadata map[string]string
		}
		if err := json.Unmarshal([]byte(line), &said); err != nil {
			t.Fatal(err)
		}
		if said.Name == "" {
			metadata = said.Metadata
			continue
		}
		b, err := os.ReadFile(filepath.Join(results, said.Name))
		if err != nil || len(b) != 4*product(said.Shape) {
			t.Fatalf("output %s: %v, %d bytes for %v", said.Name, err, len(b), said.Shape)
		}
		a := newArray(said.Shape...)
		for i := range a.Data {
			a.Data[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
		}
		outputs[said.Name] = a
	}
	return outputs, metadata
}
