"""What a report needs of the store, and no more: tests hand in a source that lives in memory. ``harness.store.Store`` is one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from harness.judgestats import Given
from harness.model import Item, Ledger, RunRecord, ScoreRow, Verdict


class Decided(Protocol):
    """A stored verdict and the run it was decided against (None: there was no baseline)."""

    @property
    def verdict(self) -> Verdict: ...
    @property
    def baseline_run_id(self) -> str | None: ...


class CapabilityMean(Protocol):
    """One capability of one stored run, computed by a query; see harness.lineage."""

    @property
    def run_id(self) -> str: ...
    @property
    def capability(self) -> str: ...
    @property
    def mean(self) -> float | None: ...
    @property
    def cases(self) -> str: ...
    @property
    def first_seen(self) -> float: ...


class Timings(Protocol):
    """Serving figures of a run's successful responses, computed by a query. Times in seconds; None: not measured."""

    @property
    def n(self) -> int: ...
    @property
    def n_cached(self) -> int: ...
    @property
    def ttft_p50_s(self) -> float | None: ...
    @property
    def ttft_p95_s(self) -> float | None: ...
    @property
    def total_p50_s(self) -> float | None: ...
    @property
    def total_p95_s(self) -> float | None: ...
    @property
    def prompt_tokens(self) -> int: ...
    @property
    def completion_tokens(self) -> int: ...


class ReportSource(Protocol):
    """The store as reports see it."""

    def run(self, reference: str, /) -> RunRecord: ...

    def verdict(self, run_id: str, baseline_run_id: str | None = None, /) -> Decided | None: ...

    def items(self, run_id: str, *, case_ids: Sequence[str] | None = None) -> Iterator[Item]: ...

    def score_rows(self, run_id: str, /) -> Iterator[ScoreRow]: ...

    def ledger(self, run_id: str, /) -> Ledger: ...

    def latencies(self, run_id: str, /) -> Timings: ...

    def noise(self, suite: str, /) -> Decided | None:
        """The latest A/A comparison of a suite, if one was made."""

    def suite(self, suite_hash: str, /) -> tuple[str, str] | None:
        """Source and JSON of a suite as it was stored with its runs."""

    def runs(self, suite: str, /) -> Sequence[RunRecord]:
        """All runs of the suite with this name."""

    def judgments(self, run_id: str, /) -> Iterator[Given]:
        """What judges said of a run's answers."""

    def capability_means(self, run_ids: Sequence[str], /) -> Sequence[CapabilityMean]: ...
