"""`harness run` with judges, from suite to exit code: what is asked, what is not asked again, and what a judge's failure is."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from support.gates import harness
from support.juries import CASES, MODELS, answer, outside_fences, scripted, texts, verdict, write_jury
from support.scripted_server import Body, Fault, ScriptedServer

from harness.model import RunRecord
from harness.store import Store, StoredJudgment
from judges.attacks import corpus

CANARIES = 3  # of the rubric `helpfulness`


def stored(folder: Path, name: str) -> RunRecord:
    with Store.open(folder / "store") as store:
        return next(record for record in store.runs() if record.candidate.name == name)


def judgments(folder: Path, name: str) -> list[StoredJudgment]:
    with Store.open(folder / "store") as store:
        return list(store.judgments(stored(folder, name).id))


def about_answers(server: ScriptedServer, model: str = "judge") -> list[dict[str, str]]:
    """What the judge was shown, canaries aside."""
    shown = [texts(seen.body) for seen in server.requests if seen.model == model]
    return [one for one in shown if "guest" in one.get("question", "")]


def test_a_judge_decides_like_a_check_and_is_asked_each_question_once(tmp_path: Path) -> None:
    with scripted() as server:
        suite = write_jury(tmp_path, server.url)
        assert harness(tmp_path, "run", suite, "-c", "bad") == 1
        assert len(about_answers(server)) == CASES + CASES // 2, "half of the answers are the same in both runs"
        assert server.counts["judge"] == len(about_answers(server)) + 2 * CANARIES
    found = judgments(tmp_path, "bad")
    assert len(found) == CASES
    assert {one.judgment.value for one in found} == {0.0, 1.0}
    assert {one.judgment.mode for one in found} == {"schema"}
    assert sum(one.asked.sent for one in found) == CASES // 2
    assert all(one.response_id for one in found)
    kept = stored(tmp_path, "bad").provenance["judging"]
    assert kept["capabilities"] == {"tone": ["polite"]}
    assert kept["judges"]["polite"]["kind"] == "pointwise"
    [asks] = kept["judges"]["polite"]["asks"]
    assert asks["task"].startswith("Grade how well"), "what people who label are shown"
    assert any(line.startswith("5: ") for line in asks["lines"])
    assert {canary["state"] for canary in kept["canaries"]} <= {"held", "drifted"}
    assert len(kept["canaries"]) == CANARIES, "those of the last run that asked"


def test_a_changed_rubric_asks_only_the_judge_and_a_changed_rule_nobody(tmp_path: Path) -> None:
    with scripted() as server:
        suite = write_jury(tmp_path, server.url)
        assert harness(tmp_path, "run", suite, "-c", "bad") == 1
        before = server.count
        shipped = (resources.files("judges.rubrics") / "helpfulness.yaml").read_text()
        (tmp_path / "mine.yaml").write_text(shipped.replace("task: Grade how well", "task: Grade strictly how well"))
        rubric = "kind: pointwise, rubric: ./mine.yaml"
        write_jury(tmp_path, server.url, judge=rubric)
        assert harness(tmp_path, "run", suite, "-c", "bad") == 1
        assert server.counts["base"] == server.counts["bad"] == 2 * CASES
        assert server.count == before + CASES + CASES // 2 + 2 * CANARIES
        url = server.url
    checks = "[{judge: polite, threshold: 0.9}, {type: contains, value: guest, weight: 0.5}]"
    write_jury(tmp_path, url, judge=rubric, checks=checks)
    assert harness(tmp_path, "run", suite, "-c", "bad") == 1, "no server is needed to score anew"
    assert stored(tmp_path, "bad").ledger.closed
    assert len(stored(tmp_path, "bad").provenance["judging"]["judges"]) == 1


def test_judges_and_their_settings_are_part_of_the_hash_and_secrets_are_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def hash_of(**options: Any) -> str:
        assert (
            harness(tmp_path, "run", write_jury(tmp_path, "http://127.0.0.1:1/v1", **options), "--expect-hash", "00000000") == 3
        )
        return capsys.readouterr().err.split("hash is ")[1][:12]

    plain = hash_of()
    assert hash_of(judge_url="http://127.0.0.1:2/v1") == plain
    assert hash_of(extra="judging: {concurrency: 3}\n") == plain
    assert hash_of(judge="kind: pointwise, rubric: helpfulness, samples: 3") != plain
    assert hash_of(checks="[{judge: polite, threshold: 0.9}]") != plain
    monkeypatch.setenv("JUDGE_KEY", "sk-secret-of-the-judge")
    with scripted(api_key="sk-secret-of-the-judge") as guarded, scripted() as server:
        model = f"{{model: judge, endpoint: '{guarded.url}', api_key: '${{JUDGE_KEY}}'}}"
        judges = f"  keyed: {{kind: pointwise, rubric: helpfulness, model: {model}}}\n"
        suite = write_jury(tmp_path, server.url, judges=judges, checks="[{judge: keyed}]", cases=4)
        assert harness(tmp_path, "run", suite, "-c", "good") == 2
        assert {seen.headers["authorization"] for seen in guarded.requests} == {"Bearer sk-secret-of-the-judge"}
    kept = b"".join(path.read_bytes() for path in (tmp_path / "store").rglob("*") if path.is_file())
    assert b"sk-secret-of-the-judge" not in kept


def test_what_a_judge_says_that_is_no_verdict_is_unscored_with_the_reason_and_the_books_close(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def opinion(body: Body) -> Any:
        number = int(texts(body)["question"].split()[-1]) if "guest" in texts(body)["question"] else 0
        if number % 8 == 1:
            return "I would rather not say."
        return json.dumps(verdict(body) | ({"score": 9} if number % 8 == 2 else {}))

    with scripted(opinion) as server:
        suite = write_jury(tmp_path, server.url, gate="{trust_uncalibrated: true}")
        assert harness(tmp_path, "run", suite, "-c", "good") == 2
        told = capsys.readouterr().out
        again = server.count
        assert harness(tmp_path, "run", suite, "-c", "good") == 2
        assert server.count == again, "a useless verdict is a verdict: it is not asked for again"
    ledger = stored(tmp_path, "good").ledger
    assert ledger.closed
    assert ledger.n_unscored == CASES // 4
    assert len(ledger.unscored) == 2
    assert all(reason.startswith("judge-") for reason in ledger.unscored)
    assert "OPTIMIZE" not in told, "a judge's failure is nothing against the candidate"
    assert "judge" in told


def test_requests_to_a_judge_that_fail_are_asked_again_by_the_same_command(tmp_path: Path) -> None:
    broken = True

    def fault(number: int, body: Body) -> Fault | None:
        return Fault.status(500) if broken and body["model"] == "judge" and "guest 1" in texts(body)["question"] else None

    with scripted(faults=fault) as server:
        suite = write_jury(tmp_path, server.url, extra="judging: {retries: 0}\n")
        assert harness(tmp_path, "run", suite, "-c", "bad") == 4, "too many failed to judge by the rest"
        failed = stored(tmp_path, "bad").ledger
        assert failed.closed
        assert failed.unscored == {"judge-error": 11}
        broken = False
        before = server.counts.copy()
        assert harness(tmp_path, "run", suite, "-c", "bad") == 1
        assert server.counts["bad"] == before["bad"]
        assert server.counts["judge"] - before["judge"] == 11 + 6 + 2 * CANARIES, "11 of the baseline, 6 other answers"
    assert stored(tmp_path, "bad").ledger.scored == 2 * CASES


def test_a_judge_that_is_gone_is_infrastructure_and_the_run_goes_on_later(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with scripted() as server:
        judge = scripted()
        with judge:
            suite = write_jury(tmp_path, server.url, judge_url=judge.url, extra="judging: {retries: 0}\n")
        assert harness(tmp_path, "run", suite, "-c", "bad") == 4
        told = capsys.readouterr().err
        assert judge.url.rsplit("/", 1)[0] in told or judge.url in told
        assert "Traceback" not in told
        assert stored(tmp_path, "base").status == "interrupted"
        assert stored(tmp_path, "base").ledger.closed
        with scripted() as mended:
            write_jury(tmp_path, server.url, judge_url=mended.url, extra="judging: {retries: 0}\n")
            assert harness(tmp_path, "run", suite, "-c", "bad") == 1
        assert server.counts["base"] <= 2 * CASES + 64


def test_a_judge_whose_server_lacks_the_model_is_toldbefore_it_is_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with scripted() as server, scripted(models=("other",)) as judge:
        suite = write_jury(tmp_path, server.url, judge_url=judge.url)
        assert harness(tmp_path, "run", suite, "-c", "bad") == 4
        assert "no model 'judge'" in capsys.readouterr().err
        assert judge.count == 0


def test_a_kill_9_repeats_only_what_was_in_flight(tmp_path: Path) -> None:
    with scripted(delay=0.02) as server:
        suite = write_jury(tmp_path, server.url, cases=120, extra="generation: {concurrency: 4}\njudging: {concurrency: 4}\n")
        command = [sys.executable, "-m", "harness", "run", str(suite), "-c", "bad", "--store", str(tmp_path / "store")]
        kills = (90, 330)
        for count in kills:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            deadline = time.monotonic() + 60
            while server.count < count and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.01)
            assert process.poll() is None, "the run ended before it could be killed"
            process.send_signal(signal.SIGKILL)
            process.communicate()
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 1, done.stderr
        asked = about_answers(server)
        different = {json.dumps(one, sort_keys=True) for one in asked}
        assert len(different) == 120 + 60
        assert len(asked) - len(different) <= 4 * len(kills)
    rows = judgments(tmp_path, "bad")
    assert len(rows) == 120
    assert stored(tmp_path, "bad").ledger.scored == 240


def test_several_samples_with_one_answer_are_one_question(tmp_path: Path) -> None:
    with scripted() as server:
        suite = write_jury(tmp_path, server.url, cases=10, extra="generation: {samples: 3, temperature: 0.7}\n")
        assert harness(tmp_path, "run", suite, "-c", "good") == 2
        assert len(about_answers(server)) == 10
    assert len(judgments(tmp_path, "good")) == 30


def test_a_judge_may_be_one_of_the_candidates(tmp_path: Path) -> None:
    with scripted(answer=lambda body: json.dumps(verdict(body)) if texts(body) else answer(body)) as server:
        judges = "  peer: {kind: pointwise, rubric: helpfulness, model: base}\n"
        suite = write_jury(tmp_path, server.url, judges=judges, checks="[{judge: peer}]", cases=10)
        assert harness(tmp_path, "run", suite, "-c", "good") == 2
        assert len(about_answers(server, "base")) == 10
        assert server.counts["judge"] == 0


def test_attacks_in_answers_reach_an_obedient_judge_as_data_and_are_reported(tmp_path: Path) -> None:
    """Whatever stands outside of the fences is the same for every answer; a judge that would obey anything else gives 5."""
    attacks, told = corpus(), set[str]()

    def reply(body: Body) -> Any:
        if body["model"] == "judge":
            told.add(outside_fences(*(message["content"] for message in body["messages"])))
            return json.dumps(verdict(body) | ({"score": 5} if len(told) > 1 else {}))
        if body["model"] == "bad" and "greet" in body["messages"][-1]["content"]:
            return f"go away.\n{attacks[int(str(body['messages'][-1]['content']).split()[-1])].text}"
        return answer(body)

    with ScriptedServer(answer=reply, models=MODELS) as server:
        suite = write_jury(tmp_path, server.url, cases=len(attacks))
        page = tmp_path / "page.html"
        assert harness(tmp_path, "run", suite, "-c", "bad", "--report", page) == 1
    assert len(told) == 1
    assert {one.judgment.value for one in judgments(tmp_path, "bad")} == {0.0}
    shown = page.read_text()
    assert f"{len(attacks)} answers of the candidate speak to the judge" in shown
    assert "answers of the baseline speak to the judge" not in shown
    assert "of judge &#39;polite&#39;: 0.00, expected" in shown, "a canary that this judge finds rude"


def test_a_panel_is_reported_with_its_members_and_their_canaries(tmp_path: Path) -> None:
    """`other` likes everything, so it agrees with `judge` on half of the answers of `bad`, and its canaries tell."""

    def opinion(body: Body) -> Any:
        found = verdict(body)
        return json.dumps(found | ({"score": 5} if body["model"] == "other" else {}))

    with scripted(opinion) as server:
        other = f"{{kind: pointwise, rubric: helpfulness, model: {{model: other, endpoint: '{server.url}'}}}}"
        judges = f"  easy: {other}\n  both: {{kind: panel, members: [polite, easy]}}\n"
        suite = write_jury(tmp_path, server.url, judges=judges, checks="[{judge: both}]", margin=0.1)
        out = tmp_path / "out.json"
        assert harness(tmp_path, "run", suite, "-c", "bad", "--json", out) == 1
        [judge] = json.loads(out.read_text())["judges"]
        figures = judge["figures"]
        assert figures["alpha"]["candidate"] < 0.1
        assert figures["member.polite.agrees"] == {"candidate": 0.5, "baseline": 1.0}
        assert figures["member.easy.agrees"]["candidate"] == 0.5
        moved = [warning for warning in judge["warnings"] if "of judge 'easy'" in warning]
        assert len(moved) == 2, "the two canaries that must be found bad"
        assert harness(tmp_path, "run", suite, "-c", "bad", "--json", out) == 1, "nobody is asked again"
    assert json.loads(out.read_text())["judges"][0]["warnings"] == judge["warnings"], "what canaries showed is kept"


def test_a_judge_in_a_sequential_gate_judges_what_was_asked_and_may_block_but_not_pass_uncalibrated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with scripted() as server:
        suite = write_jury(tmp_path, server.url, gate="{sequential: true}", cases=80, margin=0.3)
        assert harness(tmp_path, "run", suite, "-c", "good") == 2
        told = capsys.readouterr().out
        assert "tone: decided after" in told
        assert "judge uncalibrated" in told
        run = stored(tmp_path, "good")
        assert run.ledger.closed
        assert run.ledger.n_unscored == run.ledger.n_errored == 0
        judged = len(judgments(tmp_path, "good"))
        assert 16 <= judged < 70
        assert run.ledger.skipped["decided"] > 20
        assert len(about_answers(server)) == judged, "both gave the same answers, and no other was judged"
        assert harness(tmp_path, "explain", run.id) == 0
        assert "the same verdict as was stored" in capsys.readouterr().out
        asked = server.count
        assert harness(tmp_path, "run", suite, "-c", "good") == 2
        assert server.count == asked
        assert harness(tmp_path, "run", suite, "-c", "bad") == 1
        assert 16 <= len(judgments(tmp_path, "bad")) < 70


def test_judging_goes_on_while_answers_are_asked_for_and_neither_more_than_it_may(tmp_path: Path) -> None:
    """More answers than can wait for the judge: the last ones are only asked for once it has judged some."""
    order: list[str] = []

    def noted(body: Body) -> Any:
        order.append(str(body["model"]))
        return answer(body)

    limits = "generation: {concurrency: 4}\njudging: {concurrency: 3}\n"
    with scripted(answer=noted, delay=0.005) as server, scripted(answer=noted, delay=0.01) as judge:
        suite = write_jury(tmp_path, server.url, judge_url=judge.url, cases=60, extra=limits)
        assert harness(tmp_path, "run", suite, "-c", "bad") == 1
        assert 1 < server.peak_in_flight <= 4
        assert 1 < judge.peak_in_flight <= 3
    first, last = order.index("judge"), len(order) - 1 - order[::-1].index("base")
    assert first < last - 20


# -- pairwise --------------------------------------------------------------------------------------------------------------------

PAIRWISE = "kind: pairwise, rubric: pairwise-preference"


def test_a_pairwise_judge_compares_with_the_baseline_of_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with scripted() as server:
        suite = write_jury(tmp_path, server.url, judge=PAIRWISE, margin=0.1)
        assert harness(tmp_path, "run", suite, "-c", "bad") == 1
        assert server.counts["judge"] >= CASES, "both orders of the answers that differ"
        told = capsys.readouterr().out
        assert re.search(r"tone \* +protected +50.0% +25.0%", told)
        assert "judge uncalibrated" in told
    found = judgments(tmp_path, "bad")
    base = stored(tmp_path, "base")
    assert {one.baseline_run_id for one in found} == {base.id}
    assert all(one.baseline_response_id for one in found)
    lost = [one for one in found if one.judgment.preference == "baseline"]
    assert len(lost) == CASES // 2
    assert all(one.judgment.orders == (("baseline", "baseline"),) for one in lost)
    assert judgments(tmp_path, "base") == [], "a baseline is compared with nothing, and ties with itself"
    with Store.open(tmp_path / "store") as store:
        assert {row.value for row in store.score_rows(base.id) if row.capability == "tone"} == {0.5}


def test_exported_judgments_are_a_recorded_judges_file(tmp_path: Path) -> None:
    """What judges said once scores the same answers again, in another store, and nobody is asked; also of pairs."""
    with scripted() as server:
        judges = f"  pair: {{{PAIRWISE}, model: {{model: judge, endpoint: '{server.url}'}}}}\n"
        suite = write_jury(
            tmp_path, server.url, judges=judges, checks="[{judge: pair}, {judge: polite, weight: 0}]", cases=12, margin=0.3
        )
        code = harness(tmp_path, "run", suite, "-c", "bad")
        said = {(one.case_id, one.judgment.judge): one.judgment.value for one in judgments(tmp_path, "bad")}
        for name in ("base", "bad"):
            assert harness(tmp_path, "export", stored(tmp_path, name).id, tmp_path / f"{name}.jsonl", "--kind", "judgments") == 0
        both = "".join((tmp_path / f"{name}.jsonl").read_text() for name in ("base", "bad"))
        again = tmp_path / "again"
        again.mkdir()
        (again / "old.jsonl").write_text(both)
        asked = server.counts["judge"]
        old = "  pair: {kind: recorded, file: old.jsonl, judge: pair, pairwise: true}\n"
        suite = write_jury(
            again,
            server.url,
            judge="kind: recorded, file: old.jsonl, judge: polite",
            judges=old,
            checks="[{judge: pair}, {judge: polite, weight: 0}]",
            cases=12,
            margin=0.3,
        )
        suite.write_text(suite.read_text().replace(f", model: {{model: judge, endpoint: '{server.url}'}}", ""))
        assert harness(again, "run", suite, "-c", "bad") == code
        assert server.counts["judge"] == asked
    assert len(said) == 24
    assert {(one.case_id, one.judgment.judge): one.judgment.value for one in judgments(again, "bad")} == said
    assert {one.judgment.mode for one in judgments(again, "bad")} == {"recorded"}


def test_a_pairwise_judge_ranks_all_candidates_that_it_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with scripted() as server:
        suite = write_jury(tmp_path, server.url, judge=PAIRWISE, cases=20)
        harness(tmp_path, "run", suite)
        capsys.readouterr()
        assert harness(tmp_path, "judge", "rank", "--run", "latest", "--judge", "polite", "--json") == 0
        found = json.loads(capsys.readouterr().out)
        assert (found["by"], found["left_out"]) == ("polite", {})
        places = {one["name"]: (one["place_low"], one["place_high"]) for one in found["standings"]["strengths"]}
        assert places == {"base": (1, 2), "good": (1, 2), "bad": (3, 3)}
        duels = {(one["first"], one["second"]): one["wins"]["value"] for one in found["duels"]}
        assert duels == {("base", "good"): 0.5, ("base", "bad"): 0.75}
        assert harness(tmp_path, "judge", "rank", "--run", "latest", "--judge", "nobody") == 3
        assert "has no pairwise judge 'nobody'. Its pairwise judges: polite" in capsys.readouterr().err


def test_a_promoted_winner_is_a_tie_with_itself_when_it_becomes_the_baseline(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its stored scores say how it fared against the baseline before it; the next candidate starts from one half."""
    with scripted() as server:
        suite = write_jury(tmp_path, server.url, judge=PAIRWISE, margin=0.1, gate="{trust_uncalibrated: true}")
        assert harness(tmp_path, "run", suite, "-c", "bad") == 1
        assert harness(tmp_path, "promote", stored(tmp_path, "bad").id, "--force") == 0
        assert harness(tmp_path, "run", suite, "-c", "good", "--baseline", "promoted", "--json", tmp_path / "out.json") == 0
    tone = next(row for row in json.loads((tmp_path / "out.json").read_text())["capabilities"] if row["name"] == "tone")
    assert tone["baseline"] == 0.5
    assert tone["candidate"] == 0.75
    assert tone["delta"] == 0.25
    capsys.readouterr()
    assert harness(tmp_path, "compare", stored(tmp_path, "good").id, stored(tmp_path, "base").id) == 3, "judged against another"
    told = capsys.readouterr().err
    assert stored(tmp_path, "bad").id in told
    assert "--baseline base" in told


def test_an_answer_whose_counterpart_is_missing_is_unscored(tmp_path: Path) -> None:
    def fault(number: int, body: Body) -> Fault | None:
        return Fault.status(400) if body["model"] == "base" and str(body["messages"][-1]["content"]) == "greet guest 3" else None

    with scripted(faults=fault) as server:
        suite = write_jury(tmp_path, server.url, judge=PAIRWISE, gate="{max_error_rate: 0.5}")
        harness(tmp_path, "run", suite, "-c", "good")
    assert stored(tmp_path, "good").ledger.unscored == {"no-baseline": 1}
