# `make` alone lists what can be made. Written for GNU make 3.81 and newer.
.DEFAULT_GOAL := help
.PHONY: help lab test test-long script notebooks workbook sweeps gallery bench lint format lock clean setup

SHELL := /bin/sh
PY := .venv/bin/python

# A learner's own settings for Python must not reach into the course's.
unexport PYTHONHOME PYTHONPATH

help: ## list the targets
	@echo 'make TARGET, where TARGET is one of'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' Makefile

lab: setup workbook ## open the course in JupyterLab (PORT=8889, LAB_ARGS='...', PYTHON=...)
	@tools/lab.sh

test: setup ## run every test and every lesson
	@tools/test.sh

test-long: setup ## prove more, before a delivery (COURSE_SEEDS=100)
	@tools/test.sh long

script: setup ## write a lesson as a script to edit (LESSON=03)
	@$(PY) -m tools.lessons to-script $(LESSON)

notebooks: setup ## take edited scripts back and execute the lessons (LESSON=03)
	@$(PY) -m tools.lessons execute $(LESSON)

workbook: setup ## make or refresh the learner's copies in workbook/
	@$(PY) -m tools.lessons workbook

sweeps: setup ## train what is missing of the long runs (WORKERS=2, or SCHEDULER=tcp://...)
	@$(PY) tools/sweeps.py $(WORKERS)

gallery: setup ## train the model of lesson 10's gallery on (STEPS=30000; stop it at will)
	@$(PY) tools/gallery.py $(STEPS)

bench: setup ## time training against plain loops, on MNIST (5 minutes; BENCH_ARGS='...')
	@$(PY) tools/bench.py $(BENCH_ARGS)

lint: setup ## check style and types
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

format: setup ## lay out the code
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

lock: ## write the exact versions from pyproject.toml (needs uv)
	@tools/lock.sh

clean: ## remove what the tools built; keeps workbook/ and .venv
	rm -rf build .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
	find course_utils tests tools -name __pycache__ -type d -prune -exec rm -rf {} +

setup:
	@tools/setup.sh
