# `make demo` runs the main job, `make test` the fast tests; each makes .venv first, with what it needs. `make` alone lists what there is.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
NATIVE := deploy/edge_lstm_runtime/native
# A file's tests stay together, for what they share, in order, for the longest files begin first (tests/conftest.py); one thread each, for they
# share the cores too.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

# Of each package only the files whose sha256 the lock has, and wheels alone: a source would be built
# with packages that no lock names. Of torch the build for the CPU is taken if an index of pip's has it.
# Python compiles a module when it is first imported: pip would compile all of them, for half of its time.
LOCKED := -m pip install --require-hashes --no-deps --only-binary :all: --no-compile --requirement
# Both distributions, the board's and the desktop's.
EDITABLE := -m pip install --quiet --no-deps --no-build-isolation --editable ./deploy --editable .
define environment
	$(PYTHON) -m venv --clear $(1)
	$(1)/bin/python $(LOCKED) lock/desktop.txt
	@$(1)/bin/python $(LOCKED) lock/torch-cpu.txt 2>$(1)/torch.log \
		|| grep -q "No matching distribution found for torch" $(1)/torch.log || { cat $(1)/torch.log >&2; exit 1; }
	@$(1)/bin/python -m pip show --quiet torch 2>/dev/null \
		|| { echo "no index of pip's has a locked torch for the CPU alone, so PyPI's is taken"; $(1)/bin/python $(LOCKED) lock/torch.txt; }
endef

# The C tests compile the same files many times. If ccache is here, each is compiled once.
export PATH := /usr/lib/ccache:$(PATH)

.PHONY: help demo test slow fuzz lint docs format lock wheels bench bench-step bench-board bench-tasks bench-rknn clean
help:
	@echo "make demo    train on real data, export for RK3588, check, report (build/demo/)"
	@echo "make test    the fast tests"
	@echo "make slow    the slow ones: the vendor's converter, a browser, the built wheel, emulated boards, whole trainings"
	@echo "make fuzz    the fuzzers of the C kernel (Clang and GCC) and of bundles, 10 minutes each (SECONDS_EACH=600)"
	@echo "make lint    ruff and mypy"
	@echo "make docs    the documentation with the API reference, as a site (build/site/index.html)"
	@echo "make format  ruff format"
	@echo "make lock    versions and hashes of all packages (lock/), after a changed dependency; UV='--upgrade' for newer ones"
	@echo "make wheels  the wheels for every board, and a bill of materials of each (dist/)"
	@echo "make bench   the benchmarks, side by side with their peers"
	@echo "make bench-step  one streamed step against ONNX Runtime, LiteRT, ncnn, OpenVINO and PyTorch (build/peers/, made once)"
	@echo "make bench-board  instructions of a step on aarch64 and armv7, counted by QEMU, beside plain C, ncnn and LiteRT"
	@echo "make bench-tasks  every recipe over 10 seeds, in float32, int8 and w8a8, before and after fine-tuning; over sizes (hours)"
	@echo "make bench-rknn  every target, scheme and form through the vendor's converter (about half an hour)"
	@echo "make clean   remove .venv and build/"

.venv/ready: pyproject.toml deploy/pyproject.toml $(wildcard lock/*.txt)
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 10) <= v <= (3, 13) else f"edge-lstm needs Python 3.10 to 3.13, and $(PYTHON) is {v[0]}.{v[1]}; run: make PYTHON=python3.11 ...")'
	$(call environment,.venv)
	$(BIN)/python $(EDITABLE)
	@$(BIN)/python deploy/hatch_build.py || echo "without it the backend 'native' is not here; numpy takes its place"
	@touch $@

.venv/tests: .venv/ready
	$(BIN)/python $(LOCKED) lock/dev.txt
	@touch $@

# After a change of the source; without a compiler it says so, and everything else goes on.
$(NATIVE)/_kernel.abi3.so: $(wildcard $(NATIVE)/*.[ch] deploy/extension/*.[ch]) deploy/hatch_build.py | .venv/ready
	@$(BIN)/python deploy/hatch_build.py || true

demo: .venv/ready
	$(BIN)/edge-lstm demo -o build/demo
	@echo "edge-lstm is in $(BIN): run \`. $(BIN)/activate\` in this shell, and go on with the README"

test: .venv/tests $(NATIVE)/_kernel.abi3.so
	$(PYTEST) -m "not slow"

slow: .venv/tests $(NATIVE)/_kernel.abi3.so
	$(PYTEST) -m slow

fuzz: .venv/tests
	$(BIN)/python tests/helpers/fuzzers.py $(SECONDS_EACH)

lint: .venv/tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: .venv/tests
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo "build/site/index.html"

format: .venv/tests
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: .venv/tests
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python lock/renew.py $(UV)

wheels: .venv/ready
	$(BIN)/python deploy/hatch_build.py wheels dist
	for wheel in dist/*.whl; do $(BIN)/edge-lstm sbom $$wheel -o $${wheel%.whl}.cdx.json || exit 1; done
	@ls -l dist/*.whl

bench: .venv/tests
	$(BIN)/python benchmarks/numpy_step.py
	$(BIN)/python benchmarks/kernel.py
	$(BIN)/python benchmarks/call.py
	$(BIN)/python benchmarks/board_install.py
	$(BIN)/python benchmarks/trainer.py
	$(BIN)/python benchmarks/train_speed.py
	$(BIN)/python benchmarks/threads.py
	$(BIN)/python benchmarks/accuracy.py

build/peers/ready: pyproject.toml deploy/pyproject.toml $(wildcard lock/*.txt) benchmarks/requirements.txt
	$(call environment,build/peers)
	build/peers/bin/python $(LOCKED) lock/dev.txt
	build/peers/bin/python $(LOCKED) benchmarks/requirements.txt
	build/peers/bin/python $(EDITABLE)
	@touch $@

bench-step: build/peers/ready
	build/peers/bin/python benchmarks/step_latency.py

bench-board: build/peers/ready
	build/peers/bin/python benchmarks/board_counts.py

bench-tasks: .venv/tests
	$(BIN)/python benchmarks/tasks.py --npu --tuned
	$(BIN)/python benchmarks/sizes.py

bench-rknn: .venv/tests
	$(BIN)/python benchmarks/rknn_matrix.py
	$(BIN)/python benchmarks/rknn_int8.py

clean:
	rm -rf .venv build dist $(NATIVE)/*.so* .mypy_cache .ruff_cache .pytest_cache
