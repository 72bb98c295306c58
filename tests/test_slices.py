"""Slices: what counts as a value, which stand alone, the seesaw they take part in, and hostile metadata."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.suites import SMALL, faults_of, load_small, write_suite

from harness.comparison import compare_runs
from harness.decision import decide, find_seesaw
from harness.errors import UsageError
from harness.model import Gate, ItemStatus, Outcome, Role, ScoreRow, SliceComparison, Split
from harness.slices import LEAST, MOST, NONE, compare_slices, known_fields, values_of


@dataclass(frozen=True)
class Rule:
    role: Role = Role.PROTECTED
    margin: float = 0.1


RULES = {"cap": Rule()}


def row(i: int, value: float | None, **more: Any) -> ScoreRow:
    status = ItemStatus.SCORED if value is not None else ItemStatus.ERRORED
    return ScoreRow(f"{i:04d}", more.pop("capability", "cap"), 0, status, value, **more)


def sliced(
    ours: list[float | None], theirs: list[float | None], metadata: list[Any], *fields: str, gate: Gate | None = None
) -> Any:
    told = {("cap", f"{i:04d}"): found for i, found in enumerate(metadata) if found}
    rows = [[row(i, v) for i, v in enumerate(side)] for side in (ours, theirs)]
    return compare_slices(*rows, told, fields or ("lang",), RULES, gate or Gate())


@pytest.mark.parametrize(
    ("value", "values"),
    [
        ("en", ("en",)),
        ("", ("(empty)",)),
        (None, (NONE,)),
        ([], (NONE,)),
        (3, ("3",)),
        (3.5, ("3.5",)),
        (True, ("true",)),
        (["a", "b", "a", None], ("a", "b", NONE)),
        ({"b": 1, "a": 2}, ('{"a": 2, "b": 1}',)),
        ([["x"], "y"], ('[["x"], "y"]',)),
        ("<script>alert(1)</script>", ("<script>alert(1)</script>",)),
    ],
)
def test_values_by_hand(value: Any, values: tuple[str, ...]) -> None:
    assert values_of({"f": value}, "f") == values
    assert values_of({"other": 1}, "f") == (NONE,)


def test_fields_inside_fields_and_keys_with_dots() -> None:
    metadata = {"source": {"lang": "de"}, "a.b": "whole", "a": {"b": "inner"}}
    assert values_of(metadata, "source.lang") == ("de",)
    assert values_of(metadata, "a.b") == ("whole",)
    assert values_of({"source": "text"}, "source.lang") == (NONE,)
    assert known_fields([metadata]) == {"source", "source.lang", "a.b", "a"}


def test_long_values_that_begin_alike_stay_apart() -> None:
    (one,), (two,) = values_of({"f": "x" * 5000 + "1"}, "f"), values_of({"f": "x" * 5000 + "2"}, "f")
    assert one != two
    assert len(one) < 150


def test_each_slice_is_compared_as_its_cases_alone() -> None:
    metadata = [{"lang": "en" if i < 30 else "zh"} for i in range(60)]
    ours: list[float | None] = [1.0] * 60
    theirs: list[float | None] = [1.0] * 30 + [0.0] * 20 + [1.0] * 10
    en, zh = sliced(ours, theirs, metadata)
    assert (en.value, en.n_paired, en.paired.delta) == ("en", 30, 0.0)
    assert (zh.value, zh.n_paired, zh.baseline_mean, zh.candidate_mean) == ("zh", 30, pytest.approx(1 / 3), 1.0)
    (alone,) = compare_runs([row(i, 1.0) for i in range(30, 60)], [row(i, theirs[i]) for i in range(30, 60)], RULES, Gate())
    assert zh.paired == alone.paired
    assert zh.name == "cap [lang: zh]"


def test_small_values_are_put_together_or_undecided() -> None:
    metadata = [{"lang": "en"}] * 20 + [{"lang": f"rare{i // 2}"} for i in range(12)]
    ones: list[float | None] = [1.0] * 32
    _, rare = sliced(ones, ones, metadata)
    assert (rare.value, rare.values, rare.n_paired) == ("6 rare values", 6, 12)
    assert rare.paired is not None
    _, few = sliced(ones[:24], ones[:24], metadata[:20] + [{"lang": "fr"}] * 4)
    assert (few.value, few.values, few.paired) == ("fr", 1, None)
    assert few.reason == f"4 paired cases, and a slice needs at least {LEAST}"
    assert few.candidate_mean == 1.0


def test_few_rare_values_are_told_one_by_one() -> None:
    found = sliced([1.0] * 12, [1.0] * 12, [{"lang": "en"}] * 5 + [{"lang": "zh"}] * 7)
    assert [(s.value, s.n_paired, s.paired) for s in found] == [("zh", 7, None), ("en", 5, None)]


def test_cases_without_the_field_are_a_slice_of_their_own() -> None:
    metadata = [{"lang": "en"}] * 15 + [{}] * 15
    ones: list[float | None] = [1.0] * 30
    assert [(s.value, s.n_paired) for s in sliced(ones, ones, metadata)] == [(NONE, 15), ("en", 15)]


def test_a_capability_of_one_value_is_no_slice() -> None:
    assert sliced([1.0] * 20, [1.0] * 20, [{"lang": "en"}] * 20) == ()


def test_tags_put_a_case_into_each_of_its_slices() -> None:
    metadata = [{"lang": ["a", "b"]}] * 12 + [{"lang": ["b"]}] * 12
    found = {s.value: s.n_paired for s in sliced([1.0] * 24, [0.0] * 24, metadata)}
    assert found == {"b": 24, "a": 12}


def test_missing_scores_do_not_pair() -> None:
    metadata = [{"lang": "en"}] * 12 + [{"lang": "zh"}] * 12
    theirs: list[float | None] = [1.0] * 24
    en, zh = sliced([None] * 3 + [1.0] * 21, theirs, metadata)
    assert (en.n_planned, en.n_paired, en.paired) == (12, 9, None)
    assert zh.n_paired == 12


def test_huge_cardinality_stays_small() -> None:
    n = 3000
    metadata = [{"id": i, "lang": f"v{i % 100}"} for i in range(n)]
    scores: list[float | None] = [float(i % 2) for i in range(n)]
    found = sliced(scores, scores, metadata, "id", "lang")
    by_id = [s for s in found if s.field == "id"]
    assert [(s.values, s.n_paired, s.paired, s.reason) for s in by_id] == [(n, n, None, f"none of {n} values has 10 cases")]
    by_lang = [s for s in found if s.field == "lang"]
    assert len(by_lang) == MOST + 1
    assert by_lang[-1].values == 100 - MOST


def test_unknown_fields_name_those_there_are() -> None:
    with pytest.raises(UsageError, match="There are: lang"):
        sliced([1.0], [1.0], [{"lang": "en"}], "language")
    with pytest.raises(UsageError, match="no metadata"):
        sliced([1.0], [1.0], [{}], "lang")


def test_clusters_and_dev_cases_are_kept_as_they_are() -> None:
    told = {("cap", f"{i:04d}"): {"lang": "en" if i % 2 else "zh"} for i in range(40)}
    rows = [row(i, 1.0, cluster=f"doc{i // 8}") for i in range(40)]
    dev = [replace(r, case_id=f"dev{r.case_id}", split=Split.DEV) for r in rows]
    found = compare_slices([*rows, *dev], [*rows, *dev], told, ["lang"], RULES, Gate())
    assert [s.n_paired for s in found] == [20, 20]
    assert all(s.paired.method == "undecided" for s in found)  # 5 clusters
    assert "5 clusters" in found[0].reason


_value = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@given(st.lists(st.tuples(_value, st.booleans(), st.booleans()), min_size=1, max_size=40))
def test_any_metadata_covers_every_case(cases: list[tuple[Any, bool, bool]]) -> None:
    metadata = [{"lang": value, "there": 1} for value, _, _ in cases]
    found = sliced([float(a) for _, a, _ in cases], [float(b) for _, _, b in cases], metadata)
    assert found == () or sum(s.n_planned for s in found) >= len(cases)
    assert len({s.name for s in found}) == len(found)
    for one in found:
        assert one.paired is None or one.n_paired >= LEAST


def test_a_suite_names_fields_that_its_cases_have(tmp_path: Path) -> None:
    rows = {"cases": [{"input": "1 + 1", "reference": 2, "metadata": {"lang": "en"}}]}
    capability = SMALL["capabilities"]["sums"] | rows
    plain = load_small(tmp_path, capabilities={"sums": capability})
    sliced = load_small(tmp_path, capabilities={"sums": capability}, gate={"slices": ["lang", "lang"]})
    assert (plain.gate.slices, sliced.gate.slices) == ((), ("lang",))
    assert plain.hash != sliced.hash
    wrong = SMALL | {"capabilities": {"sums": capability}, "gate": {"slices": ["lang", "lnag"]}}
    (fault,) = faults_of(write_suite(tmp_path, wrong))
    assert "no case has the metadata field 'lnag'" in fault
    assert "lang" in fault.split("lnag")[1]


def gain_and_loss() -> tuple[Any, tuple[SliceComparison, ...]]:
    """Nothing moves on average: English up by 12 cases of 60, Chinese down by as many."""
    metadata = [{"lang": "en" if i < 60 else "zh"} for i in range(120)]
    ours: list[float | None] = [1.0] * 60 + [0.0] * 12 + [1.0] * 48
    theirs: list[float | None] = [0.0] * 12 + [1.0] * 108
    comparisons = compare_runs([row(i, v) for i, v in enumerate(ours)], [row(i, v) for i, v in enumerate(theirs)], RULES, Gate())
    return comparisons, sliced(ours, theirs, metadata)


def test_a_seesaw_inside_a_capability_is_found() -> None:
    comparisons, slices = gain_and_loss()
    assert find_seesaw(comparisons, 0.10) is None
    found = find_seesaw(comparisons, 0.10, slices)
    assert found is not None
    assert (found.gains, found.losses) == (("cap [lang: en]",), ("cap [lang: zh]",))


def test_slices_only_report_unless_the_policy_forbids_seesaws() -> None:
    comparisons, slices = gain_and_loss()
    plain, with_slices = decide(comparisons, Gate()), decide(comparisons, Gate(), slices=slices)
    assert with_slices.outcome is plain.outcome
    assert with_slices.slices == slices
    assert [r.blocks for r in with_slices.reasons if r.code == "seesaw"] == [None]
    forbidden = decide(comparisons, Gate(seesaw="forbid"), slices=slices)
    assert forbidden.outcome is Outcome.OPTIMIZE
    assert "cap [lang: zh]" in next(r.text for r in forbidden.reasons if r.code == "seesaw")


def test_more_tests_make_the_family_larger() -> None:
    """The slices' p-values enter Benjamini-Hochberg: fifty slices without a difference take a weak seesaw away."""
    comparisons, slices = gain_and_loss()
    weak = tuple(
        replace(
            s, paired=replace(s.paired, p_improved=max(s.paired.p_improved, 0.02), p_regressed=max(s.paired.p_regressed, 0.02))
        )
        for s in slices
    )
    still = tuple(
        replace(slices[0], value=f"v{i}", paired=replace(slices[0].paired, delta=0.0, p_improved=0.5, p_regressed=0.5))
        for i in range(50)
    )
    assert find_seesaw(comparisons, 0.10, weak) is not None
    assert find_seesaw(comparisons, 0.10, (*weak, *still)) is None


def test_equal_candidates_show_no_seesaw_more_often_than_the_rate() -> None:
    """Three capabilities in four slices each, 12 % of the cases flip either way: 15 tests, at most one false seesaw in ten."""
    rng, times, false = np.random.default_rng(5), 50, 0
    rules = {name: Rule() for name in "abc"}
    told = {(c, f"{c}{i}"): {"lang": "wxyz"[i % 4]} for c in rules for i in range(150)}
    for _ in range(times):
        keys = list(told)
        same, flips, up = rng.random(len(keys)) < 0.7, rng.random(len(keys)) < 0.12, rng.random(len(keys)) < 0.5
        pairs = np.where(flips, up, same), np.where(flips, ~up, same)
        ours, theirs = (
            [ScoreRow(i, c, 0, ItemStatus.SCORED, float(v)) for (c, i), v in zip(keys, side, strict=True)] for side in pairs
        )
        comparisons = compare_runs(ours, theirs, rules, Gate())
        false += find_seesaw(comparisons, 0.10, compare_slices(ours, theirs, told, ["lang"], rules, Gate())) is not None
    assert false / times <= 0.10 + 3 * (0.1 * 0.9 / times) ** 0.5
