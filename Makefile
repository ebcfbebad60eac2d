# Everything runs in .venv, made from constraints.txt; only Python 3.11+ and make are needed.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test test-slow lint docs bench clean

demo: $(VENV)/installed
	@run=runs/quick-$$(date +%Y%m%d-%H%M%S); \
	$(BIN)/orchid-genomics pretrain recipes/yeast/quick.toml --processes 2 -o $$run && \
	printf '%s\n' '' "curve: $$run/curve.png" '' \
	    'Next, with the trained model that comes along, with yours, and with your own genome:' \
	    '  $(BIN)/orchid-genomics score-variants yeast recipes/yeast/sacCer3.fa.gz recipes/yeast/example.vcf -o scored.vcf' \
	    "  $(BIN)/orchid-genomics info $$run" \
	    '  $(BIN)/orchid-genomics init YOUR_GENOME.fa.gz'

# Two processes of one thread each: threads of two would wait for each other's cores.
test: $(VENV)/installed-dev lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

test-slow: $(VENV)/installed-dev
	$(BIN)/python -m pytest -m slow

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# A warning is an error; open build/site/index.html.
docs: $(VENV)/installed-dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

bench: $(VENV)/installed-dev
	$(BIN)/python benchmarks/loader.py
	$(BIN)/python benchmarks/operator.py --quick
	$(BIN)/python benchmarks/block.py --quick

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP) torch
	$(PIP) -e .
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(PIP) -e ".[dev]"
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info
