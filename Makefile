# Each target sets up what it needs, then runs one ordinary command.
PYTHON ?= python3
CORES ?= 4
PROFILE ?= reduced
MINUTES ?= 600
VENV := .venv
BIN := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
export MLFLOW_DISABLE_TELEMETRY := true

.PHONY: all setup study test test-slow test-older-torch test-cluster test-stores test-browser chaos audit bench docs lint mlflow pull clean

all: setup
	snakemake --cores $(CORES) all
	@echo "The report: reports/$$(hdkd profile)/report.html    Every run: make mlflow"

# A study that takes days, MINUTES at a time: run it again to continue. `hdkd borrow --state` tells how far
# it is, `hdkd import-runs --commit .` keeps what is finished in git.
study: setup
	nice -n 19 snakemake --cores 2 --config profile=$(PROFILE) -- data
	nice -n 19 hdkd borrow --profile $(PROFILE) --minutes $(MINUTES)

setup: $(VENV)/.installed

$(VENV)/.installed: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or later is needed, not " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-deps --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

test: setup
	ruff check .
	ruff format --check .
	mypy
	lint-imports
	pytest --numprocesses 2 --dist loadfile

# What takes minutes: a small fixed configuration trained again beside its recorded range, kills at every
# moment, a study carried away and home, controls, tuning and every method through the workflow, training with other CPUs' instructions,
# every benchmark at its smallest, the committed models on the real images.
test-slow: setup test-older-torch
	pytest -m slow --numprocesses 2 --dist loadfile --durations 20

# The tests of training with the torch that GPU machines have today, which is older than the pinned one, and a
# rehearsal of those of the GPU on a CPU. All other packages are those of the ordinary environment.
OLDER := .venv-older-torch
TRAINING := $(addprefix tests/unit/test_,$(addsuffix .py,augment checkpoint engine instruction_sets kept loader losses models parallel schedule training))
test-older-torch: setup $(OLDER)/.installed
	HDKD_TEST_DEVICE=cpu $(OLDER)/bin/python -m pytest --numprocesses 2 --dist loadfile $(TRAINING) tests/gpu

$(OLDER)/.installed: $(VENV)/.installed
	$(PYTHON) -m venv $(OLDER)
	$(OLDER)/bin/python -m pip install --quiet torch==2.11.0 torchvision==0.26.0
	$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' > $(OLDER)/others.pth
	mv $(OLDER)/others.pth "$$($(OLDER)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"
	touch $@

# The study on a SLURM of two nodes that it starts on this machine, as root.
SERVICES := .venv-services
test-cluster: setup $(SERVICES)/.installed
	command -v slurmctld munged > /dev/null || { apt-get update -qq && apt-get install -qq -y --no-install-recommends slurm-wlm munge; }
	$(SERVICES)/bin/python -m pytest -m cluster tests/cluster --durations 10

# Runs against an MLflow server on PostgreSQL, DVC and MLflow against a store that speaks S3, the study in pods.
test-stores: setup $(SERVICES)/.installed
	ls /usr/lib/postgresql/*/bin/initdb > /dev/null 2>&1 || { apt-get update -qq && apt-get install -qq -y --no-install-recommends postgresql; }
	$(SERVICES)/bin/python -m pytest -m stores tests/stores --durations 10

# The page of a model in Debian's Chromium, or in another that the machine has.
test-browser: setup $(SERVICES)/.installed
	command -v chromium || command -v chromium-browser || { apt-get update -qq && apt-get install -qq -y --no-install-recommends chromium; }
	$(SERVICES)/bin/python -m pytest -m browser tests/browser

# The ordinary environment, and beside it what clusters, stores and the browser's tests need.
$(SERVICES)/.installed: $(VENV)/.installed requirements-services.lock
	$(PYTHON) -m venv $(SERVICES)
	$(SERVICES)/bin/python -m pip install --quiet --no-deps --requirement requirements-services.lock
	$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' > $(SERVICES)/others.pth
	mv $(SERVICES)/others.pth "$$($(SERVICES)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"
	touch $@

# Kills, cuts off and damages what a study makes, and writes reports/reliability.md.
chaos: setup
	PYTHONPATH=tests python -m chaos

# Known vulnerabilities of the pinned packages, from the Python Package Index, in an environment of its own.
audit: setup
	$(PYTHON) -m venv .audit
	.audit/bin/python -m pip install --quiet pip-audit
	.audit/bin/pip-audit --strict --no-deps --disable-pip --requirement requirements.lock

# Writes reports/benchmarks.md; REFERENCE=PATH names a checkout of omarsherif200/HDKD to compare with.
bench: setup
	python -m benchmarks $(if $(REFERENCE),--reference $(REFERENCE))

# The documentation as a site, in site/.
docs: setup
	NO_MKDOCS_2_WARNING=1 mkdocs build --strict

lint: setup
	ruff check --fix .
	ruff format .
	mypy
	lint-imports
	snakemake --lint

mlflow: setup
	@echo "Every training: http://127.0.0.1:5000/#/experiments?workflowType=machine_learning"
	MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false mlflow ui --workers 1 --host 127.0.0.1 \
	  --backend-store-uri sqlite:///mlflow/mlflow.db

# After a clone: results from the DVC remote, and Snakemake told that they are up to date.
pull: setup
	dvc pull
	dvc status --quiet
	snakemake --touch --forceall --cores 1 all

clean:
	rm -rf data/raw data/prepared models mlflow logs .snakemake
