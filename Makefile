# Two commands do everything: `make quickstart` trains a model and completes with it, `make test` checks the project.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
MINUTES ?= 3
WORKERS ?= $(shell n=$$(nproc 2> /dev/null || echo 2); echo $$((n < 3 ? 3 : n > 4 ? 4 : n)))

.PHONY: quickstart test check fast slow browser network latex paper recording sbom site clean

quickstart: $(VENV)/.installed
	@$(BIN)/axl compile
	@$(BIN)/axl quickstart --minutes $(MINUTES)

test: $(VENV)/.dev check fast slow

check: $(VENV)/.dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

# Three processes keep two cores busy, since many tests wait; each has one thread. Slow tests of one file stay together, which
# share what takes long to make.
fast: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/pytest -m "not slow" -n $(WORKERS) --dist worksteal

slow: $(VENV)/.dev browser network latex
	OMP_NUM_THREADS=1 $(BIN)/pytest -m slow -n $(WORKERS) --dist loadfile

# The documentation as a site in build/site; `.venv/bin/mkdocs serve` while writing.
site: $(VENV)/.dev
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# The paper in build/paper/axl.pdf.
paper: $(VENV)/.dev
	@$(BIN)/python -m benchmarks.paper
	@cd docs/paper && latexmk -pdf -interaction=nonstopmode -halt-on-error -output-directory=../../build/paper axl.tex

# The moving picture of the README, from what the commands print.
recording: $(VENV)/.dev
	@$(BIN)/python -m benchmarks.recording

# What is installed here, with versions and licences, as a CycloneDX file in build/.
sbom: $(VENV)/.dev
	@mkdir -p build && $(BIN)/cyclonedx-py environment $(VENV) --pyproject pyproject.toml --output-reproducible --of JSON -o build/axl.cdx.json

# The paper is built by a test; it needs LaTeX.
latex:
	@command -v latexmk > /dev/null || if [ "$$CI" = true ]; then apt-get update -q && \
	apt-get install -y -q --no-install-recommends latexmk texlive-latex-recommended texlive-fonts-recommended cm-super; \
	else echo "no latexmk here: the paper is not built (apt-get install latexmk texlive-latex-recommended cm-super)"; fi

# The playground is tested in Chromium; CI installs it, a person is asked to.
browser:
	@command -v chromium > /dev/null || if [ "$$CI" = true ]; then apt-get update -q && apt-get install -y -q chromium; \
	else echo "no chromium here: the tests of the playground are skipped (apt-get install chromium)"; fi

# The mesh is tested on hosts of its own, which are network namespaces; they need root besides.
network:
	@command -v tc > /dev/null || if [ "$$CI" = true ]; then apt-get update -q && apt-get install -y -q iproute2; \
	else echo "no ip and tc here: the tests of the mesh on several hosts are skipped (apt-get install iproute2)"; fi

# The version that runs must be at least 3.11; ensure that in words before pip says it in its own.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "AXL needs Python 3.11 or newer; try: make PYTHON=python3.12 $(MAKECMDGOALS)")'
	$(PYTHON) -m venv $(VENV)

# PyPI's PyTorch for Linux comes with CUDA, several GB; PyTorch's own index has the build for CPUs. Whoever has configured an index
# for pip, or any other index, keeps to that.
TORCH_INDEX = https://download.pytorch.org/whl/cpu
WITH_INDEX = if [ "$$(uname)" = Linux ] && ! $(BIN)/pip config list | grep -q index-url; \
	then export PIP_EXTRA_INDEX_URL=$(TORCH_INDEX); fi

$(VENV)/.installed: $(BIN)/python pyproject.toml constraints.txt
	$(WITH_INDEX); $(BIN)/pip install -q -e '.[report,train]' -c constraints.txt
	@touch $@

$(VENV)/.dev: $(BIN)/python pyproject.toml constraints.txt
	$(WITH_INDEX); $(BIN)/pip install -q -e '.[dev]' -c constraints.txt
	@touch $@ $(VENV)/.installed

clean:
	rm -rf $(VENV) .venv-clients build src/*.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
