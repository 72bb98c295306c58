"""Judges in the store: replies found again, judgments with the answers they are about, calibrations, all of it after a crash."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.runs import make_failure, make_record, make_request, make_requests, make_response, make_score

from harness.model import (
    Calibration,
    Candidate,
    Estimate,
    JudgedItem,
    Judgment,
    Message,
    Request,
    Response,
    Sampling,
    Score,
    TokenChoice,
)
from harness.store import Asked, Store

JUDGE = Candidate("judge", "judge", "j" * 64)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store")


def question(about: Request, text: str = "How good is it?") -> Request:
    return Request(JUDGE, about.case, (Message("user", text),), Sampling())


def judgment(about: Request, value: float | None = 0.75, **changes: object) -> Judgment:
    given_: dict[str, object] = {
        "judge": "tone",
        "digest": "d" * 32,
        "case_id": about.case.id,
        "value": value,
        "passed": None if value is None else value >= 0.5,
        "explanation": "polite enough",
        "mode": "schema",
    }
    return Judgment(**{**given_, **changes})  # type: ignore[arg-type]


def test_a_reply_is_found_again_by_its_question_and_comes_back_whole(store: Store) -> None:
    about = make_request(1)
    asked = question(about)
    reply = Response(
        asked.key,
        text='{"score": 4}',
        prompt_tokens=90,
        completion_tokens=8,
        total_s=0.5,
        tail=(TokenChoice("4", (("4", -0.1), ("5", -2.5))),),
    )
    with store.begin_run(make_record(), "", {}, [about]) as writer:
        writer.add_reply(about, asked, reply)
        assert store.replies([asked.key], fold=True) == {asked.key: reply}
        writer.finish("complete")
    assert store.replies([asked.key, "nothing"]) == {asked.key: reply}
    assert store.reply_keys([JUDGE.digest]) == [asked.key]
    assert store.reply_keys(["another"]) == []
    sizes = store.reply_sizes(JUDGE.digest)
    assert sizes is not None
    assert (sizes.n, sizes.prompt_tokens, sizes.completion_tokens) == (1, 90.0, 8.0)
    assert store.reply_sizes("another") is None


def test_a_refusal_is_remembered_until_there_is_a_reply_and_a_failure_is_not(store: Store) -> None:
    about = make_request(1)
    refused, failed = question(about), question(about, "again?")
    with store.begin_run(make_record(), "", {}, [about]) as writer:
        writer.add_reply(about, refused, make_failure(refused, "http-400"))
        writer.add_reply(about, failed, make_failure(failed, "timeout"))
        assert set(store.reply_keys([JUDGE.digest])) == {refused.key}
        writer.add_reply(about, refused, make_response(refused, "5"))
        writer.add_reply(about, refused, make_failure(refused, "http-400"))
        assert store.replies([refused.key], fold=True)[refused.key].text == "5"
        writer.finish("complete")


def test_judgments_come_back_with_the_answers_they_are_about(store: Store) -> None:
    base, ours = list(make_requests(3)), list(make_requests(3))
    with store.begin_run(make_record("base"), "", {}, base) as writer:
        for request in base:
            writer.add_response(request, make_response(request, "theirs"))
        writer.finish("complete")
    full = judgment(
        ours[0],
        items=(JudgedItem("polite", "Is it polite?", 1.0, 2.0),),
        orders=(("candidate", None),),
        preference="tie",
        members=(judgment(ours[0], judge="a"),),
        flags=("addresses-judge",),
        keys=("k1", "k2"),
    )
    with store.begin_run(make_record("ours"), "", {}, ours) as writer:
        for request in ours:
            writer.add_response(request, make_response(request, "mine"))
        writer.add_judgment(ours[0], full, Asked(2, 1, 0.25), baseline_run_id="base")
        writer.add_judgment(ours[1], judgment(ours[1], judge="other"), Asked(1, 0))
        writer.add_judgment(ours[1], judgment(ours[1], None, unscored="judge-invalid"), Asked(1, 1))
        writer.add_judgment(ours[1], judgment(ours[1], 0.5), Asked(1, 1))
        writer.finish("complete")
    found = list(store.judgments("ours"))
    assert [(f.case_id, f.judgment.judge, f.judgment.value) for f in found] == [
        (ours[0].case.id, "tone", 0.75),
        (ours[1].case.id, "other", 0.75),
        (ours[1].case.id, "tone", 0.5),
    ], "the latest of each judge"
    assert found[0].judgment == full
    assert (found[0].asked, found[0].capability, found[0].baseline_run_id) == (Asked(2, 1, 0.25), "math", "base")
    assert found[0].response_id is not None
    assert found[0].baseline_response_id is not None
    assert found[0].response_id != found[0].baseline_response_id
    assert [f.longer for f in found] == [len("mine") - len("theirs"), None, None]
    assert [f.judgment.judge for f in store.judgments("ours", "other")] == ["other"]
    assert list(store.judgments("base")) == []


def test_another_rendering_of_the_question_has_no_judgment(store: Store) -> None:
    before, after = make_request(1), make_request(1, vars={"input": "in other words"})
    for request in (before, after):
        with store.begin_run(make_record(), "", {}, [request]) as writer:
            writer.add_response(request, make_response(request))
            if request is before:
                writer.add_judgment(request, judgment(request), Asked(1, 1))
            writer.finish("complete")
    assert list(store.judgments("run1")) == []


def test_what_a_judge_could_not_be_asked_is_not_done(store: Store) -> None:
    requests = list(make_requests(3))
    with store.begin_run(make_record(), "", {}, requests) as writer:
        for request, errored, code in zip(requests, (False, True, False), ("judge-invalid", "judge-error", None), strict=True):
            response = make_response(request)
            value = None if code else 1.0
            writer.add_response(request, response)
            writer.add_judgment(request, judgment(request, value, unscored=code, errored=errored), Asked(1, 1))
            writer.add_score(request, response, Score(value, None if code else True, code), "v1")
        assert writer.done("v1") == {(requests[0].case.id, 0), (requests[2].case.id, 0)}
        writer.finish("complete")
    assert store.run("run1").ledger.unscored == {"judge-invalid": 1, "judge-error": 1}
    assert store.run("run1").ledger.closed


def test_answers_of_a_run_by_case_and_sample(store: Store) -> None:
    requests = list(make_requests(3, samples=2))
    with store.begin_run(make_record(), "", {}, requests) as writer:
        for number, request in enumerate(requests[:5]):
            writer.add_response(request, make_response(request, f"answer {number}") if number != 3 else make_failure(request))
        writer.finish("interrupted")
    keys = [(request.case.id, request.sample) for request in requests]
    found = store.answers("run1", [*keys, ("elsewhere", 0)])
    assert {key: response.text for key, response in found.items()} == {
        keys[0]: "answer 0",
        keys[1]: "answer 1",
        keys[2]: "answer 2",
        keys[4]: "answer 4",
    }
    assert store.answers("run1", []) == {}


def test_a_calibration_replaces_the_one_before(store: Store) -> None:
    def made(kappa: float, capability: str = "") -> Calibration:
        return Calibration(
            judge="tone",
            digest="d" * 32,
            kind="pointwise",
            n_labels=50,
            n=48,
            kappa=Estimate(kappa, kappa - 0.1, kappa + 0.1, 48, "delta"),
            agreement=Estimate(0.9),
            agreement_all=Estimate(0.88),
            recall={"pass": Estimate(0.95), "fail": Estimate(None, reason="no failing case")},
            confusion={"pass": {"pass": 40, "fail": 2}},
            capability=capability,
        )

    store.save_calibration(made(0.5))
    store.save_calibration(made(0.7))
    store.save_calibration(made(0.6, "tone"))
    assert store.calibrations(["d" * 32, "unknown"]) == [made(0.6, "tone"), made(0.7)]
    assert store.calibrations([]) == []


def test_what_was_written_before_a_crash_is_there(store: Store) -> None:
    about = make_request(1)
    asked = question(about)
    writer = store.begin_run(make_record(), "", {}, [about])
    writer.add_response(about, make_response(about))
    writer.add_reply(about, asked, make_response(asked, "4"))
    writer.add_judgment(about, judgment(about), Asked(1, 1))
    [segment] = sorted((store.path / "journal" / "run1").glob("*.jsonl"))
    with segment.open("a") as file:  # a line that the kill cut short, and one that is damaged
        file.write('{"t":"j","case_id":"x","sample":0,"judge":7}\n{"t":"q","case_id":"' + about.case.id)
    writer.close()
    assert [found.judgment.value for found in store.judgments("run1")] == [0.75]
    assert store.replies([asked.key])[asked.key].text == "4"
    assert any("damaged" in note for note in store.notes)
    assert any("cut short" in note for note in store.notes)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(st.text(max_size=60), min_size=2, max_size=2), value=st.one_of(st.none(), st.floats(0, 1)))
def test_hostile_words_of_a_judge_are_data(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], value: float | None
) -> None:
    store = Store.open(tmp_path_factory.mktemp("hostile") / "store")
    about = make_request(1)
    said = judgment(about, value, explanation=texts[0], choice=texts[1], flags=(texts[1],), mode=texts[0])
    with store.begin_run(make_record(), "", {}, [about]) as writer:
        writer.add_response(about, make_response(about))
        writer.add_score(about, make_response(about), make_score(), "v1")
        writer.add_judgment(about, said, Asked(1, 1))
        writer.finish("complete")
    [found] = store.judgments("run1")
    assert found.judgment == said


def test_every_judgment_can_be_exported(store: Store, tmp_path: Path) -> None:
    about = make_request(1)
    with store.begin_run(make_record(), "", {}, [about]) as writer:
        writer.add_response(about, make_response(about))
        writer.add_judgment(about, judgment(about, explanation='=cmd("x")', flags=("f",)), Asked(2, 1, 0.5))
        writer.finish("complete")
    for form in ("jsonl", "csv", "parquet"):
        assert store.export("run1", "judgments", tmp_path / f"out.{form}", form) == 1
    [row] = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert (row["judge"], row["value"], row["mode"], row["explanation"]) == ("tone", 0.75, "schema", '=cmd("x")')
    assert (row["case_id"], row["requests"], row["requests_sent"], row["flags"]) == (about.case.id, 2, 1, ["f"])
    assert row["response_digest"] == hashlib.sha256(make_response(about).text.encode()).hexdigest()
    assert row["baseline_digest"] is None
    assert "'=cmd" in (tmp_path / "out.csv").read_text()
