"""`harness loop` from suite to exit code: real runs, verdicts, curation and pages; the models are a scripted server's, and the
training is played. tests/test_loop.py has the state machine; docs/loop.md says what the real thing gave on the quickstart."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shutil
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from support.gates import harness
from support.scripted_server import Body, ScriptedServer

from harness.cli import looping, pipeline
from harness.loop import load
from harness.model import Outcome, Split
from harness.serving.fleet import Fleet
from harness.store import Store
from training import load_recipe

QUICKSTART = Path(__file__).parents[2] / "suites" / "quickstart" / "models"
GATE, DEV = 60, 24
REAL = looping.run_training
FIRST = 2 * GATE + 2 * DEV  # requests to one model until the first training
# Of the dates, which a model gets wrong: one in so many, None for none. sft-r1 mends half of it, sft-r2 all.
WRONG = {"base": None, "sft": 2, "sft-r1": 4, "sft-r2": None}


def answer(body: Body) -> str:
    text, model = str(body["messages"][-1]["content"]), body["model"]
    n = int(re.findall(r"\d+", text)[0])
    if text.startswith("what"):
        return "0" if model == "base" else str(n + 1)
    wrong = WRONG[model]
    return "no" if wrong and n % wrong == 0 else f"d{n}"


@contextlib.contextmanager
def serving(patch: pytest.MonkeyPatch) -> Iterator[ScriptedServer]:
    """Serves whatever candidate the loop has, in vLLM's place."""
    with ScriptedServer(answer=answer, models=tuple(WRONG)) as scripted:

        @contextlib.asynccontextmanager
        async def serve(candidates: Sequence[Any], **_: Any) -> AsyncIterator[Fleet]:
            yield Fleet({candidate.name: scripted.url for candidate in candidates}, {})

        patch.setattr(pipeline, "serve_candidates", serve)
        yield scripted


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedServer]:
    with serving(monkeypatch) as scripted:
        yield scripted


class Trainer:
    """In the place of the training's process: checks the recipe and leaves an adapter of its own behind."""

    def __init__(self, dies: BaseException | None = None, code: int = 0) -> None:
        self.recipes: list[Any] = []
        self.dies, self.code = dies, code

    def __call__(self, command: Sequence[str]) -> int:
        recipe = load_recipe(command[4])
        self.recipes.append(recipe)
        if self.dies is not None:
            dies, self.dies = self.dies, None
            raise dies
        if self.code:
            return self.code
        output = Path(recipe.output_dir)
        (output / "log").mkdir(parents=True, exist_ok=True)
        shutil.copy(QUICKSTART / "repaired" / "adapter_model.safetensors", output)
        config = json.loads((QUICKSTART / "repaired" / "adapter_config.json").read_text())
        (output / "adapter_config.json").write_text(json.dumps({**config, "lora_alpha": 32 + len(self.recipes)}))
        rows = sum(len(Path(name).read_text().splitlines()) for name in recipe.dataset)
        log = {"data": [{"path": "x", "sha256": "0", "rows": rows}], "metrics": {"train_loss": 0.5}}
        (output / "log" / "training.json").write_text(json.dumps(log))
        return 0


@pytest.fixture
def trainer(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Trainer]:
    def play(**options: Any) -> Trainer:
        found = Trainer(**options)
        monkeypatch.setattr(looping, "run_training", found)
        return found

    return play


def write(folder: Path, *, extra: str = "", dates: str = "", dev: int = DEV, stage: str = "sft", recipe: str = "") -> list[Any]:
    """Suite and recipe; the words of the command."""
    for name, word in (("sums", "what is"), ("dates", "date")):
        rows = [
            {
                "input": f"{word} {i} {i * 7919:x}",
                "reference": str(i + 1) if name == "sums" else f"d{i}",
                "split": "gate" if i < GATE else "dev",
            }
            for i in range(GATE + dev)
        ]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    base, sft = QUICKSTART / "base", QUICKSTART / "sft"
    suite = folder / "suite.yaml"
    suite.write_text(
        f"suite: desk\nbaseline: base\ncandidates:\n  base: {{model: {base}}}\n  sft: {{model: {base}, adapter: {sft}}}\n"
        "capabilities:\n  sums: {role: target, cases: sums.jsonl, checks: [equals]}\n"
        f"  dates: {{role: protected, margin: 0.1, cases: dates.jsonl, checks: [equals]{dates}}}\n{extra}"
    )
    (folder / "own.jsonl").write_text('{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}\n')
    path = folder / "recipe.yaml"
    path.write_text(
        f"stage: {stage}\nmodel_name_or_path: {base}\ndataset: own.jsonl\noutput_dir: {folder / 'elsewhere'}\n"
        + (recipe or f"adapter_name_or_path: {sft}\n")
    )
    return ["loop", suite, "--recipe", path, "--out", folder / "out"]


@dataclass
class Whole:
    """A loop that ended, with what it said, what was trained, and how many requests it took."""

    folder: Path
    words: list[Any]
    code: int
    told: str
    played: Trainer
    server: ScriptedServer
    asked: int


def rows_of(path: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    """One loop from the damaged candidate to SHIP."""
    folder, played, told = tmp_path_factory.mktemp("whole"), Trainer(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, serving(patch) as server, contextlib.redirect_stdout(told):
        patch.setattr(looping, "run_training", played)
        words = write(folder)
        code = harness(folder, *words)
        asked = server.count
        yield Whole(folder, words, code, told.getvalue(), played, server, asked)


def test_it_goes_from_a_damaged_candidate_to_ship(whole: Whole) -> None:
    assert whole.code == 0
    assert "round 1  sft: OPTIMIZE; in the way: dates" in whole.told
    assert "round 2  sft-r1: OPTIMIZE; in the way: dates" in whole.told
    assert "round 3  sft-r2: SHIP" in whole.told
    assert "3 looks at the same gate cases of at most 3, each at alpha 0.01667 (0.05 / 3)" in " ".join(whole.told.split())
    assert max(map(len, whole.told[: whole.told.index("To keep it")].splitlines())) <= 80
    assert '"sft-r2":' in whole.told
    assert f"adapter: {json.dumps('out/round-2/adapter')}" in whole.told
    ledger = load(whole.folder / "out" / "loop.json")
    assert ledger is not None
    assert [look.outcome for look in ledger.looks] == [Outcome.OPTIMIZE, Outcome.OPTIMIZE, Outcome.SHIP]
    assert ledger.looks[1].better == ("dates",)
    assert ledger.requests == whole.asked == 4 * 2 * GATE + 3 * 2 * DEV  # gate: base and three; dev: base and two


def test_each_round_goes_on_with_the_adapter_of_the_one_before(whole: Whole) -> None:
    first, second = whole.played.recipes
    assert first.adapter_name_or_path == str(QUICKSTART / "sft")
    assert second.adapter_name_or_path == str(whole.folder / "out" / "round-1" / "adapter")
    assert (first.model_name_or_path, first.resume) == (str(QUICKSTART / "base"), True)
    assert not (whole.folder / "elsewhere").exists()


def test_only_dev_cases_are_learnt_and_each_row_knows_its_case(whole: Whole) -> None:
    for recipe in whole.played.recipes:
        (data,) = recipe.dataset
        rows = rows_of(data)
        assert rows
        assert {row["provenance"]["split"] for row in rows} == {"dev"}
        assert all(int(re.findall(r"\d+", row["prompt"][-1]["content"])[0]) >= GATE for row in rows)
    failing = [row for row in rows_of(whole.played.recipes[0].dataset[0]) if not row["provenance"]["replay"]]
    assert len(failing) == DEV // 2
    assert all(row["completion"][0]["content"].startswith("d") for row in failing)


def test_its_runs_and_verdicts_are_of_the_shared_alpha_and_can_be_explained(
    whole: Whole, capsys: pytest.CaptureFixture[str]
) -> None:
    with Store.open(whole.folder / "store") as store:
        runs = [run for run in store.runs("desk") if run.plan.get("split") != Split.DEV and run.candidate.name != "base"]
        alphas = {run.candidate.name: store.verdict(run.id).verdict.gate.alpha for run in runs}  # type: ignore[union-attr]
    assert alphas == pytest.approx(dict.fromkeys(("sft", "sft-r1", "sft-r2"), 0.05 / 3))
    assert harness(whole.folder, "explain", runs[0].id) in (0, 1)
    assert "the same verdict as was stored" in capsys.readouterr().out


def test_the_same_command_again_does_nothing_again(whole: Whole, capsys: pytest.CaptureFixture[str]) -> None:
    trained = len(whole.played.recipes)
    assert harness(whole.folder, *whole.words) == 0
    assert (whole.server.count, len(whole.played.recipes)) == (whole.asked, trained)
    assert capsys.readouterr().out == whole.told


def test_the_page_tells_every_round(whole: Whole) -> None:
    page = (whole.folder / "out" / "loop.html").read_text()
    for number in (1, 2, 3):
        assert f'<section id="round-{number}">' in page
        assert (whole.folder / "out" / f"round-{number}" / "report.html").exists()
        assert f'href="round-{number}/report.html"' in page


def test_stopped_in_a_training_it_goes_on_with_that_training(
    tmp_path: Path, server: ScriptedServer, trainer: Callable[..., Trainer], capsys: pytest.CaptureFixture[str]
) -> None:
    words, played = write(tmp_path), trainer(dies=KeyboardInterrupt())
    assert harness(tmp_path, *words) == 4
    assert "running the same command again continues it" in capsys.readouterr().err
    assert "Under way" in (tmp_path / "out" / "loop.html").read_text()
    assert server.count == 2 * FIRST
    assert harness(tmp_path, *words, "--requests", 2 * FIRST) == 1
    assert server.count == 2 * FIRST == load(tmp_path / "out" / "loop.json").requests  # type: ignore[union-attr]
    assert played.recipes[0] == played.recipes[1]


def test_a_training_that_fails_ends_the_loop_and_the_same_command_tries_again(
    tmp_path: Path, server: ScriptedServer, trainer: Callable[..., Trainer], capsys: pytest.CaptureFixture[str]
) -> None:
    words, played = write(tmp_path), trainer()
    for code, ours in ((3, 3), (4, 4), (137, 4)):
        played.code = code
        assert harness(tmp_path, *words) == ours
        assert f"the training of round 1 ended with exit code {code}" in capsys.readouterr().err
    played.code = 0
    assert harness(tmp_path, *words, "--requests", 2 * FIRST) == 1
    assert server.count == 2 * FIRST


def test_no_progress_ends_it(
    tmp_path: Path, server: ScriptedServer, trainer: Callable[..., Trainer], monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setitem(WRONG, "sft-r1", 2)
    words, played = write(tmp_path), trainer()
    assert harness(tmp_path, *words) == 1
    told = " ".join(capsys.readouterr().out.split())
    assert "no-progress: the same stands in the way as in the round before (dates)" in told
    assert "harness explain" in told
    assert len(played.recipes) == 1


def test_a_budget_ends_it_and_a_larger_one_goes_on(
    tmp_path: Path, server: ScriptedServer, trainer: Callable[..., Trainer], capsys: pytest.CaptureFixture[str]
) -> None:
    words, _ = write(tmp_path), trainer()
    assert harness(tmp_path, *words, "--requests", 2 * FIRST + 1) == 1
    said = f"requests: {2 * FIRST} of {2 * FIRST + 1} requests are spent, and the next step needs {2 * GATE}"
    assert said in " ".join(capsys.readouterr().out.split())
    assert server.count == 2 * FIRST
    assert harness(tmp_path, *words, "--rounds", "9") == 3
    assert "number of rounds, which alpha was shared out by: it was 3, now it is 9" in capsys.readouterr().err
    config = tmp_path / "out" / "round-1" / "adapter" / "adapter_config.json"
    trained = config.read_text()
    config.write_text(trained.replace('"lora_alpha": 33', '"lora_alpha": 99'))
    assert harness(tmp_path, *words) == 3
    assert "its files have changed" in capsys.readouterr().err
    config.write_text(trained)
    assert harness(tmp_path, *words, "--requests", 2 * FIRST + 2 * GATE) == 1
    assert "round 2  sft-r1: OPTIMIZE" in capsys.readouterr().out


def test_preference_training_takes_the_pairs_and_a_fresh_adapter_those_of_all_rounds(
    tmp_path: Path, server: ScriptedServer, trainer: Callable[..., Trainer]
) -> None:
    words, played = write(tmp_path, stage="dpo", recipe="lora_rank: 4\n"), trainer()
    assert harness(tmp_path, *words, "--requests", 2 * FIRST) == 1
    (recipe,) = played.recipes
    rows = rows_of(recipe.dataset[0])
    assert Path(recipe.dataset[0]).name == "pairs.jsonl"
    assert {row["rejected"][0]["content"] for row in rows} == {"no"}
    assert len(rows) == DEV // 2
    assert recipe.adapter_name_or_path is None
    out = tmp_path / "out"
    shutil.copytree(out / "round-1", out / "round-3")
    fresh = looping.Loop(None, "sft", recipe, None, 3, False, out)  # type: ignore[arg-type]
    assert fresh.rows(3) == [out / "round-1" / "pairs.jsonl", out / "round-3" / "pairs.jsonl"]
    going_on = replace(fresh, recipe=recipe.with_(adapter_name_or_path="x", stage="sft"))
    assert going_on.rows(3) == [out / "round-3" / "sft.jsonl"]


def test_a_sequential_gate_is_asked_until_decided_and_the_dev_split_whole_beside_own_rows(
    tmp_path: Path, server: ScriptedServer, trainer: Callable[..., Trainer]
) -> None:
    words, played = write(tmp_path, extra="gate: {sequential: true}\n"), trainer()
    code = harness(tmp_path, *words, "--requests", 2 * FIRST, "--keep-dataset")
    ledger = load(tmp_path / "out" / "loop.json")
    assert ledger is not None
    assert code == ledger.looks[-1].exit_code
    assert ledger.requests == server.count
    assert sum(w.cases for w in ledger.rounds[0].failures.weaknesses) == 2 * DEV  # type: ignore[union-attr]
    assert [Path(name).name for name in played.recipes[0].dataset] == ["sft.jsonl", "own.jsonl"]
    assert rows_of(played.recipes[0].dataset[1]) == [
        {"prompt": [{"role": "user", "content": "q"}], "completion": [{"role": "assistant", "content": "a"}]}
    ]


@pytest.mark.parametrize(
    ("change", "options", "said"),
    [
        ({}, ["-c", "base"], "base is the baseline itself"),
        ({}, ["-c", "nobody"], "no candidate 'nobody'"),
        ({"dates": ", split: all"}, [], "asks dev cases of dates"),
        ({"dev": 0}, [], "no capability has a dev case"),
        ({"stage": "rm", "recipe": "lora_rank: 4\n"}, [], "reward model"),
    ],
)
def test_what_can_never_work_is_refused_before_anything_is_asked(
    change: dict[str, Any],
    options: list[str],
    said: str,
    tmp_path: Path,
    server: ScriptedServer,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert harness(tmp_path, *write(tmp_path, **change), *options) == 3
    assert said in capsys.readouterr().err
    assert server.count == 0
    assert not (tmp_path / "out").exists()


def test_a_suite_whose_baseline_is_promoted_needs_one(
    tmp_path: Path, server: ScriptedServer, capsys: pytest.CaptureFixture[str]
) -> None:
    words = write(tmp_path)
    words[1].write_text(words[1].read_text().replace("baseline: base", "baseline: promoted"))
    assert harness(tmp_path, *words, "-c", "sft") == 3
    assert "no run of desk is promoted" in capsys.readouterr().err
    assert server.count == 0


def test_a_folder_has_one_loop_at_a_time(tmp_path: Path, server: ScriptedServer, capsys: pytest.CaptureFixture[str]) -> None:
    from harness.cli.loop import alone

    words = write(tmp_path)
    with alone((tmp_path / "out").resolve()):
        assert harness(tmp_path, *words) == 3
    assert "runs the loop of this folder" in capsys.readouterr().err


def test_a_training_ends_when_the_loop_is_interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real process: under the watchdog, so that neither Ctrl-C nor a kill of the loop leaves it behind."""
    mark = tmp_path / "pid"
    script = f"import os, pathlib, time\npathlib.Path({str(mark)!r}).write_text(str(os.getpid()))\ntime.sleep(60)"

    class Interrupted(looping.subprocess.Popen):  # type: ignore[type-arg]
        waited = False

        def wait(self, timeout: float | None = None) -> int:
            if not Interrupted.waited:
                Interrupted.waited = True
                deadline = time.monotonic() + 30
                while not (mark.exists() and mark.read_text()) and time.monotonic() < deadline:
                    time.sleep(0.02)
                raise KeyboardInterrupt
            return super().wait(timeout)

    monkeypatch.setattr(looping.subprocess, "Popen", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        REAL([sys.executable, "-c", script])
    assert not Path(f"/proc/{mark.read_text()}").exists()


def test_the_exit_code_of_a_training_is_its_own() -> None:
    assert REAL([sys.executable, "-c", "raise SystemExit(7)"]) == 7
