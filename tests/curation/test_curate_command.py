"""harness curate on real runs against a scripted server: only dev cases, guarded, and every row tells where it comes from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.scripted_server import Body, ScriptedServer

from harness.cli import call
from harness.cli.curating import FILES
from training.data import load_rows
from training.origins import origins

MODELS = ("base", "tuned")
WORDS = ("amber", "birch", "cedar", "delta", "ember", "flint", "grove", "heath", "ivory", "jetty", "knoll", "larch")


def question(skill: str, number: int) -> str:
    first, second = WORDS[number % 12], WORDS[(number // 12) % 12]
    if skill == "order":
        return f"Order {number}: please send {first} and {second} to house {number * 7} in Mill Road"
    return f"Say politely that the {first} meeting about {second} on floor {number * 3} is cancelled"


def reply(body: Body) -> str:
    """tuned knows orders but for each third one (base: none), and forgot to be polite in half of the cases."""
    text, model = str(body["messages"][-1]["content"]), body["model"]
    number = int("".join(c for c in text if c.isdigit())[:6] or 0)
    if text.startswith("Order"):
        return f"ORDER {text.split()[4]}" if model == "tuned" and len(text) % 3 else "I do not know this order, sorry"
    return (
        "It is cancelled." if model == "tuned" and number % 2 else f"Dear all, sadly the {text.split()[4]} meeting is cancelled."
    )


def write_suite(folder: Path, url: str, *, cases: int = 60, dev: float = 0.5) -> Path:
    orders = [{"input": (q := question("order", i)), "reference": f"ORDER {q.split()[4]}"} for i in range(1, cases + 1)]
    polite = [{"input": question("polite", i), "reference": "Dear all,"} for i in range(1, cases + 1)]
    for name, rows in (("orders", orders), ("polite", polite)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    suite = {
        "suite": "shop",
        "baseline": "base",
        "candidates": {name: {"endpoint": url, "model": name} for name in MODELS},
        "capabilities": {
            "orders": {"role": "target", "cases": {"path": "orders.jsonl", "dev_fraction": dev}, "checks": ["equals"]},
            "polite": {
                "cases": {"path": "polite.jsonl", "dev_fraction": dev},
                "checks": [{"type": "starts-with", "value": "Dear all,"}],
            },
        },
    }
    path = folder / "suite.yaml"
    path.write_text(json.dumps(suite))
    return path


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the dev runs of base and tuned, and a gate run."""
    folder = tmp_path_factory.mktemp("shop")
    with ScriptedServer(answer=reply, models=MODELS) as server:
        suite = write_suite(folder, server.url)
        store = ["--store", str(folder / "store")]
        for words in (["--split", "dev"], ["-c", "tuned"]):
            assert call(["run", str(suite), *words, *store]) in (0, 1, 2)
    return folder


def curate(folder: Path, out: Path, *words: str) -> int:
    return call(["curate", *words, "--suite", str(folder / "suite.yaml"), "--out", str(out), "--store", str(folder / "store")])


def dev_run(folder: Path) -> str:
    from harness.model import Split
    from harness.store import Store

    with Store.open(folder / "store") as store:
        runs = [r for r in store.runs("shop") if r.candidate.name == "tuned"]
        return next(r.id for r in runs if any(row.split is Split.DEV for row in store.score_rows(r.id)))


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_failures_become_pairs_and_rows_that_a_trainer_takes(shop: Path, tmp_path: Path, capsys: Any) -> None:
    out = tmp_path / "data"
    assert curate(shop, out, dev_run(shop)) == 0
    said = capsys.readouterr().out
    assert max(map(len, said.splitlines())) <= 80 + len(str(out))
    assert {path.name for path in out.iterdir()} <= set(FILES)
    pairs, rows, card = read(out / "pairs.jsonl"), read(out / "sft.jsonl"), json.loads((out / "card.json").read_text())
    assert len(load_rows([str(out / "pairs.jsonl")], "dpo")) == len(pairs) == card["pairs"] > 10
    assert len(load_rows([str(out / "sft.jsonl")], "sft")) == len(rows) == card["lessons"] + card["replay"]
    assert {row["provenance"]["split"] for row in (*pairs, *rows)} == {"dev"}
    sources = {pair["provenance"]["capability"]: pair["provenance"]["source"] for pair in pairs}
    assert sources == {"orders": "reference", "polite": "other"}  # the baseline is polite and knows no orders
    for pair in pairs:
        told = pair["provenance"]
        assert told["margin"] == 1.0
        assert (told["rejected"]["origin"], told["rejected"]["passed"], told["chosen"]["passed"]) == ("own", False, True)
        assert told["rejected"]["run_id"] == card["run_id"]
        assert told["chosen"]["checks"][0]["check"] in ("equals", "starts-with")
    replayed = [row for row in rows if row["provenance"]["replay"]]
    assert {row["provenance"]["capability"] for row in replayed} == {"polite"}  # the only protected skill
    found = list(origins([str(out / "pairs.jsonl")]))
    assert [(o.pair_id, o.case_id) for o in found] == [(p["provenance"]["pair_id"], p["provenance"]["case_id"]) for p in pairs]
    assert "No case of the gate split" in (out / "card.md").read_text()


def test_curating_again_gives_the_same(shop: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        assert curate(shop, tmp_path / name, dev_run(shop)) == 0
    for name in FILES:
        if (tmp_path / "a" / name).exists():
            assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_gate_cases_never_get_in(shop: Path, tmp_path: Path, capsys: Any) -> None:
    """A gate run has nothing to give; and cases that the suite has in the gate by now are refused, and what repeats them."""
    from harness.store import Store

    with Store.open(shop / "store") as store:
        gate = next(r.id for r in store.runs("shop") if r.id != dev_run(shop) and r.candidate.name == "tuned")
    assert curate(shop, tmp_path / "none", gate) == 3
    assert "asked no case of the dev split" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()
    later = tmp_path / "later"
    later.mkdir()
    write_suite(later, "http://127.0.0.1:1/v1", dev=0.0)
    store_words = ["--store", str(shop / "store")]
    out = tmp_path / "out"
    assert call(["curate", dev_run(shop), "--suite", str(later / "suite.yaml"), "--out", str(out), *store_words]) == 1
    assert {row["code"] for row in read(out / "dropped.jsonl")} == {"gate-split"}
    assert not (out / "pairs.jsonl").exists()


def test_texts_that_repeat_a_gate_case_are_refused(shop: Path, tmp_path: Path) -> None:
    """A gate case with another case's words around or inside is found although its id is another."""
    later = tmp_path / "later"
    later.mkdir()
    path = write_suite(later, "http://127.0.0.1:1/v1")
    twin = read(shop / "orders.jsonl")[0]["input"]
    suite = json.loads(path.read_text())
    suite["capabilities"]["twins"] = {
        "cases": [{"input": f"Dear shop! {row['input'].upper()}!", "reference": "x"} for row in read(shop / "orders.jsonl")],
        "checks": ["equals"],
    }
    path.write_text(json.dumps(suite))
    assert (
        call(["curate", dev_run(shop), "--suite", str(path), "--out", str(tmp_path / "out"), "--store", str(shop / "store")]) == 0
    )
    dropped = read(tmp_path / "out" / "dropped.jsonl")
    leaks = [row for row in dropped if row["code"] == "gate-leak"]
    assert leaks
    assert {row["capability"] for row in leaks} == {"orders"}
    assert all(row["gate_case_id"] and row["span"] for row in leaks)
    assert "Mill Road" in twin
    assert not [p for p in read(tmp_path / "out" / "pairs.jsonl") if p["provenance"]["capability"] == "orders"]


def test_a_teacher_is_asked_where_nothing_passes(shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def teach(body: Body) -> str:
        text = str(body["messages"][-1]["content"])
        asked.append(text)
        return f"ORDER {text.split()[4]}" if text.startswith("Order") else "Dear all, thanks."

    with ScriptedServer(answer=teach, models=("wise",)) as server:
        words = ("--sources", "own,other", "--teacher", server.url, "--teacher-model", "wise")
        assert curate(shop, tmp_path / "out", dev_run(shop), *words) == 0
    pairs = read(tmp_path / "out" / "pairs.jsonl")
    taught = [pair for pair in pairs if pair["provenance"]["source"] == "teacher"]
    assert {pair["provenance"]["capability"] for pair in taught} == {"orders"}
    assert {pair["provenance"]["chosen"]["model"] for pair in taught} == {"wise"}
    assert all(text.startswith("Order") for text in asked)  # the others had an answer that passes


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nosuch"], "no run 'nosuch'"),
        (["--sources", "own,thin-air"], "thin-air"),
        (["--teacher", "http://127.0.0.1:1/v1"], "needs both"),
        (["--other", "latest"], "is the run itself"),
    ],
)
def test_bad_input_is_one_line(shop: Path, tmp_path: Path, capsys: Any, words: list[str], message: str) -> None:
    assert curate(shop, tmp_path / "out", *words) == 3
    said = capsys.readouterr().err
    assert message in said
    assert "Traceback" not in said
    assert not (tmp_path / "out").exists()


def test_another_suite_is_refused(shop: Path, tmp_path: Path, capsys: Any) -> None:
    suite = json.loads((shop / "suite.yaml").read_text()) | {"suite": "other"}
    for name in ("orders", "polite"):
        (tmp_path / f"{name}.jsonl").write_bytes((shop / f"{name}.jsonl").read_bytes())
    (tmp_path / "suite.yaml").write_text(json.dumps(suite))
    words = ["curate", dev_run(shop), "--suite", str(tmp_path / "suite.yaml"), "--out", str(tmp_path / "out")]
    assert call([*words, "--store", str(shop / "store")]) == 3
    assert "is of the suite shop, this is other" in capsys.readouterr().err
