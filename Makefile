# Every target makes the environment it needs, once: Python's venv, and pip with the pinned versions of .ci/constraints.txt.
#
#   make demo       train a quantum classifier on real data and draw the result
#   make test       the tests and the examples in the docstrings
#   make lint       ruff and mypy: rules, formatting, types
#   make fuzz       random circuits against Qiskit: make fuzz EXAMPLES=10000
#   make coverage   the tests, and which lines they run
#   make examples   every script in examples/
#   make bench      the benchmarks, against other libraries
#   make dist       build the distributions, check and install them, run the README's code and try each extra
#   make docs       the site, in docs/_build/html: it runs its pages' code and checks what they print
#   make docs-test  the site in a browser: search, navigation, both themes, wide and narrow
#   make docs-serve the site, and a server that shows it at http://localhost:8000
#   make clean      remove the environments, caches and build outputs
#
# Another Python has an environment of its own: make test PYTHON=python3.13

PYTHON ?= python3
PYTEST_ARGS ?= -n 2
EXAMPLES ?= 500
EXTRAS ?= all

ifeq ($(PYTHON),python3)
VENV := .venv
else
VENV := .venv-$(shell $(PYTHON) -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
endif

IN_VENV := $(VENV)/bin/python
INSTALL_OPTIONS := --quiet --disable-pip-version-check --constraint .ci/constraints.txt
INSTALL := $(IN_VENV) -m pip install $(INSTALL_OPTIONS)
DEV := $(VENV)/.installed-dev
BENCH := $(VENV)/.installed-bench

# The site has an environment of its own: its tools need not agree with what the tests and the benchmarks install.
DOCS_VENV := $(subst .venv,.venv-docs,$(VENV))
IN_DOCS_VENV := $(DOCS_VENV)/bin/python
DOCS := $(DOCS_VENV)/.installed-docs
PORT ?= 8000

.PHONY: demo test lint fuzz coverage examples bench dist docs docs-test docs-serve clean

demo: $(DEV)
	$(IN_VENV) examples/01_train_a_classifier.py

test: $(DEV)
	$(IN_VENV) -m pytest $(PYTEST_ARGS) tests --doctest-modules --doctest-ignore-import-errors qmljax

lint: $(DEV)
	$(IN_VENV) -m ruff check .
	$(IN_VENV) -m ruff format --check .
	$(IN_VENV) -m mypy

fuzz: $(DEV)
	QMLJAX_FUZZ=$(EXAMPLES) $(IN_VENV) -m pytest -s tests/_circuit/test_properties.py

coverage: $(DEV)
	$(IN_VENV) -m pytest $(PYTEST_ARGS) tests --doctest-modules --doctest-ignore-import-errors qmljax \
		--cov=qmljax --cov-report=term:skip-covered --cov-report=html:build/coverage

examples: $(DEV)
	$(IN_VENV) -m docs._site.examples

bench: $(BENCH)
	$(IN_VENV) -m benchmarks

dist: $(DEV)
	$(IN_VENV) .ci/dist.py --extras $(EXTRAS)

docs: $(DOCS)
	$(IN_DOCS_VENV) -m sphinx --jobs 2 --fresh-env --fail-on-warning --nitpicky -d docs/_build/doctrees docs docs/_build/html

docs-test: $(DOCS)
	$(IN_DOCS_VENV) -m pytest -rs tests/site

docs-serve: docs
	@echo "The site is at http://localhost:$(PORT)."
	$(IN_DOCS_VENV) -m http.server --bind 127.0.0.1 --directory docs/_build/html $(PORT)

clean:
	rm -rf .venv .venv-python* .venv-docs* build dist .pytest_cache .hypothesis .ruff_cache .mypy_cache .coverage examples/figures
	rm -rf docs/_build docs/api docs/gallery $(patsubst %,docs/%.md,benchmarks changelog citing contributing papers)
	find qmljax tests examples benchmarks -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true

# The build backend is installed first, so that it is pinned too: pip's build isolation ignores constraints.
$(DEV): pyproject.toml .ci/constraints.txt
	@echo "Installing qmljax and its tools into $(VENV): a few minutes the first time."
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) hatchling editables
	$(INSTALL) --no-build-isolation --editable '.[dev]'
	@touch $@

$(BENCH): $(DEV)
	@echo "Installing the libraries to compare with into $(VENV)."
	$(INSTALL) --no-build-isolation --editable '.[bench]'
	@touch $@

$(DOCS): pyproject.toml .ci/constraints.txt
	@echo "Installing qmljax and what builds its site into $(DOCS_VENV): a few minutes the first time."
	$(PYTHON) -m venv $(DOCS_VENV)
	$(IN_DOCS_VENV) -m pip install $(INSTALL_OPTIONS) hatchling editables
	$(IN_DOCS_VENV) -m pip install $(INSTALL_OPTIONS) --no-build-isolation --editable '.[docs]'
	@touch $@
