"""What a user can set, and what it is when nothing is said: each default here, once."""

import os

# cores that this process may use
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

WORKERS_PER_CORE = 3  # each waits where a probe measures time
WORKERS = WORKERS_PER_CORE * CORES  # --workers: submissions observed at once
PROBE_SECONDS = 20.0  # --limit: what one probe may take
NOTEBOOK_PROBE_SECONDS = 10.0  # the same under `check(…)` in a notebook, where somebody is waiting
SANDBOX = "full"  # --sandbox
ON = "local"  # --on: where submissions are observed
VERIFY_SEED = 1  # --seed of `verify`; a class's own is drawn, see classes/seed.py
