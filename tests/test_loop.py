"""The loop as a state machine: fake steps, every stop, and a kill at every moment."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import DataError, UsageError
from harness.loop import (
    Budget,
    Curated,
    Failures,
    Ledger,
    Look,
    Result,
    Settings,
    Standing,
    Step,
    Trained,
    Weakness,
    Why,
    load,
    new_ledger,
    next_move,
    opened,
    run_loop,
    save,
)
from harness.model import Outcome
from harness.statistics import compare_paired

SETTINGS = Settings("desk", "5" * 64, "sft", "w0", "base", "r", "c", rounds=3, alpha=0.06)
CODES = {"SHIP": 0, "OPTIMIZE": 1, "INCONCLUSIVE": 2}


class Killed(BaseException):
    """As a kill -9: nothing catches it."""


def look(outcome: str, blocking: Sequence[str] = (), better: Sequence[str] = ()) -> Look:
    standing = Standing("date", "protected", 0.06, 0.96, 0.2, -0.76, -0.8, -0.7, ("harmed",))
    return Look(Outcome(outcome), CODES[outcome], "run", "base", tuple(blocking), tuple(better), (), ("why",), (standing,))


@dataclass
class Fake:
    """Steps that answer from a script. asks: requests of a gate and of a dev step; a step that was done has none left.

    dies_in: (how many steps were begun, whether the step's work was done by then).
    """

    looks: list[Look]
    learn: list[int] = field(default_factory=lambda: [5] * 9)
    asks: tuple[int, int] = (100, 40)
    calls: list[tuple[int, Step]] = field(default_factory=list)
    asked: set[tuple[int, Step]] = field(default_factory=set)
    dies_in: tuple[int, bool] | None = None

    def to_ask(self, ledger: Ledger, step: Step) -> int:
        if step not in (Step.GATE, Step.DEV) or (ledger.now.number, step) in self.asked:
            return 0
        return self.asks[step is Step.DEV]

    def do(self, ledger: Ledger, step: Step) -> Result:
        number = ledger.now.number
        self.calls.append((number, step))
        dies = self.dies_in is not None and self.dies_in[0] == len(self.calls)
        if dies and self.dies_in == (len(self.calls), False):
            raise Killed
        self.asked.add((number, step))
        if dies:
            raise Killed
        if step is Step.GATE:
            return self.looks[number - 1]
        if step is Step.DEV:
            return Failures("dev", None, (Weakness("date", 80, 60, "60 of 60 cases to mend"),))
        if step is Step.CURATE:
            return Curated(self.learn[number - 1], 4, 5, 3, 2, {"date": {"pairs": 4}})
        return Trained(f"w{number}", f"round-{number}/adapter", "sft", 8, {"train_loss": 0.25})


def once(ledger: Ledger, fake: Fake, budget: Budget = Budget(), ticks: float = 1.0) -> tuple[Ledger, Any]:
    return run_loop(ledger, budget, fake, lambda _: None, clock=counting(ticks))


def counting(step: float) -> Callable[[], float]:
    now = [0.0]

    def clock() -> float:
        now[0] += step
        return now[0]

    return clock


BAD, UNSURE, SHIP = look("OPTIMIZE", ["date", "intent"]), look("INCONCLUSIVE", ["intent"], ["date"]), look("SHIP")


def test_it_trains_until_a_candidate_ships_and_names_each() -> None:
    fake = Fake([BAD, UNSURE, SHIP])
    ledger, end = once(new_ledger(SETTINGS), fake)
    assert (end.why, end.exit_code) == (Why.SHIP, 0)
    assert [one.candidate for one in ledger.rounds] == ["sft", "sft-r1", "sft-r2"]
    four = [Step.GATE, Step.DEV, Step.CURATE, Step.TRAIN]
    assert fake.calls == [*((1, s) for s in four), *((2, s) for s in four), (3, Step.GATE)]
    assert ledger.requests == 3 * 100 + 2 * 40
    assert ledger.seconds == 9.0
    assert ledger.begun is None


def test_a_candidate_that_ships_at_once_is_not_trained() -> None:
    fake = Fake([SHIP])
    _, end = once(new_ledger(SETTINGS), fake)
    assert (end.why, fake.calls) == (Why.SHIP, [(1, Step.GATE)])


@pytest.mark.parametrize(("last", "code"), [("OPTIMIZE", 1), ("INCONCLUSIVE", 2)])
def test_the_last_round_ends_with_its_look_and_its_code(last: str, code: int) -> None:
    fake = Fake([BAD, UNSURE, look(last, ["polite"])])
    ledger, end = once(new_ledger(SETTINGS), fake)
    assert (end.why, end.exit_code, len(ledger.looks)) == (Why.ROUNDS, code, 3)
    assert fake.calls[-1] == (3, Step.GATE)  # nothing is trained that nobody would look at


def test_alpha_is_shared_by_the_looks() -> None:
    assert SETTINGS.look_alpha * SETTINGS.rounds == pytest.approx(SETTINGS.alpha)


def test_the_chance_that_any_look_ships_a_harm_stays_at_alpha() -> None:
    """By simulation: every round's candidate is worse by exactly the margin, and each is held against the same cases.

    With alpha at every look instead of a share of it, the same loops ship more harm than alpha.
    """
    rng, n, margin, looks, loops = np.random.default_rng(20_261), 80, 0.1, 4, 3_000
    found: dict[tuple[int, int], float] = {}

    def p_not_worse(broken: int, fixed: int) -> float:
        if (broken, fixed) not in found:
            base = np.r_[np.ones(broken), np.zeros(fixed), np.ones(n - broken - fixed)]
            now = np.r_[np.zeros(broken), np.ones(fixed), np.ones(n - broken - fixed)]
            found[broken, fixed] = compare_paired(now, base, margin=margin, binary=True).p_not_worse
        return found[broken, fixed]

    lowest = []
    for _ in range(loops):
        passing = rng.random(n) < 0.8  # the baseline, once: every look sees the same answers of it
        rounds = [(rng.random(n) < np.where(passing, 0.175, 0.2), passing) for _ in range(looks)]  # .8 * .175 - .2 * .2 = .1
        lowest.append(min(p_not_worse(int((flips & p).sum()), int((flips & ~p).sum())) for flips, p in rounds))
    alpha = 0.05
    error = 3 * (alpha * (1 - alpha) / loops) ** 0.5
    assert np.mean(np.array(lowest) <= alpha / looks) <= alpha + error
    assert np.mean(np.array(lowest) <= alpha) > alpha + error


def test_a_full_disk_is_told_of(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot keep the ledger"):
        save(tmp_path / "nowhere" / "loop.json", new_ledger(SETTINGS))


def test_no_progress_ends_it_only_when_nothing_changed() -> None:
    same = look("OPTIMIZE", ["intent", "date"])
    ledger, end = once(new_ledger(SETTINGS), Fake([BAD, same, SHIP]))
    assert (end.why, end.exit_code, len(ledger.looks)) == (Why.NO_PROGRESS, 1, 2)
    better = replace(same, better=("date",))
    assert once(new_ledger(SETTINGS), Fake([BAD, better, SHIP]))[1].why is Why.SHIP
    fewer = replace(same, blocking=("date",))
    assert once(new_ledger(SETTINGS), Fake([BAD, fewer, SHIP]))[1].why is Why.SHIP


def test_nothing_to_learn_ends_it_before_a_training() -> None:
    fake = Fake([BAD], learn=[0])
    ledger, end = once(new_ledger(SETTINGS), fake)
    assert (end.why, end.exit_code) == (Why.NOTHING_TO_LEARN, 1)
    assert Step.TRAIN not in [step for _, step in fake.calls]
    assert len(ledger.rounds) == 1


def test_a_step_beyond_the_requests_is_not_begun_and_more_budget_goes_on() -> None:
    fake = Fake([BAD, SHIP])
    ledger, end = once(new_ledger(SETTINGS), fake, Budget(requests=239))
    assert (end.why, end.exit_code) == (Why.REQUESTS, 1)
    assert "140 of 239" in end.text
    assert "needs 100" in end.text
    assert fake.calls[-1] == (1, Step.TRAIN)
    ledger, end = once(ledger, fake, Budget(requests=240))
    assert (end.why, ledger.requests) == (Why.SHIP, 240)


def test_without_any_verdict_a_spent_budget_is_incomplete() -> None:
    ledger, end = once(new_ledger(SETTINGS), Fake([BAD]), Budget(requests=1))
    assert (end.why, end.exit_code, ledger.looks) == (Why.REQUESTS, 4, ())


def test_minutes_count_over_calls() -> None:
    fake = Fake([BAD, SHIP])
    ledger, end = once(new_ledger(SETTINGS), fake, Budget(minutes=2), ticks=60.0)
    assert (end.why, end.exit_code, len(fake.calls)) == (Why.MINUTES, 1, 2)
    again, same = once(ledger, fake, Budget(minutes=2))
    assert (same, again, len(fake.calls)) == (end, ledger, 2)
    assert once(ledger, fake, Budget(minutes=30))[1].why is Why.SHIP


def test_a_loop_that_ended_is_not_begun_again() -> None:
    fake = Fake([BAD, SHIP])
    ledger, end = once(new_ledger(SETTINGS), fake)
    calls = list(fake.calls)
    assert once(ledger, fake) == (ledger, end)
    assert fake.calls == calls


# -- kills -----------------------------------------------------------------------------------------------------------------------


def goes_on(path: Path, fake: Fake) -> Any:
    return run_loop(opened(path, SETTINGS), Budget(), fake, lambda ledger: save(path, ledger), clock=lambda: 0.0)


@pytest.mark.parametrize("at", range(1, 10))
@pytest.mark.parametrize("after", [False, True], ids=["before its work", "after its work"])
def test_killed_in_any_step_it_ends_as_if_nothing_had_been(at: int, after: bool, tmp_path: Path) -> None:
    whole, end = goes_on(tmp_path / "whole.json", Fake([BAD, UNSURE, SHIP]))
    fake = Fake([BAD, UNSURE, SHIP], dies_in=(at, after))
    with pytest.raises(Killed):
        goes_on(tmp_path / "loop.json", fake)
    assert goes_on(tmp_path / "loop.json", fake) == (whole, end)
    twice = [call for call in fake.calls if fake.calls.count(call) > 1]
    assert twice == [fake.calls[at - 1]] * 2  # only the step under way is done again
    assert whole.requests == 380  # and its requests are counted once


@pytest.mark.parametrize("at", range(1, 19))
def test_killed_while_the_ledger_is_written_it_ends_the_same(at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, end = goes_on(tmp_path / "whole.json", Fake([BAD, UNSURE, SHIP]))
    path, fake, saves = tmp_path / "loop.json", Fake([BAD, UNSURE, SHIP]), [0]

    def dying(ledger: Ledger) -> None:
        saves[0] += 1
        if saves[0] == at:
            path.with_name("loop.json.part").write_text('{"half')
            raise Killed
        save(path, ledger)

    with pytest.raises(Killed):
        run_loop(opened(path, SETTINGS), Budget(), fake, dying, clock=lambda: 0.0)
    ended, how = goes_on(path, fake)
    assert how == end
    assert [one.candidate for one in ended.rounds] == [one.candidate for one in whole.rounds]
    assert len(fake.calls) <= 10


def test_a_step_that_raises_leaves_no_trace_but_that_it_was_begun(tmp_path: Path) -> None:
    path = tmp_path / "loop.json"
    with pytest.raises(Killed):
        goes_on(path, Fake([BAD], dies_in=(2, False)))
    ledger = load(path)
    assert ledger is not None
    assert ledger.begun is not None
    assert (ledger.begun.step, ledger.begun.to_ask) == (Step.DEV, 40)
    assert ledger.now.failures is None


# -- the ledger on disk ----------------------------------------------------------------------------------------------------------

texts = st.text(max_size=20).filter(lambda text: text.isprintable() or "\n" in text)
results = st.builds(look, st.sampled_from(["OPTIMIZE", "INCONCLUSIVE"]), st.lists(texts, max_size=3), st.lists(texts, max_size=2))


@given(st.lists(results, min_size=3, max_size=3))
@settings(max_examples=40, deadline=None)
def test_what_is_read_is_what_was_written(tmp_path_factory: pytest.TempPathFactory, found: list[Look]) -> None:
    path = tmp_path_factory.mktemp("ledger") / "loop.json"
    ledger, _ = once(new_ledger(SETTINGS), Fake(found))
    save(path, ledger)
    assert load(path) == ledger
    assert next_move(ledger, Budget()) == next_move(load(path) or new_ledger(SETTINGS), Budget())


@pytest.mark.parametrize("content", ["", "{", "[]", '{"settings": 1}', "\x00\xff", '{"rounds": []}'])
def test_a_damaged_ledger_is_told_of(content: str, tmp_path: Path) -> None:
    (tmp_path / "loop.json").write_text(content, encoding="latin-1")
    with pytest.raises(DataError, match="another --out"):
        load(tmp_path / "loop.json")


def test_a_ledger_without_a_round_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "loop.json"
    save(path, new_ledger(SETTINGS))
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "rounds": []}))
    with pytest.raises(DataError, match="another --out"):
        load(path)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("rounds", 5, "number of rounds.*: it was 3, now it is 5"),
        ("candidate", "other", "candidate: it was sft, now it is other"),
        ("suite_hash", "6" * 64, "cases, checks or gate have changed"),
        ("recipe", "other", "another recipe"),
        ("weights", "w9", "model behind"),
    ],
)
def test_a_folder_belongs_to_one_loop(name: str, value: Any, said: str, tmp_path: Path) -> None:
    path = tmp_path / "loop.json"
    save(path, new_ledger(SETTINGS))
    assert opened(path, SETTINGS) == new_ledger(SETTINGS)
    with pytest.raises(UsageError, match=said):
        opened(path, replace(SETTINGS, **{name: value}))
