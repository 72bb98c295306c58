"""Which runs make a lineage, and the queries it is made from, against the score rows of the same store."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from support.runs import CANDIDATE, make_failure, make_record, make_request, make_response, make_score

from harness.lineage import lineage
from harness.model import RunRecord, Split
from harness.powercard import case_means
from harness.store import Store

HOSTILE = "dates'; DROP TABLE runs"


@dataclass(frozen=True)
class Mean:
    run_id: str
    capability: str
    mean: float | None
    cases: str = "c"
    came: float | None = None

    @property
    def first_seen(self) -> float:
        return float(self.run_id.removeprefix("run")) if self.came is None else self.came


def run(number: int, **changes: Any) -> RunRecord:
    candidate = replace(CANDIDATE, digest=f"{number:064x}")
    return make_record(f"run{number}", **{"status": "complete", "started_at": float(number), "candidate": candidate} | changes)


def test_checkpoints_in_the_order_of_time() -> None:
    runs = [run(3), run(1), run(2)]
    means = [Mean(f"run{i}", "math", i / 10) for i in (1, 2, 3)] + [Mean("run2", "dates", None)]
    means += [Mean("run1", "dates", 0.5), Mean("run3", "dates", 0.75)]
    found = lineage(runs, means)
    assert [one.id for one in found.checkpoints] == ["run1", "run2", "run3"]
    assert found.scores == {"dates": (0.5, None, 0.75), "math": (0.1, 0.2, 0.3)}
    assert found.left_out == {}


def test_what_is_left_out_and_why() -> None:
    checks = {"checks": "new"}
    runs = [
        run(1, provenance={"checks": "old"}),
        run(2, provenance=checks, status="interrupted"),
        run(3, provenance=checks, plan={"aa": True}),
        run(4, provenance=checks, plan={"split": "dev"}),
        run(5, provenance=checks),
        run(6, provenance=checks),
        run(7, provenance=checks, candidate=run(5).candidate),
        run(8, provenance=checks),
    ]
    means = [Mean(f"run{i}", "math", 0.5, "other" if i == 6 else "c") for i in range(1, 9)]
    found = lineage(runs, means)
    assert [one.id for one in found.checkpoints] == ["run5", "run8"]
    assert found.left_out == {
        "other cases or checks": 2,
        "not complete": 1,
        "A/A": 1,
        "not the gate split": 1,
        "the same weights again": 1,
    }
    assert [one.id for one in lineage(runs, means, until=runs[4]).checkpoints] == ["run5"]
    old = lineage(runs, means, until=runs[0])
    assert ([one.id for one in old.checkpoints], old.left_out) == (["run1"], {})
    assert lineage([], []).checkpoints == ()


def test_a_baseline_that_is_run_again_stays_where_it_came() -> None:
    """The store keeps one run of it, with the time of its last start."""
    runs = [run(1, started_at=99.0), run(2), run(3)]
    found = lineage(runs, [Mean(f"run{i}", "math", i / 10) for i in (1, 2, 3)])
    assert [one.id for one in found.checkpoints] == ["run1", "run2", "run3"]


def test_a_hundred_checkpoints_at_most() -> None:
    found = lineage([run(i) for i in range(120)], [Mean(f"run{i}", "math", 0.5) for i in range(120)])
    assert (len(found.checkpoints), found.checkpoints[0].id, found.left_out) == (100, "run20", {"older": 20})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Two capabilities, two samples a case, a failure, an unscored answer, dev cases and metadata."""
    store = Store.open(tmp_path / "store")
    for name in ("run1", "run2"):
        requests = [
            make_request(
                first + i, sample, capability=capability, split=Split.DEV if i == 9 else Split.GATE, metadata=metadata(i)
            )
            for first, capability in ((0, "math"), (100, HOSTILE))
            for i in range(10)
            for sample in range(2)
        ]
        with store.begin_run(make_record(name), "", {}, requests) as writer:
            for request in requests:
                number = int(request.case.id, 16) % 100
                if number == 3 and request.sample == 1:
                    writer.add_response(request, make_failure(request))
                    continue
                response = make_response(request)
                writer.add_response(request, response)
                if number != 4:
                    writer.add_score(request, response, make_score((number * 7 % 11) / 11), "v1")
            writer.finish("complete")
    return store


def metadata(i: int) -> dict[str, Any]:
    return {"lang": ["zh", "<b>"][i % 2], "n": i, "nothing": None} if i % 3 else {}


def test_means_by_one_query_are_those_of_the_rows(store: Store) -> None:
    expected: dict[str, list[float]] = defaultdict(list)
    for (capability, _), mean in case_means(store.score_rows("run1")).items():
        expected[capability].append(mean)
    found = store.capability_means(["run1", "run2", "nowhere"])
    assert [(one.run_id, one.capability) for one in found] == [(i, n) for i in ("run1", "run2") for n in (HOSTILE, "math")]
    for one in found:
        assert one.mean == pytest.approx(sum(expected[one.capability]) / len(expected[one.capability]))
        assert (one.n_scored, one.n_planned) == (7, 9)
    assert {one.first_seen for one in found} == {100.0}  # both runs are of the same weights
    assert found[0].cases == found[2].cases  # the same cases in both runs
    assert found[0].cases != found[1].cases


def test_metadata_of_gate_cases(store: Store) -> None:
    found = store.case_metadata("run1")
    assert found == {
        (name, f"{first + i:016x}"): metadata(i) for first, name in ((0, "math"), (100, HOSTILE)) for i in range(9) if i % 3
    }
    assert store.case_metadata("nowhere") == {}
