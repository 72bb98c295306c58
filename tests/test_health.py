"""Suite health by hand and under any scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import pearsonr

from harness.health import CaseHealth, ScoredRun, State, SuiteHealth, examine
from harness.model import Gate, ItemStatus, ScoreRow, Split


@dataclass(frozen=True)
class Rule:
    margin: float = 0.05


def scored(digest: str, *scores: float | None, cluster: int = 0) -> ScoredRun:
    """cluster: so many neighbouring cases share one."""
    rows = [
        ScoreRow(
            f"c{i}",
            "cap",
            0,
            ItemStatus.SCORED if value is not None else ItemStatus.ERRORED,
            value,
            cluster=f"d{i // cluster}" if cluster else None,
        )
        for i, value in enumerate(scores)
    ]
    return ScoredRun.of(digest, rows)


def health(*runs: ScoredRun) -> SuiteHealth:
    return examine(runs, {"cap": Rule()}, Gate())


def cases(found: SuiteHealth) -> dict[str, CaseHealth]:
    return {case.case_id: case for case in found.cases}


def test_states_by_hand() -> None:
    found = health(scored("a", 1, 0, 1, 1, None), scored("b", 1, 0, 0, 1, 1), scored("a", 1, 0, 1, 0, None))
    assert {i: c.state for i, c in cases(found).items()} == {
        "c0": State.SATURATED,
        "c1": State.DEAD,
        "c2": State.ALIVE,
        "c3": State.NOISY,  # the same weights pass once and fail once
        "c4": State.UNTOLD,  # one candidate has a score
    }
    (row,) = found.capabilities
    assert (found.runs, found.candidates, row.n) == (3, 2, 5)
    assert row.flips == pytest.approx(1 / 4)  # one of four cases that both runs of a scored
    assert row.moving == 2  # c2, and c3, where a has .5 and b has 1
    assert found.cases[0].case_id == "c3"


def test_one_candidate_tells_nothing_of_saturation() -> None:
    found = health(scored("a", 1, 1, 0))
    assert {c.state for c in found.cases} == {State.UNTOLD}
    assert not found.capabilities[0].candidates_told
    assert (found.capabilities[0].flips, found.capabilities[0].discrimination, found.capabilities[0].assumed) == (
        None,
        None,
        True,
    )
    assert health() == SuiteHealth(0, 0, (), ())


def test_graded_cases_that_differ_are_alive_though_all_pass() -> None:
    found = health(scored("a", 0.6, 1.0), scored("b", 0.9, 1.0))
    assert {i: c.state for i, c in cases(found).items()} == {"c0": State.ALIVE, "c1": State.SATURATED}


def test_discrimination_is_the_item_rest_correlation() -> None:
    table = np.array([[1, 1, 1, 0], [1, 1, 0, 0], [1, 0, 0, 1], [0, 0, 0, 1]], dtype=float)  # the last case is inverted
    found = health(*(scored(f"m{i}", *row) for i, row in enumerate(table)))
    told = cases(found)
    for i in range(4):
        rest = np.delete(table, i, axis=1).mean(axis=1)
        assert told[f"c{i}"].discrimination == pytest.approx(pearsonr(table[:, i], rest).statistic)
    assert found.capabilities[0].inverted == ("c3",)
    assert found.cases[0].case_id == "c3"  # to be looked at first
    two = health(*(scored(f"m{i}", *row) for i, row in enumerate(table[:2])))
    assert two.capabilities[0].discrimination is None
    assert cases(two)["c0"].discrimination is None


def test_one_missing_score_does_not_silence_a_capability() -> None:
    found = cases(health(scored("a", 1, 1, 1), scored("b", 1, 1, 0), scored("c", 0, 0, 0), scored("d", None, 1, 0)))
    assert found["c1"].discrimination == pytest.approx(pearsonr([1, 1, 0, 1], [1, 0.5, 0, 0]).statistic)
    assert found["c0"].discrimination == pytest.approx(pearsonr([1, 1, 0], [1, 0.5, 0]).statistic)


def test_effective_n_and_the_margin() -> None:
    clustered = health(scored("a", *[1.0] * 60, cluster=3), scored("b", *[1.0] * 60, cluster=3)).capabilities[0]
    assert (clustered.clusters, clustered.effective) == (20, pytest.approx(20.0))
    alone = health(scored("a", *[1.0] * 60), scored("b", *[1.0] * 60)).capabilities[0]
    assert (alone.clusters, alone.effective) == (0, 60.0)
    assert alone.needed is not None
    assert clustered.needed is not None
    assert clustered.needed >= 3 * alone.needed - 2  # three cases are worth one
    assert not clustered.can_show_margin
    few = health(scored("a", *[1.0] * 12, cluster=3), scored("b", *[1.0] * 12, cluster=3)).capabilities[0]
    assert few.problem == "4 clusters, 10 needed"
    assert few.needed is None
    enough = health(scored("a", *[1.0] * 900), scored("b", *[1.0] * 900)).capabilities[0]
    assert enough.can_show_margin


def test_only_whole_gate_cases_count_and_samples_are_averaged() -> None:
    rows = [ScoreRow("c0", "cap", j, ItemStatus.SCORED, v) for j, v in enumerate((1.0, 0.0))]
    rows += [ScoreRow("c1", "cap", 0, ItemStatus.SCORED, 1.0), ScoreRow("c1", "cap", 1, ItemStatus.UNSCORED)]
    rows += [ScoreRow("c2", "cap", 0, ItemStatus.SCORED, 1.0, split=Split.DEV)]
    run = ScoredRun.of("a", rows)
    assert run.means == {("cap", "c0"): 0.5}
    assert run.passes == {("cap", "c0"): True}  # half of its samples
    assert set(run.clusters) == {("cap", "c0"), ("cap", "c1")}


_score = st.one_of(st.none(), st.sampled_from([0.0, 0.5, 1.0]), st.floats(0, 1))


@settings(deadline=None)
@given(
    st.integers(1, 6).flatmap(
        lambda n: st.lists(st.tuples(st.sampled_from("abcd"), st.lists(_score, min_size=n, max_size=n)), min_size=1, max_size=6)
    )
)
def test_any_scores_keep_the_arithmetic(runs: list[tuple[str, list[float | None]]]) -> None:
    found = health(*(scored(digest, *scores) for digest, scores in runs))
    (row,) = found.capabilities
    assert sum(row.states.values()) == row.n == len(found.cases)
    assert 0 <= row.moving <= row.n
    assert 0 < row.effective <= row.n
    assert row.flips is None or 0.0 <= row.flips <= 1.0
    for case in found.cases:
        assert case.passes <= case.runs <= len(runs)
        assert case.discrimination is None or -1.0 <= case.discrimination <= 1.0
        assert case.discrimination is None or found.candidates >= 3
    again = health(*(scored(digest, *scores) for digest, scores in [runs[0], *reversed(runs[1:])]))
    assert {c.case_id: c.state for c in again.cases} == {c.case_id: c.state for c in found.cases}
