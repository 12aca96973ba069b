# Everything runs in .venv, made here from the locked packages; nothing is installed on the system.
# Needed: make and Python 3.11 or newer.

.DEFAULT_GOAL := test
.PHONY: install demo test bench soak lint browser format lock vectors pictures clean
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
NEW_ENOUGH := 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))'
PYTHONS := python3.11 python3.12 python3.13 python3.14 python3 python

install: $(STAMP)  ## .venv with everything, the `coffre` command among it

demo: $(STAMP)  ## two or more nodes on this machine, to try out; ONCE=1: run through once and stop
	$(BIN)/coffre demo $(if $(ONCE),--once)

test: lint browser
	$(BIN)/python -m pytest -n 2 --dist worksteal

bench: $(STAMP)  ## JSON=FILE: also write the figures there; ONLY="NAME NAME": these benchmarks alone
	$(BIN)/python -m bench $(if $(JSON),--json $(JSON)) $(if $(ONLY),--only $(ONLY))

soak: $(STAMP)  ## the long tests, with a summary; COFFRE_FUZZ_S=SECONDS for each fuzzed decoder
	$(BIN)/python -m pytest -m soak --hypothesis-profile=soak -o faulthandler_timeout=0 -rA

lint: $(STAMP)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

browser:  ## chromium for the tests of pages, from Debian, if we may install it
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends chromium >/dev/null; \
	  else echo "make: chromium is missing, and the tests of pages with it (as root: apt-get install chromium)" >&2; fi

format: $(STAMP)
	$(BIN)/ruff check --fix --exit-zero
	$(BIN)/ruff format

lock: $(STAMP)  ## requirements.lock from pyproject.toml; keeps versions that still fit unless UPGRADE=1
	$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-strip-extras --custom-compile-command "make lock" --quiet \
	  $(if $(UPGRADE),--upgrade) --output-file requirements.lock

vectors: $(STAMP)  ## spec/vectors/*.json anew; a changed vector is a changed protocol
	@for script in spec/vectors/make_*.py; do \
	  module=$${script##*/}; echo "$$script"; $(BIN)/python -m spec.vectors.$${module%.py} || exit 1; done

pictures: $(STAMP) browser  ## docs/pictures anew, of the pages as the tests fill them; look at them before they go in
	$(BIN)/python -m tests.docs.pictures

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP): requirements.lock pyproject.toml
	@$(BIN)/python -c $(NEW_ENOUGH) 2>/dev/null && exit; \
	  for python in $(PYTHONS); do \
	  "$$python" -c $(NEW_ENOUGH) 2>/dev/null || continue; \
	  "$$python" -m venv --clear $(VENV); exit; done; \
	  echo "make: Python 3.11 or newer with venv not found (looked for: $(PYTHONS))" >&2; exit 1
	$(PIP) install --require-hashes --no-deps -r requirements.lock
	$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@
