# Every target sets itself up: Go, a C++ compiler, make and pip are all that must be there. Nothing needs root, and
# nothing is written outside this folder and the user's cache folders. `make help` lists the targets.
#
#   CUDA=1         link the CUDA libraries too (docs/setup.md)
#   FLOOR=libtorch compile on libtorch itself and not on gotch: GPUs newer than Hopper, newer PyTorch, quick first build
#   P=N            packages that are built and tested at the same time (2)
#   ARGS=...       arguments of the program that quickstart or serve runs
#   SERVE=DIR      what serve makes and serves; what is there is not made again (out/serve)
#   BENCH=REGEXP   benchmarks to run (.)
#   FUZZTIME=D     time for each fuzz target (5s)
#   DURATION=D     how long soak goes on (10m)
#   ROUNDS=N       rounds of bench-inspect and bench-ranks (9)
#   PYTHON=FILE    Python for the other side of the paired benchmarks (python3)
#   N, SEED, MUTATE   changes, seed and packages of mutate
#   WEIGHTS, ROOT, TARGET, OTHERS   what bench-detectors runs on
#   WEIGHTS, ROOT, OUT, BANK or CLIP   what table1 to table8 run on (examples/tables); ARGS=-small tries the way

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

GO ?= go
P ?= 2
BENCH ?= .
FUZZTIME ?= 5s
DURATION ?= 10m
ROUNDS ?= 9
ARGS ?=
SERVE ?= out/serve
CUDA ?=
FLOOR ?= gotch
PYTHON ?= python3
N ?= 50
SEED ?= 1
MUTATE ?= tab downstream tensor dataset metrics synth

# Threads of libtorch that wait for each other sleep instead of spinning: on a machine that is busy with other things, such
# as other packages' tests, that is several times faster. On a quiet one a single image takes up to 1.6 times as long that way, so benchmarks
# leave it to the environment.
AWAKE := $(if $(OMP_WAIT_POLICY),,unset OMP_WAIT_POLICY;)
export OMP_WAIT_POLICY ?= passive

# The newest release that runs on the oldest Go that go.mod allows.
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.6.1
LIBTCH := github.com/sugarme/gotch/libtch
LIBTORCH := $(GO) run ./tensor/libtorch
CUDA_FLAG := $(if $(filter-out 0,$(CUDA)),-cuda)
comma := ,
NATIVE := github.com/gotab/gotab/tensor/internal/native

# Modules of their own, so that ./... does not build what they depend on.
MODULES := $(patsubst %/go.mod,%,$(wildcard $(if $(filter gotch,$(FLOOR)),tensor/gotchts/go.mod) inspect/prometheus/go.mod inspect/otel/go.mod))

# Sets the cgo environment in the shell of a recipe; where libtorch's C layer is not compiled for it yet, says so, since
# the go command is silent for the minutes that it takes.
define native
vars="$$($(LIBTORCH) env -floor $(FLOOR) $(CUDA_FLAG))"; eval "$$vars"; \
stale="$$($(GO) list -f '{{.Stale}}' $(if $(filter libtorch,$(FLOOR)),$(NATIVE),$(LIBTCH)))"; \
if [ "$$stale" = true ]; then \
  echo "First build: compiling libtorch's C layer. It takes $(if $(filter libtorch,$(FLOOR)),about a minute and 1 GB,two to three minutes and 2.6 GB) of memory, once; nothing is printed meanwhile."; \
fi
endef

# Sets pkgs to the packages that neither themselves nor in their tests reach libtorch.
define pure
all="$$($(GO) list ./...)"; \
reach="$$($(GO) list -test -f '{{$$p := .ImportPath}}{{range .Deps}}{{if eq . "$(NATIVE)"}}{{$$p}}{{"\n"}}{{end}}{{end}}' ./...)"; \
pkgs="$$(comm -23 <(sort -u <<<"$$all") <(sed 's/ .*//; s/\.test$$//' <<<"$$reach"$$'\n'"$(NATIVE)" | sort -u))"
endef

# Builds the program that shortens the output of the tests and lists the skipped ones with their reasons. It is built
# first: `go run` behind a pipe would compile at the same time as the tests.
define summary
tools="$$(mktemp -d)"; trap 'rm -rf "$$tools"' EXIT; testsum="$$tools/testsum"; CGO_ENABLED=0 $(GO) build -o "$$testsum" ./internal/testsum
endef

.PHONY: help
help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | sed 's/\$$\$$/$$/' | expand -t 25

.PHONY: quickstart
quickstart: ## pre-train on drawn textures, fit a detector, print what it finds
	@$(native); echo "+ go run ./examples/quickstart $(ARGS)"; $(GO) run ./examples/quickstart $(ARGS)

.PHONY: serve
serve: ## quickstart's drawings, a bundle of each product, and a server of them on http://127.0.0.1:8080/
	@$(native); mkdir -p $(SERVE); $(GO) build -o $(SERVE)/inspectd ./examples/inspectd; \
	if [ ! -f $(SERVE)/resnet18.safetensors ]; then \
	  echo "+ go run ./examples/quickstart -keep $(SERVE) -out $(SERVE)"; $(GO) run ./examples/quickstart -keep $(SERVE) -out $(SERVE); fi; \
	for dir in $(SERVE)/pictures/*/; do \
	  class="$$(basename "$$dir")"; bundle="$(SERVE)/$${class// /-}.gotab"; if [ -f "$$bundle" ]; then continue; fi; \
	  set -- -data $(SERVE)/pictures -class "$$class" -weights $(SERVE)/resnet18.safetensors -transform 128x128 -out "$$bundle"; \
	  echo "+ inspectd pack" "$${@@Q}"; $(SERVE)/inspectd pack "$$@"; done; \
	echo "+ inspectd $(ARGS) $(SERVE)/*.gotab"; exec $(SERVE)/inspectd $(ARGS) $(SERVE)/*.gotab

.PHONY: test
test: ## run all tests
	@$(native); $(summary); \
	if [ "$(FLOOR)" = gotch ]; then echo "tensor/gotchts needs gotch's package ts, which takes another minute the first time"; fi; \
	for module in $(MODULES); do \
	  echo "+ go test ./... (in $$module)"; \
	  (cd $$module && $(GO) test ./...); done; \
	echo "+ go test -p $(P) ./..."; $(GO) test -p $(P) -json ./... | "$$testsum"

.PHONY: test-pure
test-pure: ## run the tests of the packages without native code, with cgo off
	@$(pure); echo "+ CGO_ENABLED=0 go test" $$pkgs; $(summary); CGO_ENABLED=0 $(GO) test -p $(P) -json $$pkgs | "$$testsum"

.PHONY: race
race: ## run the tests of the packages without native code under the race detector
	@$(pure); echo "+ go test -race" $$pkgs; $(summary); CGO_ENABLED=1 $(GO) test -race -p $(P) -json $$pkgs | "$$testsum"

.PHONY: test-dist
test-dist: ## test tensor/dist and pretrain's ranks with libtorch's engine for several processes, which nothing else needs; fetches gloo's headers (Debian 12)
	@vars="$$($(LIBTORCH) env -dist $(CUDA_FLAG))"; eval "$$vars"; $(summary); echo "+ go test -tags gotab_dist ./tensor/dist/..."; \
	$(GO) test -p $(P) -json ./tensor/dist/... | "$$testsum"; \
	echo "+ go test -tags gotab_dist -run 'Rank|Attempt|Agent' ./examples/pretrain"; \
	$(GO) test -run 'Rank|Attempt|Agent' -json ./examples/pretrain | "$$testsum"

# Under the race detector the tests of networks take ten times as long, and most of them use one goroutine. So of the
# packages where that is many minutes only the tests run whose names say that goroutines meet.
MEETINGS := Concurrent|Turns|Close|Cancel|Break|Worker|Thread|Share|Feed|Inspect|Replace|Busy|Soak

.PHONY: race-native
race-native: ## run the tests of native packages in which goroutines meet under the race detector; compiles libtorch's C layer once more
	@$(native); $(summary); echo "+ go test -race ./tensor ./clipenc ./internal/layers ./downstream/heatmap ./inspect/service (the first time libtorch's C layer is compiled again for it: two to three minutes)"; \
	$(GO) test -race -p $(P) -json ./tensor ./clipenc ./internal/layers ./downstream/heatmap ./inspect/service | "$$testsum"; \
	echo "+ go test -race -run '$(MEETINGS)' ./backbone ./tab ./downstream ./inspect"; \
	$(GO) test -race -p $(P) -run '$(MEETINGS)' -json ./backbone ./tab ./downstream ./inspect | "$$testsum"

.PHONY: race-all
race-all: ## run all tests under the race detector: about an hour
	@$(native); echo "+ go test -race -timeout 60m ./..."; $(summary); $(GO) test -race -p $(P) -timeout 60m -json ./... | "$$testsum"

.PHONY: mutate
mutate: ## change N=50 places at random (SEED=1), one at a time, and count how many the tests notice
	@$(native); echo "+ go run ./internal/mutate -n $(N) -seed $(SEED) $(MUTATE)"; $(GO) run ./internal/mutate -n $(N) -seed $(SEED) $(MUTATE)

# Not among the tests: it goes by the clock. It prints its figures and its seed, with which ARGS="-soak.seed N" repeats it.
.PHONY: soak
soak: ## all detectors used, broken, closed and read back at random from 32 goroutines for DURATION
	@$(native); echo "+ go test -tags soak -run TestSoak ./downstream -soak $(DURATION) $(ARGS)"; \
	$(GO) test -tags soak$(if $(filter libtorch,$(FLOOR)),$(comma)gotab_libtorch) -run '^TestSoak$$' -count 1 -timeout 0 -v ./downstream -soak $(DURATION) $(ARGS)

.PHONY: soak-inspect
soak-inspect: ## 64 clients ask an Inspector for DURATION, and then a server over HTTP for as long, some with broken, cancelled, huge or slow images, while bundles are replaced
	@$(native); echo "+ GOTAB_SOAK=$(DURATION) go test -run 'TestSoak(HTTP)?' ./inspect ./inspect/service"; \
	GOTAB_SOAK=$(DURATION) $(GO) test -p 1 -run '^TestSoak(HTTP)?$$' -count 1 -timeout 0 -v ./inspect ./inspect/service $(ARGS)

# Medians of ROUNDS rounds in which the sides take turns, so that a machine that is busy for a while tells on all of them.
.PHONY: bench-inspect
bench-inspect: ## latency and throughput of the service beside Score: ROUNDS=9
	@$(AWAKE) $(native); echo "+ go test -bench 'Latency|Throughput' ./inspect/service"; \
	$(GO) test -run '^$$' -bench 'Latency|Throughput' -benchtime $(ROUNDS)x -timeout 0 ./inspect/service $(ARGS) | awk '/^Benchmark/ { sub("-[0-9]+$$", "", $$1); print $$1; for (i = 5; i < NF; i += 2) printf "  %10s  %s\n", $$i, $$(i + 1) }  !/^Benchmark/'

.PHONY: bench-servers
bench-servers: ## inspectd beside FastAPI with ONNX Runtime over HTTP, in turns: WEIGHTS=FILE; PYTHON has fastapi, uvicorn, onnxruntime
	@$(AWAKE) [ -n "$(WEIGHTS)" ] || { echo "bench-servers needs WEIGHTS=resnet18.safetensors; ARGS may add -rounds N and more" >&2; exit 2; }; \
	$(native); dir="$$(mktemp -d)"; trap 'rm -rf "$$dir"' EXIT; $(GO) build -o "$$dir/inspectd" ./examples/inspectd; \
	set -- "$$dir/inspectd" "$(WEIGHTS)" $(ARGS); echo "+ $(PYTHON) bench/inspect/servers.py $$*"; $(PYTHON) bench/inspect/servers.py "$$@"

# Wants two cores with nothing else on them.
.PHONY: bench-ranks
bench-ranks: ## what ranks cost: exchanges, a group of one beside none, two ranks of one core beside one of two, in turns: ROUNDS=9
	@$(AWAKE) vars="$$($(LIBTORCH) env -dist)"; eval "$$vars"; echo "+ go test -run 'TestCosts|TestOverheadOfOne|TestEfficiencyOfTwo' ./tensor/dist -cost"; \
	$(GO) test -run '^(TestCosts|TestOverheadOfOne|TestEfficiencyOfTwo)$$' -count 1 -timeout 0 -v ./tensor/dist -cost -cost.rounds $(ROUNDS) $(ARGS) | \
	awk '/^--- FAIL|^FAIL/ { bad = 1 } { sub("^ *engine_test.go:[0-9]*: ", "") } !/^(===|---|PASS|ok|$$)/ { print } END { exit bad }'

.PHONY: bench
bench: ## run all benchmarks, paired with Python where it has what they need
	@$(AWAKE) $(native); echo "+ go test -run '^$$' -bench $(BENCH) ./..."; $(GO) test -p 1 -run '^$$' -bench '$(BENCH)' -benchmem ./...
	@$(MAKE) bench-pairs

# Both sides of each pair run in turns. A bar that is missed is reported at the end.
.PHONY: bench-pairs
bench-pairs: ## synthesis, blending and decoding against OpenCV, NumPy and Pillow, in turns
	@$(AWAKE) if ! $(PYTHON) -c 'import cv2, numpy, PIL' 2>/dev/null; then \
	  echo "no paired benchmarks: $(PYTHON) lacks cv2, numpy or PIL (set PYTHON to one that has them)"; exit 0; fi; \
	missed=0; for pair in synth/testdata/bench/pair.py bench/synth/pair.py bench/dataset/decode.py; do \
	  echo "+ $(PYTHON) $$pair"; $(PYTHON) $$pair || missed=1; done; exit $$missed

.PHONY: bench-detectors
bench-detectors: ## every detector beside PyTorch: WEIGHTS=FILE ROOT=DIR TARGET=CLASS OTHERS=CLASS,CLASS...
	@$(AWAKE) [ -n "$(WEIGHTS)" ] && [ -n "$(ROOT)" ] && [ -n "$(TARGET)" ] && [ -n "$(OTHERS)" ] || { \
	  echo "bench-detectors needs WEIGHTS=resnet18.safetensors, ROOT=folder of classes, TARGET=class and OTHERS=classes that RegAD trains on; ARGS may add -rounds N" >&2; exit 2; }; \
	$(native); dir="$$(mktemp -d)"; trap 'rm -rf "$$dir"' EXIT; $(GO) build -o "$$dir/evaluate" ./examples/evaluate; \
	set -- "$$dir/evaluate" "$(WEIGHTS)" "$(ROOT)" "$(TARGET)" "$(OTHERS)" $(ARGS); \
	echo "+ $(PYTHON) bench/detectors.py $$*"; $(PYTHON) bench/detectors.py "$$@"

.PHONY: bench-torch
bench-torch: ## a network, and with WEIGHTS=FILE ROOT=DIR TARGET=CLASS PaDiM, beside PyTorch of the same version (PYTHON), in turns
	@$(AWAKE) $(native); dir="$$(mktemp -d)"; trap 'rm -rf "$$dir"' EXIT; $(GO) build -o "$$dir/" ./bench/resnet ./examples/evaluate; \
	set -- "$$dir/resnet" $(if $(TARGET),-padim "$$dir/evaluate" "$(WEIGHTS)" "$(ROOT)" "$(TARGET)") $(ARGS); \
	echo "+ $(PYTHON) bench/versions.py $$*"; $(PYTHON) bench/versions.py "$$@"

.PHONY: bench-pretraining
bench-pretraining: ## steps of every objective beside the same losses in PyTorch (PYTHON), in turns
	@$(AWAKE) $(native); dir="$$(mktemp -d)"; trap 'rm -rf "$$dir"' EXIT; $(GO) build -o "$$dir/" ./bench/pretraining; \
	set -- -versus "$$dir/pretraining" -objective keep,amplify,dense,recipe,joint $(ARGS); \
	echo "+ $(PYTHON) bench/pretraining.py $$*"; $(PYTHON) bench/pretraining.py "$$@"

.PHONY: bench-peers
bench-peers: ## everything beside its peer, in turns, held against bench/peers.json; WEIGHTS=FILE ROOT=DIR TARGET=CLASS add whole detectors (PYTHON)
	@$(AWAKE) $(native); dir="$$(mktemp -d)"; trap 'rm -rf "$$dir"' EXIT; $(GO) build -o "$$dir/" ./bench/resnet ./bench/detect ./examples/evaluate; \
	$(GO) test -c -o "$$dir/dataset.test" ./dataset; \
	set -- "$$dir" $(if $(TARGET),-weights "$(WEIGHTS)" -root "$(ROOT)" -target "$(TARGET)") $(ARGS); \
	echo "+ $(PYTHON) bench/peers.py $$*"; $(PYTHON) bench/peers.py "$$@"

.PHONY: bench-gpu
bench-gpu: ## make OUT=DIR, a folder that proves all of it on a machine with a GPU, PyTorch and no Go (docs/setup.md)
	@[ -n "$(OUT)" ] || { echo "bench-gpu needs OUT=folder, which it makes" >&2; exit 2; }; bench/gpu.sh build "$(OUT)"

TABLES := table1 table2 table3 table4 table5 table6 table7 table8
.PHONY: tables $(TABLES)
tables: $(TABLES) ## the article's tables, or one of table1 to table8: WEIGHTS=FILE ROOT=DIR OUT=DIR and BANK=FILE or CLIP=FILE
$(TABLES):
	@[ -n "$(WEIGHTS)" ] && [ -n "$(ROOT)" ] && [ -n "$(OUT)" ] || { \
	  echo "$@ needs WEIGHTS=resnet18.safetensors, ROOT=folder of data sets, OUT=folder and, where there are anchors, BANK=bank.safetensors or CLIP=folder of a CLIP model; ARGS may add -small and more" >&2; exit 2; }; \
	$(native); dir="$$(mktemp -d)"; trap 'rm -rf "$$dir"' EXIT; \
	$(GO) build -o "$$dir" ./examples/tables ./examples/pretrain ./examples/bank ./examples/classify; \
	set -- -table $(@:table%=%) -data "$(ROOT)" -start "$(WEIGHTS)" -out "$(OUT)" $(if $(BANK),$(if $(filter table8,$@),,-bank "$(BANK)")) $(if $(CLIP),-clip "$(CLIP)") $(ARGS); \
	echo "+ tables $$*"; "$$dir/tables" "$$@"

# The go command reports an input that is being tried when the time is up as a failure ("context deadline exceeded") on a
# busy machine. That alone is no finding; a failing input, which it names and writes down, is.
.PHONY: fuzz
fuzz: ## run every fuzz target for a short time
	@files="$$(grep -rl --include='*_test.go' '^func Fuzz' . || true)"; \
	[ -n "$$files" ] || { echo "there is no fuzz target" >&2; exit 1; }; \
	log="$$(mktemp)"; trap 'rm -f "$$log"' EXIT; \
	$(native); \
	for dir in $$(printf '%s\n' "$$files" | xargs -n1 dirname | sort -u); do \
	  for name in $$($(GO) test -list '^Fuzz' "$$dir" | { grep '^Fuzz' || true; }); do \
	    echo "+ go test -fuzz $$name $$dir"; \
	    rc=0; $(GO) test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x "$$dir" 2>&1 | tee "$$log" || rc=$$?; \
	    if [ $$rc -ne 0 ]; then \
	      if grep -q '^ *context deadline exceeded$$' "$$log" && ! grep -qE 'Failing input|panic:|Error Trace|hung or terminated' "$$log"; then \
	        echo "(the time was up while an input was being tried; no input failed)"; \
	      else exit $$rc; fi; \
	    fi; \
	  done; \
	done

.PHONY: lint
lint: gofmt vet staticcheck ## gofmt, go vet and staticcheck

.PHONY: gofmt
gofmt:
	@echo "+ gofmt -l ."; bad="$$(gofmt -l .)"; \
	[ -z "$$bad" ] || { printf 'these files are not formatted (run gofmt -w on them):\n%s\n' "$$bad" >&2; exit 1; }

.PHONY: vet
vet:
	@$(native); echo "+ go vet ./..."; $(GO) vet ./...; \
	for module in $(MODULES); do echo "+ go vet ./... (in $$module)"; (cd $$module && $(GO) vet ./...); done

.PHONY: staticcheck
staticcheck:
	@$(native); echo "+ staticcheck ./..."; $(GO) run $(STATICCHECK) ./...; \
	for module in $(MODULES); do echo "+ staticcheck ./... (in $$module)"; (cd $$module && $(GO) run $(STATICCHECK) ./...); done

.PHONY: doctor
doctor: ## look at everything that a build needs and say what is missing
	@$(LIBTORCH) doctor -floor $(FLOOR) $(CUDA_FLAG)

.PHONY: env
env: ## print the cgo environment, for: eval "$$(make env)"
	@$(LIBTORCH) env -floor $(FLOOR) $(CUDA_FLAG)
