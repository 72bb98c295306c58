"""The loop: what is asked and how, what comes of it whatever the order of answers, failures, and going on from the journal."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import fake_writer

from harness.errors import BusyError, DataError, IncompleteError, UsageError
from harness.model import Request, Response
from harness.quality.novelty import NoveltyIndex
from harness.quality.selfinstruct.engine import Engine, Recipe
from harness.quality.selfinstruct.journal import Answer, Journal
from harness.quality.selfinstruct.results import diversity, report, rows, write
from harness.quality.selfinstruct.seeds import Instance, Task, read_seeds

SEEDS = read_seeds()
Fault = Callable[[str, int], Response | None]


class Writer:
    """A client over fake_writer that answers out of order. fault: (kind of prompt, number from 0) -> a failure, or None."""

    def __init__(self, fault: Fault = lambda kind, number: None, order: int = 0) -> None:
        self.fault, self.rng = fault, random.Random(order)
        self.asked: list[Request] = []

    async def ask(self, request: Request) -> Response:
        number = len(self.asked)
        self.asked.append(request)
        for _ in range(self.rng.randrange(5)):
            await asyncio.sleep(0)
        prompt = request.messages[-1].content
        failed = self.fault(fake_writer.kind(prompt), number)
        if failed is not None:
            return failed
        said = fake_writer.answer({"messages": [{"content": prompt}], "seed": request.sampling.seed + request.sample})
        return Response(request.key, text=str(said), finish_reason="stop")

    def of(self, kind: str) -> list[Request]:
        return [request for request in self.asked if fake_writer.kind(request.messages[-1].content) == kind]


def play(folder: Path, recipe: Recipe, client: Writer, seeds: tuple[Task, ...] = SEEDS) -> Engine:
    with Journal(folder, recipe.settings(seeds, "m")) as journal:
        engine = Engine(seeds, recipe, client, "m", journal)
        asyncio.run(engine.run())
    return engine


def result(engine: Engine) -> tuple[Any, ...]:
    return engine.made, engine.finished, engine.rejected


def test_what_is_asked_is_asked_as_the_paper_does(tmp_path: Path) -> None:
    client = Writer()
    engine = play(tmp_path, Recipe(count=30, batch=2), client)
    made = {task.instruction for task in engine.made}
    people = {" ".join(task.instruction.split()) for task in SEEDS}
    machine_made: Counter[int] = Counter()
    for request in client.of("generate"):
        sent = request.sampling
        assert (sent.temperature, sent.top_p, sent.max_tokens, sent.extra["presence_penalty"]) == (0.7, 0.5, 1024, 2.0)
        lines = [line.partition(". ")[2] for line in request.messages[0].content.splitlines() if line[:1].isdigit()]
        shown = [line for line in lines if line]
        assert len(shown) == len(set(shown)) == 8
        assert set(shown) <= made | people
        machine_made[len(set(shown) & made)] += 1
    assert set(machine_made) == {0, 2}
    assert machine_made[0] == 2  # the first round has nothing else
    for request in client.of("classify"):
        assert (request.sampling.temperature, request.sampling.max_tokens) == (0.0, 3)
    for kind, tokens in (("labels", 300), ("inputs", 350)):
        for request in client.of(kind):
            sent = request.sampling
            assert (sent.max_tokens, sent.stop, sent.extra["presence_penalty"]) == (tokens, ("Example 6", "Task:"), 1.5)
    assert len(client.of("classify")) == len(client.of("labels")) + len(client.of("inputs")) == 30
    assert {done.classification for done in engine.finished.values()} == {True, False}


def test_accepted_instructions_are_new_and_keep_their_letter_case(tmp_path: Path) -> None:
    engine = play(tmp_path, Recipe(count=40), Writer())
    index = NoveltyIndex([task.instruction for task in SEEDS])
    for task in engine.made:
        assert index.closest(task.instruction) is None
        assert [score for _, score in task.similar] == sorted((score for _, score in task.similar), reverse=True)
        index.add(task.instruction)
    assert any("NASA" in task.instruction or "SQL" in task.instruction for task in engine.made)
    similar = [one for one in engine.rejected if one.code == "too-similar"]
    assert similar
    for one in similar:
        assert one.nearest is not None
        match = NoveltyIndex([one.nearest]).closest(one.text)
        assert match is not None
        assert match.score == one.similarity
        assert match.score > 0.7


def test_seeds_are_never_filtered(tmp_path: Path) -> None:
    """Eight seeds that are all too short, too similar and begin with punctuation are shown all the same."""
    seeds = tuple(Task(f"s{i}", f"- draw {i}") for i in range(8))
    client = Writer()
    engine = play(tmp_path, Recipe(count=3), client, seeds)
    assert all(f". - draw {i}\n" in client.asked[0].messages[0].content for i in range(8))
    assert engine.count == 3


def test_the_result_does_not_depend_on_the_order_of_answers(tmp_path: Path) -> None:
    recipe = Recipe(count=25, evolve=0.4)
    first = play(tmp_path / "a", recipe, Writer(order=1))
    second = play(tmp_path / "b", recipe, Writer(order=2))
    assert first.made == second.made
    assert first.rejected == second.rejected
    assert first.finished == second.finished
    assert [task.id for task in first.made if task.parent is None] == [f"machine_task_{i}" for i in range(25)]
    other = play(tmp_path / "c", Recipe(count=25, seed=7), Writer())
    assert [task.instruction for task in other.made] != [task.instruction for task in first.made if task.parent is None]


def test_what_the_journal_knows_is_not_asked_again_and_more_can_be_added(tmp_path: Path) -> None:
    first = play(tmp_path, Recipe(count=20, evolve=0.3), Writer())
    client = Writer()
    again = play(tmp_path, Recipe(count=20, evolve=0.3), client)
    assert client.asked == []
    assert result(again) == result(first)
    more = play(tmp_path, Recipe(count=40, evolve=0.3), client)
    assert more.count == 40
    assert len({request.key for request in client.asked}) == len(client.asked) > 0
    generated = [task.instruction for task in first.made if task.parent is None]
    assert [task.instruction for task in more.made if task.parent is None][:20] == generated


def down(kind: str, number: int) -> Response | None:
    return Response("", error="connection", error_message="refused") if number >= 30 else None


def test_a_server_that_goes_away_stops_the_run_and_the_next_one_goes_on(tmp_path: Path) -> None:
    whole = play(tmp_path / "whole", Recipe(count=40), Writer())
    client = Writer(down)
    with pytest.raises(IncompleteError, match="connection: refused"):
        play(tmp_path / "cut", Recipe(count=40), client)
    answered = {request.key for request in client.asked[:30]}
    client = Writer()
    assert result(play(tmp_path / "cut", Recipe(count=40), client)) == result(whole)
    assert not answered & {request.key for request in client.asked}


def test_a_failed_prompt_is_given_up_and_stays_so(tmp_path: Path) -> None:
    failed = Response("", error="timeout", error_message="no answer")
    client = Writer(lambda kind, number: failed if number == 3 else None)
    first = play(tmp_path, Recipe(count=20), client)
    assert [one.code for one in first.rejected].count("failed") == 1
    client = Writer()
    assert result(play(tmp_path, Recipe(count=20), client)) == result(first)
    assert client.asked == []


def test_an_instance_that_failed_is_asked_again_by_the_next_run(tmp_path: Path) -> None:
    failed = Response("", error="http-503", error_message="busy")
    seen = Counter[str]()

    def fault(kind: str, number: int) -> Response | None:
        seen[kind] += 1
        return failed if kind == "classify" and seen[kind] <= 5 else None

    with pytest.raises(IncompleteError, match="5 instructions have no instances yet: http-503: busy"):
        play(tmp_path, Recipe(count=20), Writer(fault))
    client = Writer()
    engine = play(tmp_path, Recipe(count=20), client)
    assert len(client.of("classify")) == 5
    assert len(engine.finished) == 20


def test_a_question_the_server_refuses_for_good_is_given_up(tmp_path: Path) -> None:
    refused = Response("", error="http-400", error_message="too long")
    seen = Counter[str]()

    def fault(kind: str, number: int) -> Response | None:
        seen[kind] += 1
        return refused if kind == "inputs" and seen[kind] == 1 else None

    engine = play(tmp_path, Recipe(count=20), Writer(fault))
    given_up = [one for done in engine.finished.values() for one in done.rejected if one.code == "failed"]
    assert [one.text for one in given_up] == ["http-400: too long"]
    client = Writer()
    assert result(play(tmp_path, Recipe(count=20), client)) == result(engine)
    assert client.asked == []


def test_an_answer_cut_by_the_token_limit_is_discarded_whole(tmp_path: Path) -> None:
    cut = Response("", text="9. Name three towns in Norway.\n10. Name", finish_reason="length")
    engine = play(tmp_path, Recipe(count=10), Writer(lambda kind, number: cut if number == 0 else None))
    assert [one.text for one in engine.rejected if one.code == "cut"] == [cut.text]
    assert "Name three towns in Norway." not in [task.instruction for task in engine.made]


def test_a_model_that_says_the_same_for_ever_is_told(tmp_path: Path) -> None:
    class Parrot(Writer):
        async def ask(self, request: Request) -> Response:
            self.asked.append(request)
            return Response(request.key, text="9. Name three towns in Norway please.\n10. Oops", finish_reason="stop")

    client = Parrot()
    with pytest.raises(IncompleteError, match="20 rounds in a row brought no new instruction: 1 of 5"):
        play(tmp_path, Recipe(count=5, batch=2), client)
    assert len(client.of("generate")) == 2 * 21


def test_harder_versions_are_new_and_name_what_they_come_from(tmp_path: Path) -> None:
    engine = play(tmp_path, Recipe(count=20, evolve=1.0), Writer())
    by_id = {task.id: task for task in engine.made}
    harder = [task for task in engine.made if task.parent]
    assert harder
    for task in harder:
        assert task.parent is not None
        assert task.instruction.startswith(by_id[task.parent].instruction.rstrip("."))
        assert task.id == f"{task.parent}_harder"
    assert engine.count == 20
    assert {one.step for one in engine.rejected} == {"instruction", "harder"}


def test_a_harder_version_that_changes_nothing_is_turned_away(tmp_path: Path) -> None:
    class Echo(Writer):
        async def ask(self, request: Request) -> Response:
            prompt = request.messages[-1].content
            if fake_writer.kind(prompt) == "harder":
                return Response(request.key, text=prompt.split("\n")[-2].upper(), finish_reason="stop")
            return await super().ask(request)

    engine = play(tmp_path, Recipe(count=5, evolve=1.0), Echo())
    assert [one.code for one in engine.rejected if one.step == "harder"] == ["unchanged"] * 5
    assert len(engine.made) == 5


def test_labels_only_shows_classifications_only(tmp_path: Path) -> None:
    client = Writer()
    play(tmp_path / "a", Recipe(count=5, labels_only=True), client)
    labels = {" ".join(task.instruction.split()) for task in SEEDS if task.classification}
    first = client.asked[0].messages[0].content
    shown = [line.partition(". ")[2] for line in first.splitlines() if line[:1].isdigit()]
    assert set(shown) - {""} <= labels
    with pytest.raises(UsageError, match="0 classifications"):
        play(tmp_path / "b", Recipe(labels_only=True), client, tuple(Task(str(i), f"Do {i}") for i in range(9)))


# -- the journal


def test_a_line_cut_off_by_a_kill_is_dropped(tmp_path: Path) -> None:
    with Journal(tmp_path, {"seed": 1}) as journal:
        journal.add("a", Answer("one\u2028\ud800\n", "stop"))
        journal.add("b", Answer("two", "stop"))
    path = tmp_path / "journal.jsonl"
    whole = path.read_bytes()
    for size in range(len(whole) - 1, len(whole) - 20, -1):
        path.write_bytes(whole[:size])
        with Journal(tmp_path, {"seed": 1}) as journal:
            assert journal.answers == {"a": Answer("one\u2028\ud800\n", "stop")}
            journal.add("b", Answer("two", "stop"))
        assert path.read_bytes() == whole
    path.write_bytes(whole[:5])
    with Journal(tmp_path, {"seed": 1}) as journal:
        assert journal.answers == {}
    assert len(path.read_bytes().splitlines()) == 1


def test_another_runs_journal_and_other_files_are_refused(tmp_path: Path) -> None:
    own = {"seed": 1, "model": "a"}
    with Journal(tmp_path, own), pytest.raises(BusyError, match="another process"), Journal(tmp_path, own):
        pass
    with pytest.raises(DataError, match=r"seed 1, now 2"), Journal(tmp_path, {"seed": 2, "model": "a"}):
        pass
    for text in ("what\n", "[]\n", '{"format": 99, "settings": {}}\n'):
        (tmp_path / "journal.jsonl").write_text(text)
        with pytest.raises(DataError), Journal(tmp_path, {"seed": 1}):
            pass
        assert (tmp_path / "journal.jsonl").read_text() == text


# -- what is left behind


def test_rows_are_conversations_or_the_papers_forms() -> None:
    instances = (Instance("Sentence: a\n\nb", "c"), Instance("", "d"), Instance("Sentence: a\n\nb", "c"))
    task = Task("t", "Do {input} it.", instances)
    chat = rows([(task, "machine")])
    assert len(chat) == 2
    assert {(row.prompt[0].content, row.completion[0].content) for row in chat} == {
        ("Do {input} it.\n\nSentence: a\n\nb", "c"),
        ("Do {input} it.", "d"),
    }
    forms: set[str] = set()
    for seed in range(300):
        for row in rows([(task, "machine")], plain=True, seed=seed):
            assert row.prompt[0].role == "text"
            assert row.completion[0].content in (" c", " d")
            forms.add(row.prompt[0].content)
    given = {form for form in forms if "a\n" in form}
    assert len(forms - given) == 6
    assert len(given) == 7 * 2 * 2
    assert rows([(task, "x")], seed=1) == rows([(task, "x")], seed=1)


def test_the_report_adds_up_and_every_text_is_somewhere(tmp_path: Path) -> None:
    engine = play(tmp_path, Recipe(count=30), Writer())
    found = write(tmp_path, engine, SEEDS)
    assert found == json.loads((tmp_path / "report.json").read_text())
    assert (found["instructions"], found["finished"], found["complete"]) == (30, 30, True)
    tasks = [json.loads(line) for line in (tmp_path / "tasks.jsonl").read_text().splitlines()]
    assert found["instances"] == sum(len(task["instances"]) for task in tasks)
    assert found["empty_inputs"] == sum(not one["input"] for task in tasks for one in task["instances"])
    rejected = [json.loads(line) for line in (tmp_path / "rejected.jsonl").read_text().splitlines()]
    assert sum(sum(codes.values()) for codes in found["rejected"].values()) == len(rejected)
    assert all(one["reason"] for one in rejected)
    trained = [json.loads(line) for line in (tmp_path / "train.jsonl").read_text().splitlines()]
    assert len(trained) == found["rows"]
    assert {row["origin"] for row in trained} == {"human", "machine"}
    spread = found["rouge_l"]["nearest_seed"]
    assert 0 <= spread["p10"] <= spread["p50"] <= spread["p90"] <= 0.7


def test_a_report_on_nothing_holds_no_made_up_figures(tmp_path: Path) -> None:
    with Journal(tmp_path, {}) as journal:
        engine = Engine(SEEDS, Recipe(), Writer(), "m", journal)
    found = report(engine, SEEDS)
    assert found["instructions"] == 0
    assert found["rouge_l"] == {"nearest_seed": None, "nearest_when_accepted": None}
    assert found["diversity"] is None
    assert diversity(["Name a b", "name c d", "Do e f"]) == {
        "opening_words": 2,
        "commonest": {"name": 2, "do": 1},
        "distinct_pairs": 1.0,
    }
