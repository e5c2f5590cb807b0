"""A run's progress as metrics of the Ray cluster, for its dashboard and its Prometheus endpoint."""

from __future__ import annotations

from collections.abc import Mapping

from ray.util.metrics import Counter, Gauge

from naswot_ray.run.progress import RunProgress
from naswot_ray.run.receipt import Receipt, RunTable

SKIPPED = "skipped"
"""The status tag of rows that were in the dataset already."""


class MeteredRunProgress:
    """Updates Ray's metrics, and passes every call on to another `RunProgress`.

    The metrics, all with the tag `run_id`:

    - `naswot_ray_rows_total` (tags `table` and `status`): rows done; `failed` includes rows in which only a measure failed;
    - `naswot_ray_events_total`: notes, such as that a worker died or that storage had to be tried again;
    - `naswot_ray_rows_wanted` (tag `table`): rows to do.

    Args:
        progress: what shows the run to people.
        run_id: the value of the tag `run_id`.
        wanted: table -> rows to do.
    """

    def __init__(self, progress: RunProgress, run_id: str, wanted: Mapping[RunTable, int]) -> None:
        self._progress = progress
        self._rows = Counter("naswot_ray_rows", "Rows done, by table and status.", ("run_id", "table", "status"))
        self._events = Counter("naswot_ray_events", "Events such as a lost worker, after which the run went on.", ("run_id",))
        self._wanted = Gauge("naswot_ray_rows_wanted", "Rows that the run has to do, by table.", ("run_id", "table"))
        for metric in (self._rows, self._events, self._wanted):
            metric.set_default_tags({"run_id": run_id})
        for table, num_rows in wanted.items():
            self._wanted.set(num_rows, {"table": table})

    def begin(self) -> None:
        self._progress.begin()

    def advance(self, table: RunTable, receipt: Receipt) -> None:
        for status, count in {**receipt.counts, SKIPPED: receipt.skipped}.items():
            if count:
                self._rows.inc(count, {"table": table, "status": status})
        self._progress.advance(table, receipt)

    def note(self, message: str) -> None:
        self._events.inc()
        self._progress.note(message)

    def tick(self) -> None:
        self._progress.tick()
