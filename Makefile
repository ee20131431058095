# Every word sets up what it needs in .venv, with plain pip.
.PHONY: demo serve test test-faults test-lm-eval test-notebooks check bench bench-serve bench-processes reproduce clean

PYTHON ?= python3
RUN := .venv/bin/
# The Chinese ones have the same code, which a test compares.
NOTEBOOKS := $(filter-out %.zh.py,$(wildcard docs/notebooks/*.py))

.venv/ready: pyproject.toml
	$(PYTHON) -m venv .venv
	$(RUN)python -m pip install --quiet --disable-pip-version-check 'torch>=2.11,<2.14'
	$(RUN)python -m pip install --quiet --disable-pip-version-check --editable '.[serve,test,quality]'
	touch .venv/ready

demo: .venv/ready  ## train on the embedded songs, sing, and say what to try next
	$(RUN)python -m rondeau.cli.demo

serve: .venv/ready  ## the page and the API of the newest demo model, trained if there is none
	@ls runs/demo-*/manifest.json >/dev/null 2>&1 || $(RUN)python -m rondeau.cli.demo
	$(RUN)rondeau serve "$$(ls -dt runs/demo-* | head -n 1)"

test: .venv/ready  ## all tests
	$(RUN)python -m pytest --numprocesses 2

test-faults: .venv/ready  ## trainings killed at every file operation, disks that fail, processes and hosts lost: 22 minutes, with figures
	$(RUN)python -m pytest --numprocesses 2 --long tests/faults tests/processes

test-notebooks: .venv/ready  ## docs/notebooks in full, into build/notebooks, with what they print and draw
	$(RUN)python -m pip install --quiet --disable-pip-version-check --editable '.[notebooks]'
	mkdir -p build/notebooks
	for source in $(basename $(notdir $(NOTEBOOKS))); do \
	  $(RUN)jupytext --quiet --to ipynb --output build/notebooks/$$source.ipynb docs/notebooks/$$source.py || exit; \
	done
	$(RUN)python -m pytest --nbmake --nbmake-timeout=600 --overwrite build/notebooks

test-lm-eval: .venv/ready .venv-lm-eval/ready  ## lm-evaluation-harness beside evaluate, over HTTP
	$(RUN)python benchmarks/harness.py .venv-lm-eval/bin/lm_eval

.venv-lm-eval/ready:
	$(PYTHON) -m venv .venv-lm-eval
	.venv-lm-eval/bin/python -m pip install --quiet --disable-pip-version-check 'torch>=2.11,<2.14'
	.venv-lm-eval/bin/python -m pip install --quiet --disable-pip-version-check 'lm_eval[api]==0.4.13'
	touch .venv-lm-eval/ready

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

bench-serve: .venv/ready  ## a server under load: 64 streams, first characters, clients that go
	$(RUN)python benchmarks/serving.py

bench-processes: .venv/ready  ## one training in two processes beside two apart, the cost model, and docs/scaling.md's tables
	mkdir -p build
	$(RUN)python benchmarks/processes.py --json build/processes.json
	$(RUN)python benchmarks/scaling.py build/processes.json --page docs/scaling.md

reproduce: .venv/ready  ## the notebook's experiments: make reproduce CORPUS=jaychou_lyrics.txt.zip
	$(RUN)rondeau reproduce --corpus $(CORPUS) --out reproduction

clean:
	rm -rf .venv .venv-lm-eval build .mypy_cache .pytest_cache .ruff_cache
