# The two commands of the README. Each sets up .venv by itself; nothing else is needed but Python 3.11 to 3.14.
PYTHON ?= python3
# Processes side by side, each with its share of the cores: two cores are busy with two.
WORKERS ?= 2
VENV := .venv
INSTALLED := $(VENV)/.installed

.PHONY: setup demo test docs faults gpu catalogue documents format clean

demo: $(INSTALLED)
	$(VENV)/bin/python run_all.py --tasks cross_modal --jobs $(WORKERS)

# The environment alone.
setup: $(INSTALLED)

test: $(INSTALLED)
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest -n $(WORKERS) --dist loadgroup

# The site, in site/: open site/index.html. Its search needs a server: python -m http.server -d site
docs: $(INSTALLED)
	$(VENV)/bin/mkdocs build --strict

# A grid of three tasks, killed 50 times at random moments: minutes.
faults: $(INSTALLED)
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m tests.faults

# On a GPU, with real CIFAR-10 in DATA: tests, speed and a study in at most ten minutes, and results/gpu.json.
gpu: $(INSTALLED)
	$(VENV)/bin/python -m tests.gpu $(if $(DATA),--data-dir $(DATA))

# What is generated from the code: docs/baselines.md and the catalogue that --list reads.
catalogue: $(INSTALLED)
	$(VENV)/bin/python -m benchmark.catalogue

# What is generated from the archived records: the leaderboard, the numbers and pictures of docs/.
documents: $(INSTALLED)
	$(VENV)/bin/python -m benchmark.leaderboard build
	$(VENV)/bin/python -m benchmark.reporting.documents

format: $(INSTALLED)
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

clean:
	rm -rf $(VENV) site

# Versions come from constraints.txt: the ones that the tests are run with. Most modules of the libraries are never
# imported: Python compiles those that are.
$(INSTALLED): pyproject.toml setup.py constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info < (3, 15) else "Python 3.11 to 3.14 is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --no-compile --editable '.[test]' --constraint constraints.txt
	touch $@
