# One command for each thing. Python 3.11 or newer and make are all that must be there; everything lies in .venv.
#   make demo                                   restyle a sample catalogue on this machine
#   make demo CATALOGUE=folder STYLE=picture    the same with your own pictures
#   make test                                   all tests, against servers that they start themselves
#   make bench                                  queue and stream beside their peers: benchmarks.queue, .recovery, .stream
#   make chaos                                  break everything, over and over, for hours
#   make check                                  format, lint, types, import layers, deployment files

PYTHON ?= python3
UV := 0.13.9
TORCH := 2.13.0
BIN := .venv/bin
# pip's variable serves both installers: a folder of wheels, for example of torch for CPUs, which is far smaller.
export UV_FIND_LINKS := $(or $(UV_FIND_LINKS),$(PIP_FIND_LINKS))
# Python keeps what it has compiled, also where the environment forbids it, as images do: otherwise each of the hundreds
# of processes that the tests start compiles torch and all else anew, for three seconds.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test bench chaos check check-deploy format docs venv constraints clean
.DEFAULT_GOAL := demo

demo: .venv/embedded.stamp
	@# 3 says that some pictures did not succeed: the demo has named them, and make need not call that an error.
	@$(BIN)/restyle demo $(if $(CATALOGUE),--catalogue '$(CATALOGUE)') $(if $(STYLE),--style '$(STYLE)') || test $$? = 3

# By file, so that what a file's tests share is made once. Most of them wait for processes, so there is one more of ours
# than there are cores: see tests/conftest.py.
# Real processes on a busy machine: a test that fails is run once more, and the summary names it as a RERUN.
test: .venv/test.stamp
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder --reruns 1

bench: .venv/test.stamp .venv/peers.stamp
	$(BIN)/python -m benchmarks.queue $(BENCH)
	$(BIN)/python -m benchmarks.recovery
	$(BIN)/python -m benchmarks.stream

# The faults of docs/promises.md at length: hours. CHAOS_SEED=… repeats a run.
chaos: .venv/test.stamp
	CHAOS_DOSE=long $(BIN)/python -m pytest tests/chaos tests/jobs/test_lease_machine.py -s -o timeout=14400

check: .venv/test.stamp check-deploy
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check-deploy: .venv/test.stamp
	$(BIN)/python -m deploy.lint

format: .venv/test.stamp
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: .venv/test.stamp
	$(BIN)/python -m restyle.reference docs/cli.md
	$(BIN)/python -m deploy.settings_reference docs/reference/settings.md
	$(BIN)/python -m api.openapi > docs/reference/openapi.json

venv: .venv/test.stamp

# Pins of everything that the tests need, and so of every part. torch is named: its newer versions bring CUDA along.
constraints: .venv/uv.stamp
	printf '# Made by "make constraints" from pyproject.toml. One version of everything, for every install.\n' > $@.new
	echo torch==$(TORCH) | $(BIN)/uv pip compile --quiet --upgrade --no-header --no-annotate --extra test --extra peers \
		pyproject.toml - | sed 's/+cpu$$//' >> $@.new
	mv $@.new $@.txt

clean:
	rm -rf .venv demo restyle-data

.venv/%.stamp: .venv/uv.stamp pyproject.toml constraints.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python -c constraints.txt -e '.[$*]'
	@touch $@

.venv/uv.stamp:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit(1)' || { \
		echo "Restyle needs Python 3.11 or newer: make PYTHON=python3.12, for example." >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet uv==$(UV)
	@touch $@
