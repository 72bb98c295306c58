"""Trainings in the store: kept whole, found by id and by weights, and led back to cases; older stores are brought up to date."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import UsageError
from harness.store import Store
from harness.store.trainings import (
    CaseOrigin,
    SavedCheckpoint,
    TrainedFile,
    TrainedRow,
    Training,
    cases_of,
    gate_cases,
    rows_of,
    save_training,
    trained,
    training,
    trainings,
)

MADE = Training(
    id="tabc123",
    stage="dpo",
    base="/models/base",
    output="/out/dpo",
    weights="d" * 64,
    status="complete",
    recipe={"stage": "dpo", "lora_target": ["q_proj"], "pref_beta": 0.2, "note": "quote ' and \u4e2d"},
    data=(TrainedFile("pairs.jsonl", "a" * 64, 40),),
    metrics={"train_loss": 0.5, "rewards/margins": 1.25},
    history=({"step": 1.0, "loss": 0.7}, {"step": 2.0, "loss": 0.5}),
    provenance={"versions": {"trl": "1.16.0"}},
    started_at=1000.0,
    finished_at=1060.5,
    checkpoints=(SavedCheckpoint(1, "/out/dpo/checkpoint-1", "e" * 64, 0.6), SavedCheckpoint(2, "/out/2", None, 0.5, True)),
)
ROWS = [
    TrainedRow(0, 1, "p1", "c1", "r1"),
    TrainedRow(0, 2, "p2", "c1", "r2"),
    TrainedRow(0, 3, None, "c2", None),
    TrainedRow(0, 4, "p4", None, "r1"),
]


def test_what_is_kept_comes_back_whole(tmp_path: Path) -> None:
    with Store.open(tmp_path / "s") as store:
        save_training(store, MADE, ROWS)
    with Store.open(tmp_path / "s") as store:
        assert trainings(store) == [MADE]
        assert cases_of(store, MADE.id) == [CaseOrigin("c1", 2, ("r1", "r2")), CaseOrigin("c2", 1, ())]
        assert rows_of(store, MADE.id) == ROWS
        assert rows_of(store, "nobody") == []


def test_the_same_id_is_replaced_and_the_newest_is_first(tmp_path: Path) -> None:
    with Store.open(tmp_path / "s") as store:
        save_training(store, MADE, ROWS)
        save_training(store, replace(MADE, metrics={"train_loss": 0.1}, checkpoints=()), ROWS[:1])
        newer = replace(MADE, id="tabd", started_at=2000.0, weights=None, checkpoints=())
        save_training(store, newer)
        assert [made.id for made in trainings(store)] == ["tabd", "tabc123"]
        assert trainings(store)[1].metrics == {"train_loss": 0.1}
        assert cases_of(store, MADE.id) == [CaseOrigin("c1", 1, ("r1",))]


def test_found_by_weights_of_the_end_and_of_a_checkpoint(tmp_path: Path) -> None:
    with Store.open(tmp_path / "s") as store:
        save_training(store, MADE)
        assert trained(store, "d" * 64) == (MADE, None)
        assert trained(store, "e" * 64) == (MADE, 1)
        assert trained(store, "f" * 64) is None


def test_found_by_the_beginning_of_an_id(tmp_path: Path) -> None:
    with Store.open(tmp_path / "s") as store:
        with pytest.raises(UsageError, match="none yet"):
            training(store, "latest")
        save_training(store, MADE)
        save_training(store, replace(MADE, id="tabd", started_at=2000.0))
        assert training(store, "tabc") == MADE
        assert training(store, "latest").id == "tabd"
        with pytest.raises(UsageError, match="'tab' fits 2 trainings"):
            training(store, "tab")
        with pytest.raises(UsageError, match="Trainings are: tabd, tabc123"):
            training(store, "x")


def test_gate_cases_are_those_of_stored_runs(tmp_path: Path) -> None:
    with Store.open(tmp_path / "s") as store:
        assert gate_cases(store) == []


text = st.text(max_size=20)


@settings(max_examples=15, deadline=None)
@given(
    st.lists(
        st.builds(TrainedRow, st.integers(0, 3), st.integers(1, 10**9), st.none() | text, text, st.none() | text), max_size=8
    )
)
def test_any_text_is_data(tmp_path_factory: pytest.TempPathFactory, rows: list[TrainedRow]) -> None:
    with Store.open(tmp_path_factory.mktemp("s") / "s") as store:
        save_training(store, MADE, rows)
        counts: dict[str, int] = {}
        for row in rows:
            counts[str(row.case_id)] = counts.get(str(row.case_id), 0) + 1
        assert {origin.case_id: origin.rows for origin in cases_of(store, MADE.id)} == counts
