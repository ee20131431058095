# Every word sets up what it needs in .venv, with plain pip.
.PHONY: demo test test-faults test-notebooks check bench reproduce clean

PYTHON ?= python3
RUN := .venv/bin/
# The Chinese ones have the same code, which a test compares.
NOTEBOOKS := $(filter-out %.zh.py,$(wildcard docs/notebooks/*.py))

.venv/ready: pyproject.toml
	$(PYTHON) -m venv .venv
	$(RUN)python -m pip install --quiet --disable-pip-version-check 'torch>=2.11,<2.14'
	$(RUN)python -m pip install --quiet --disable-pip-version-check --editable '.[test,quality]'
	touch .venv/ready

demo: .venv/ready  ## train on the embedded songs, sing, and say what to try next
	$(RUN)python -m rondeau.cli.demo

test: .venv/ready  ## all tests
	$(RUN)python -m pytest --numprocesses 2

test-faults: .venv/ready  ## trainings killed at every file operation, disks that fail: minutes, with figures
	$(RUN)python -m pytest --numprocesses 2 --long tests/faults

test-notebooks: .venv/ready  ## docs/notebooks in full, into build/notebooks, with what they print and draw
	$(RUN)python -m pip install --quiet --disable-pip-version-check --editable '.[notebooks]'
	mkdir -p build/notebooks
	for source in $(basename $(notdir $(NOTEBOOKS))); do \
	  $(RUN)jupytext --quiet --to ipynb --output build/notebooks/$$source.ipynb docs/notebooks/$$source.py || exit; \
	done
	$(RUN)python -m pytest --nbmake --nbmake-timeout=600 --overwrite build/notebooks

check: .venv/ready  ## style, types and the direction of imports
	$(RUN)ruff check .
	$(RUN)ruff format --check .
	$(RUN)mypy
	$(RUN)lint-imports --no-cache

bench: .venv/ready  ## steps and generation beside their baselines and floors, a busy core, memory, a corpus's size
	$(RUN)python benchmarks/step.py
	$(RUN)python benchmarks/generation.py
	$(RUN)python benchmarks/busy.py
	$(RUN)python benchmarks/memory.py
	$(RUN)python benchmarks/corpus.py

reproduce: .venv/ready  ## the notebook's experiments: make reproduce CORPUS=jaychou_lyrics.txt.zip
	$(RUN)rondeau reproduce --corpus $(CORPUS) --out reproduction

clean:
	rm -rf .venv build .mypy_cache .pytest_cache .ruff_cache
