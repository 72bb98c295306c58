"""A stratified sample of training rows: who is drawn with which chance, and what the verdicts say of the whole file."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.rowreview import mixed, pair, word, write

from harness.errors import DataError
from harness.quality.examples import Example
from harness.quality.files import Source, open_examples
from harness.quality.humancheck import (
    LEAST,
    MOST_STRATA,
    NONE,
    REST,
    Pick,
    RowPlan,
    allocate,
    draw,
    merged,
    row_id,
    state,
    stratum,
    summarise,
    usual_by,
)
from harness.statistics.intervals import clopper_pearson_lower, clopper_pearson_upper


def drawn(source: Source, sample: int = 20, seed: int = 0, by: tuple[str, ...] = ("capability",)) -> RowPlan:
    return draw(source, file="f", form="trl", by=by, seed=seed, sample=sample)


def made(strata: dict[str, int], places: dict[str, int]) -> RowPlan:
    """A plan over these strata without a file."""
    picks = [Pick(i, f"{name}{i}", name) for name, n in places.items() for i in range(n)]
    return RowPlan("p", "f", ("capability",), 0, len(picks), strata, 0, tuple(picks))


# -- drawing ---------------------------------------------------------------------------------------------------------------------


@given(
    st.dictionaries(st.text("abcde", min_size=1, max_size=3), st.integers(1, 500), min_size=1, max_size=8), st.integers(16, 300)
)
def test_places_are_in_proportion_and_every_stratum_has_some(rows: dict[str, int], sample: int) -> None:
    places = allocate(rows, sample)
    total = sum(rows.values())
    assert sum(places.values()) == min(sample, total)
    for name, n in rows.items():
        assert min(n, LEAST) <= places[name] <= n
        assert places[name] <= max(LEAST, rows[name] * sample / total + 1)


def test_places_by_hand() -> None:
    assert allocate({"a": 70, "b": 25, "c": 5}, 20) == {"a": 13, "b": 5, "c": 2}
    assert allocate({"a": 3, "b": 1}, 50) == {"a": 3, "b": 1}
    assert allocate({"a": 9}, 1) == {"a": 1}


@given(
    st.dictionaries(st.text("abcdef", min_size=1, max_size=4), st.integers(1, 50), min_size=1, max_size=40), st.integers(1, 12)
)
def test_small_strata_are_one_and_no_row_is_lost(counts: dict[str, int], most: int) -> None:
    found = merged(counts, most)
    assert len(found) <= most
    assert sum(found.values()) == sum(counts.values())
    kept = [counts[name] for name in found if name != REST]
    assert all(counts[name] <= min(kept) for name in counts if kept and name not in found)


def test_every_row_is_drawn_as_often_as_its_stratum_says(tmp_path: Path) -> None:
    source = mixed(tmp_path / "f.jsonl", math=12, safety=4)
    counts: Counter[int] = Counter()
    draws = 200
    for seed in range(draws):
        plan = drawn(source, 8, seed)
        assert plan.strata == {"math": 12, "safety": 4}
        assert plan.drawn() == {"math": 6, "safety": 2}
        assert len({pick.line for pick in plan.picks}) == 8
        counts.update(pick.line for pick in plan.picks)
    # a share of 1/2 each; 5 standard deviations are 35
    assert set(counts) == set(range(1, 17))
    assert all(abs(n - draws / 2) < 36 for n in counts.values())


def test_a_larger_sample_holds_the_smaller_and_strata_take_turns(tmp_path: Path) -> None:
    source = mixed(tmp_path / "f.jsonl", math=60, format=30, safety=10)
    small, large = drawn(source, 10), drawn(source, 40)
    assert {p.line for p in small.picks} <= {p.line for p in large.picks}
    assert {p.stratum for p in large.picks[:3]} == {"math", "format", "safety"}
    half = Counter(p.stratum for p in large.picks[:20])
    assert all(abs(half[name] - n / 2) <= 1 for name, n in large.drawn().items())
    assert drawn(source, 10) == small
    assert drawn(source, 10, seed=1).picks != small.picks


def test_more_strata_than_places_are_put_together(tmp_path: Path) -> None:
    source = mixed(tmp_path / "f.jsonl", **{f"skill{i}": 1 + (i == 7) for i in range(200)})
    plan = drawn(source, 10)
    assert set(plan.strata) == {"skill0", "skill1", "skill10", "skill7", REST}
    assert plan.strata[REST] == 196
    assert len(plan.picks) == 10
    assert len(drawn(source, 200).strata) == MOST_STRATA


def test_what_rows_are_divided_by(tmp_path: Path) -> None:
    curated = next(iter(mixed(tmp_path / "f.jsonl", math=1)))
    assert isinstance(curated, Example)
    assert stratum(curated, ("capability", "source")) == "math / own"
    assert stratum(curated, ()) == "all rows"
    assert usual_by([curated]) == ("capability", "source")
    lesson = {"prompt": [{"role": "user", "content": "hi"}], "completion": [{"role": "assistant", "content": "ho"}]}
    origin = {"capability": "greeting", "replay": True, "answer": {"origin": "own"}}
    rows = [lesson, lesson | {"provenance": origin}, lesson | {"provenance": origin | {"replay": False}}]
    plain, replay, own = write(tmp_path / "g.jsonl", rows)
    assert [stratum(row, ("source",)) for row in (plain, replay, own)] == [NONE, "replay", "own"]
    assert usual_by([plain]) == ("task",)
    [table] = write(tmp_path / "h.jsonl", [lesson | {"provenance": json.dumps(origin)}])  # as CSV and Parquet hold it
    assert stratum(table, ("capability", "source")) == "greeting / replay"
    for odd in ("text", "{text", '{"a":' * 50_000, ["x"], {"capability": ["a"]}, {"capability": ""}, None):
        [row] = write(tmp_path / "h.jsonl", [lesson | {"provenance": odd}])
        assert stratum(row, ("capability",)) == NONE
    [row] = write(tmp_path / "h.jsonl", [lesson | {"provenance": {"capability": "a\nb\t" + "c" * 500}}])
    assert stratum(row, ("capability",)) == "a b " + "c" * 76


def test_malformed_rows_are_counted_and_an_empty_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    mixed(path, math=5)
    with path.open("a") as stream:
        stream.write('{"broken\n[1]\n')
    plan = drawn(open_examples(path))
    assert (plan.rows, plan.unread, len(plan.picks)) == (5, 2, 5)
    with pytest.raises(DataError, match="no row"):
        draw([], file="f", form="trl", by=(), seed=0, sample=5)


def test_a_row_is_known_by_what_it_teaches(tmp_path: Path) -> None:
    one, same, other, turned = write(
        tmp_path / "f.jsonl",
        [pair(1), pair(1, "format") | {"note": 3}, pair(2), pair(1, chosen=pair(1)["rejected"], rejected=pair(1)["chosen"])],
    )
    assert row_id(one) == row_id(same)
    assert len({row_id(one), row_id(other), row_id(turned)}) == 3


# -- rates -----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (None, "unread"),
        ({"Ann": "skip"}, "skipped"),
        ({"Ann": "accept", "Bob": "skip"}, "accepted"),
        ({"Ann": "reject", "Bob": "other"}, "refused"),
        ({"Ann": "accept", "Bob": "other"}, "disputed"),
    ],
)
def test_what_several_people_say_of_a_row(said: Any, expected: str) -> None:
    assert state(said) == expected


def test_with_equal_chances_the_rate_is_the_plain_one_with_its_exact_interval() -> None:
    plan = made({"a": 100, "b": 50}, {"a": 20, "b": 10})
    words = [word(plan, i, "reject" if i % 5 == 0 else "accept") for i in range(30)]
    rate = summarise(plan, words).all
    assert (rate.read, rate.accepted, rate.refused) == (30, 24, 6)
    assert rate.rate.value == pytest.approx(0.8)
    assert rate.rate.low == pytest.approx(clopper_pearson_lower(24, 30, 0.025))
    assert rate.rate.high == pytest.approx(clopper_pearson_upper(24, 30, 0.025))


def test_rows_of_unequal_chances_count_by_what_they_stand_for() -> None:
    plan = made({"large": 990, "small": 10}, {"large": 10, "small": 10})
    words = [word(plan, i, "accept" if i < 10 else "reject") for i in range(20)]
    found = summarise(plan, words)
    assert found.all.rate.value == pytest.approx(0.99)  # and not one half
    assert found.all.rate.low is not None
    assert found.all.rate.low < 0.99 < (found.all.rate.high or 0)
    large, small = found.strata
    assert (large.rate.value, large.rate.high) == (1.0, 1.0)
    assert large.rate.low == pytest.approx(clopper_pearson_lower(10, 10, 0.025))
    assert (small.rate.value, small.rate.low, small.rate.high) == (0.0, 0.0, 0.0)  # all ten rows were read
    assert small.rate.method == "every row was read"


def test_the_interval_covers_the_files_true_rate(tmp_path: Path) -> None:
    source = mixed(tmp_path / "f.jsonl", math=150, safety=30)  # rows of safety are bad, one in five of math, too
    covered, values = 0, []
    for seed in range(100):
        plan = drawn(source, 36, seed)
        good = [pick.stratum == "math" and pick.line % 5 > 0 for pick in plan.picks]
        found = summarise(plan, [word(plan, i, "accept" if ok else "reject") for i, ok in enumerate(good)]).all.rate
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= 120 / 180 <= found.high
        values.append(found.value or 0)
    assert covered >= 93
    assert sum(values) / len(values) == pytest.approx(120 / 180, abs=0.03)


def test_a_row_nobody_could_decide_on_is_left_out_and_a_disputed_one_is_not_accepted() -> None:
    plan = made({"a": 100}, {"a": 10})
    words = [word(plan, i, "skip" if i < 2 else "accept") for i in range(10)]
    words += [word(plan, 9, "other", "Bob")]
    rate = summarise(plan, words).all
    assert (rate.read, rate.accepted, rate.disputed, rate.skipped, rate.other) == (10, 7, 1, 2, 1)
    assert rate.rate.value == pytest.approx(7 / 8)


def test_what_was_read_beyond_a_gap_is_not_weighted_and_an_unread_stratum_is_named() -> None:
    plan = made({"a": 100, "b": 100}, {"a": 5, "b": 5})
    words = [word(plan, i, "accept") for i in (0, 1, 3, 4)]  # 2 was passed over
    found = summarise(plan, words)
    assert (found.all.read, found.all.accepted) == (2, 2)
    assert found.missing == ("b",)
    nothing = summarise(plan, [])
    assert nothing.all.rate.value is None
    assert "nobody" in nothing.all.rate.reason
    assert nothing.missing == ("a", "b")


def test_few_rows_of_unequal_chances_have_a_rate_without_interval() -> None:
    plan = made({"a": 100, "b": 3}, {"a": 4, "b": 2})
    rate = summarise(plan, [word(plan, i, "accept") for i in range(6)]).all.rate
    assert (rate.value, rate.low) == (1.0, None)
    assert "6 rows of unequal chances" in rate.reason


def test_two_raters_and_three() -> None:
    plan = made({"a": 100}, {"a": 20})
    ann = [word(plan, i, "reject" if i < 5 else "accept", "Ann") for i in range(20)]
    bob = [word(plan, i, "reject" if i < 4 or i == 19 else "accept", "Bob") for i in range(20)]
    found = summarise(plan, ann + bob)
    [pair] = found.agreements
    assert (pair.first, pair.second, pair.share.n) == ("Ann", "Bob", 20)
    assert pair.share.value == pytest.approx(18 / 20)
    assert pair.kappa.value == pytest.approx((0.9 - 0.625) / 0.375)  # by hand: both reject 5 of 20, chance .25² + .75²
    assert found.alpha is None
    assert [(rate.name, rate.accepted) for rate in found.raters] == [("Ann", 15), ("Bob", 15)]
    assert (found.all.accepted, found.all.disputed) == (14, 2)
    cem = [word(plan, i, "skip" if i == 0 else "accept", "Cem") for i in range(20)]
    third = summarise(plan, ann + bob + cem)
    assert len(third.agreements) == 3
    assert third.alpha is not None
    assert third.alpha.n == 20
    assert third.agreements[1].share.n == 19  # Cem could not tell of one
    assert summarise(plan, ann + bob + cem) == third


def test_words_on_rows_of_another_sample_do_not_count() -> None:
    plan, other = made({"a": 10}, {"a": 5}), made({"z": 10}, {"z": 5})
    assert summarise(plan, [word(other, 0, "accept")]).raters == ()
