#!/usr/bin/env bash
# Proves gotab on an NVIDIA GPU, on a machine that has Python with PyTorch and a C++ compiler, and neither Go nor a network.
#
#   bench/gpu.sh build DIR      here, with Go: makes DIR, at most 60 MB, to be copied to that machine
#   DIR/gpu.sh run [ARGS]       there: compiles the floor against the PyTorch that is there, runs everything, writes DIR/gpu.json
#
# run takes eight minutes at most. Its ARGS are those of gpu.py (-h lists them); PYTHON names the Python (python3). It ends
# with 0 where all held, with 1 where something did not, with 3 where there is no GPU.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"

build() {
  local out="$1" root
  root="$(cd "$here/.." && pwd)"
  [ ! -e "$out" ] || { echo "gpu.sh: $out exists; name a folder that does not" >&2; exit 2; }
  mkdir -p "$out"/{bin,tests,native,source}
  out="$(cd "$out" && pwd)"
  tmp="$(mktemp -d)" # not local: the trap needs it
  trap 'rm -rf "$tmp"' EXIT
  cd "$root"

  # What the programs are linked with: a library of the right names and no content. The real one is made where they run.
  cp tensor/internal/native/*.cpp tensor/internal/native/*.h "$out/native/"
  { sed -n 's/^[a-z].*[ *]\(tab_[a-z0-9_]*\)(.*/\1/p' tensor/internal/native/{shim,direct}.h; echo tab_libtorch_version; } | sort -u |
    sed 's/.*/void &(void) {}/' > "$tmp/names.c"
  "${CC:-cc}" -shared -fPIC -o "$tmp/libgotab_native.so" "$tmp/names.c"

  # Tests name the CPU as their device. In copies of their files that is a function that asks the environment.
  local packages="tensor backbone tab downstream" p f name
  echo '{"Replace":{' > "$tmp/overlay.json"
  for p in $packages; do
    mkdir -p "$tmp/$p"
    for f in "$p"/*_test.go; do
      sed 's/\btensor\.CPU\b/onDevice(tensor.CPU)/g' "$f" > "$tmp/$f"
      printf '"%s":"%s",\n' "$root/$f" "$tmp/$f" >> "$tmp/overlay.json"
    done
    for name in $(sed -n 's/^package \([a-z0-9_]*\).*/\1/p' "$p"/*_test.go | sort -u); do
      [ "$name" != tensor ] || continue # its internal tests call the CPU by another name
      cat > "$tmp/$p/$name.go" <<EOF
package $name

import (
	"os"

	"github.com/gotab/gotab/tensor"
)

// onDevice is the device of a test that names the CPU.
func onDevice(d tensor.Device) tensor.Device {
	if os.Getenv("GOTAB_TEST_DEVICE") == "cuda" {
		return tensor.CUDA(0)
	}
	return d
}
EOF
      printf '"%s":"%s",\n' "$root/$p/on_device_${name}_test.go" "$tmp/$p/$name.go" >> "$tmp/overlay.json"
    done
  done
  sed -i '$ s/,$//' "$tmp/overlay.json"
  echo '}}' >> "$tmp/overlay.json"

  export CGO_ENABLED=1 GOFLAGS=-tags= CGO_CXXFLAGS='' CGO_LDFLAGS="-L$tmp -Wl,-rpath,\$ORIGIN/../lib"
  local flags=(-trimpath -tags gotab_libtorch,gotab_shared,soak -ldflags '-s -w')
  for p in $packages; do
    echo "+ go test -c ./$p" >&2
    go test -c "${flags[@]}" -overlay "$tmp/overlay.json" -o "$out/tests/$p.test" "./$p"
  done
  echo "+ go build ./bench/resnet ./bench/pretraining ./examples/evaluate" >&2
  go build "${flags[@]}" -o "$out/bin/" ./bench/resnet ./bench/pretraining ./examples/evaluate
  gzip -9 "$out"/tests/* "$out"/bin/* # gpu.py unpacks them

  # Tests read fixtures, and some the source that they are about, from the folder of their package.
  git ls-files -z go.mod $packages internal docs | tar -c --null -T - | tar -x -C "$out/source"
  cp bench/gpu.sh bench/gpu.py bench/resnet.py bench/pretraining.py bench/ref*.py "$out/"
  { echo "commit $(git rev-parse HEAD)$(git diff --quiet HEAD || echo ' with changes')"; go version; } > "$out/built.txt"
  local mb
  mb=$(($(du -sb "$out" | cut -f1) / 1000000))
  [ "$mb" -le 60 ] || { echo "gpu.sh: $out has $mb MB, 60 are allowed" >&2; exit 1; }
  echo "$out has $mb MB; on the machine with the GPU: $(basename "$out")/gpu.sh run" >&2
}

case "${1:-}" in
build)
  [ $# -eq 2 ] || { echo "gpu.sh: build takes a folder" >&2; exit 2; }
  build "$2"
  ;;
run)
  shift
  [ -f "$here/built.txt" ] || { echo "gpu.sh: run is for a folder that 'gpu.sh build' has made" >&2; exit 2; }
  exec "${PYTHON:-python3}" "$here/gpu.py" "$@"
  ;;
*)
  sed -n '2,8s/^# \{0,1\}//p' "$here/gpu.sh" >&2
  exit 2
  ;;
esac
