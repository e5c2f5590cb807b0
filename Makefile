# What a newcomer runs: `make score` and `make test`. Each makes the environment that it needs in .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# The dataset that `make score` writes. To join the scores with a benchmark's accuracies, say where those are:
#   make score ACCURACIES=path/to/NATS-tss-v1_0-3ffb9-simple
#   make score ACCURACIES=table.parquet MAP="arch_id=arch cifar10/test/200=accuracy"
OUTPUT ?= scores-demo

.PHONY: score test check pytest cluster-test chaos fuzz clean
.DEFAULT_GOAL := score

score: $(VENV)/installed
	$(BIN)/naswot-ray score --output $(OUTPUT) --limit 200 --batch-size 16 --batch-size 32 --seed 0 --seed 1 --shard-size 25 \
		$(if $(ACCURACIES),--accuracies "$(ACCURACIES)") $(foreach entry,$(MAP),--map "$(entry)")

# The checks run beside the tests. Both run to the end, and a failure of either gives a failing exit status.
test: $(VENV)/installed
	$(MAKE) --no-print-directory --jobs=2 --keep-going check pytest

pytest: $(VENV)/installed
	$(BIN)/python -m pytest --numprocesses=auto --durations=10

# Runs `ray up`, a job and `ray down` on a cluster of namespaces. Also part of `make test`. It needs root on Linux.
cluster-test: $(VENV)/installed
	$(BIN)/python -m pytest tests/faults/sandbox/test_up_and_down.py

# Runs jobs on such a cluster while machines, networks and processes fail at random: make chaos MINUTES=30 SEED=7
chaos: MINUTES ?= 10
chaos: SEED ?= $(shell date +%s)
chaos: $(VENV)/installed
	NASWOT_RAY_CHAOS_MINUTES=$(MINUTES) NASWOT_RAY_CHAOS_SEED=$(SEED) $(BIN)/python -m pytest -s tests/faults/sandbox/test_chaos.py

# Damages files of every kind that the package reads, and checks that each is refused in one line or does no harm:
#   make fuzz MINUTES=30 SEED=7
fuzz: MINUTES ?= 10
fuzz: SEED ?= $(shell date +%s)
fuzz: $(VENV)/installed
	$(BIN)/python -m tests.fuzz --minutes $(MINUTES) --seed $(SEED)

check: $(VENV)/installed
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy

clean:
	rm -rf $(VENV) scores-demo

# A marker file instead of the folder itself, so that an installation that broke off is done again.
$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip==26.3"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --build-constraint constraints.txt --editable ".[dev]"
	touch $@
