# On a fresh machine `make demo` or `make test` sets up everything in .venv by itself (Python 3.11 or newer, pip).
PYTHON ?= python3
# two files side by side, the longest first; threads of torch's beside them would wait for each other
SUITE = pytest -q -n 2 --dist loadfile --no-loadscope-reorder
PYTEST ?= $(SUITE) -m "not long"
BIN = .venv/bin

.PHONY: demo test test-all release benchmark clean
.DEFAULT_GOAL := demo

demo: .venv/ready
	$(BIN)/autograder demo

test: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/autograder release --check
	$(BIN)/autograder verify
	OMP_NUM_THREADS=1 $(BIN)/python -m $(PYTEST)

test-all:  # with the tests that train, start a cluster or a browser, or play a whole term: what CI runs
	$(MAKE) test PYTEST="$(SUITE)"

release: .venv/ready
	$(BIN)/autograder release

benchmark: .venv/ready  # an hour and a half; the machine must be quiet
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev,benchmark]'
	$(BIN)/python benchmarks/compare.py --write
	$(BIN)/python benchmarks/growth.py --write

clean:
	rm -rf .venv .autograder .coverage demo

.venv/ready: pyproject.toml course.toml
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed; name it: make PYTHON=python3.11") if sys.version_info < (3, 11) else 0'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev]'
	$(BIN)/autograder doctor --packages | xargs -r $(BIN)/pip install --quiet --disable-pip-version-check
	touch $@
