"""`harness judge calibrate` on files and on stored runs: what it prints, stores and refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.gates import harness
from support.people import make_label, two_runs
from support.runs import CANDIDATE, make_record, make_request, make_response
from support.suites import write_rows

from harness.cli.judge_stored import drawn
from harness.cli.layout import columns_of
from harness.labels import LabelPlan, Pick, settle
from harness.model import Candidate, Judgment
from harness.store import Asked, Store
from harness.store.labels import LabelStore

DATA = Path(__file__).parent.parent / "data"
SWAP = DATA / "llmbar" / "Natural" / "evaluators" / "GPT-4" / "Swap" / "result.json"
VANILLA = SWAP.parent.parent / "Vanilla" / "result.json"
HOSTILE = "<script>x</script> \x1b[31m\u202e 中文 " + "y" * 300


def found(capsys: Any) -> list[dict[str, Any]]:
    return json.loads(capsys.readouterr().out)["calibrations"]


def test_two_judges_on_the_same_labels(tmp_path: Path, capsys: Any) -> None:
    words = ["judge", "calibrate", "--labels", SWAP, "--judgments", SWAP, "--judgments", VANILLA]
    assert harness(tmp_path, *words) == 0
    text = capsys.readouterr().out
    assert "GPT-4/Swap                           100  0.86  93.0    0.0   3.0   +0.5" in text
    assert "GPT-4/Vanilla: pairwise, 100 labelled cases, 100 with a verdict" in text
    assert max(map(columns_of, text.splitlines())) <= 80
    assert harness(tmp_path, *words, "--json") == 0
    one, two = found(capsys)
    assert (one["judge"], two["judge"]) == ("GPT-4/Swap", "GPT-4/Vanilla")
    assert one["kappa"]["low"] < one["kappa"]["value"] < one["kappa"]["high"]
    assert harness(tmp_path, *words, "--json", "--judge", "GPT-4/Vanilla") == 0
    assert len(found(capsys)) == 1


def test_one_file_of_labels_and_verdicts_is_enough(tmp_path: Path, capsys: Any) -> None:
    assert harness(tmp_path, "judge", "calibrate", "--labels", SWAP, "--min-kappa", "0.6") == 0
    assert "the order changes the verdict          3.0 %" in capsys.readouterr().out


def test_a_judge_under_the_floor_exits_with_1(tmp_path: Path, capsys: Any) -> None:
    assert harness(tmp_path, "judge", "calibrate", "--labels", SWAP, "--min-kappa", "0.8") == 1
    assert "GPT-4/Swap: kappa may be as low as 0.72" in capsys.readouterr().err
    assert harness(tmp_path, "judge", "calibrate", "--labels", SWAP, "--min-kappa", "0.8", "--json") == 1
    assert "as low as" in found(capsys)[0]["falls_short"]


def test_hostile_names_stay_names(tmp_path: Path, capsys: Any) -> None:
    labels = write_rows(
        tmp_path / "labels.jsonl",
        [{"case_id": f"{i}{HOSTILE}", "preference": 1 + i % 2, "rater": f"{HOSTILE}{i % 3}"} for i in range(30)],
    )
    judged = write_rows(
        tmp_path / "judged.jsonl",
        [{"case_id": f"{i}{HOSTILE}", "preference": HOSTILE if i % 3 else 1, "judge": HOSTILE} for i in range(30)],
    )
    assert harness(tmp_path, "judge", "calibrate", "--labels", labels, "--judgments", judged, "--min-kappa", "0.5") == 1
    out, err = capsys.readouterr()
    assert "\x1b" not in out + err
    assert "\u202e" not in out + err
    assert max(map(columns_of, out.splitlines())) <= 80


def test_the_page_is_whole_and_keeps_hostile_names_as_text(tmp_path: Path, capsys: Any) -> None:
    labels = write_rows(
        tmp_path / "labels.jsonl", [{"case_id": i, "preference": 1 + i % 2, "rater": HOSTILE + str(i % 2)} for i in range(30)]
    )
    judged = write_rows(
        tmp_path / "judged.jsonl", [{"case_id": i, "preference": HOSTILE if i % 3 else 1, "judge": HOSTILE} for i in range(30)]
    )
    page = tmp_path / "made" / "judges.html"
    assert harness(tmp_path, "judge", "calibrate", "--labels", labels, "--judgments", judged, "--html", page) == 0
    text = page.read_text()
    assert "<script>x" not in text
    assert "&lt;script&gt;x&lt;/script&gt;" in text
    assert "\x1b" not in text
    assert "default-src &#39;none&#39;" in text or "default-src 'none'" in text
    for word in ("kappa", "agreement, no verdict as a miss", "People say, and the judge says"):
        assert word in text
    assert harness(tmp_path, "judge", "calibrate", "--labels", labels, "--judgments", judged, "--html", tmp_path) == 3
    assert "it is a directory" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "neither --labels nor --run is given"),
        (["--labels", "missing.jsonl"], "no such file"),
        (["--labels", DATA / "pandalm" / "testset-v1.json"], "holds labels only"),
        (["--labels", SWAP, "--judge", "Claude"], "no judge is called 'Claude'. There are GPT-4/Swap"),
        (["--labels", SWAP, "--judgments", DATA / "pandalm" / "gpt-3.5-turbo-testset-v1.json"], "judged none of the labelled"),
        (["--run", "latest"], "there is no store here"),
        (["--run", "latest", "--judgments", SWAP], "both name judgments"),
    ],
)
def test_what_is_missing_is_said(tmp_path: Path, capsys: Any, words: list[Any], says: str) -> None:
    assert harness(tmp_path, "judge", "calibrate", *words) == 3
    assert says in capsys.readouterr().err


# -- stored runs -----------------------------------------------------------------------------------------------------------------


def judged(case_id: str, value: float | None, **changes: Any) -> Judgment:
    passed = None if value is None else value >= 0.5
    return Judgment("tone", "d" * 32, case_id, value, passed, prompt_tokens=90, completion_tokens=10, **changes)


def members(case_id: str, number: int) -> tuple[Judgment, ...]:
    """A member by name that is right, and one that the panel holds itself and that never is."""
    right = number % 2 == 0
    said = ((right, "ann", "a"), (not right, "tone/2", "b"))
    return tuple(
        Judgment(name, letter * 32, case_id, float(word), word, attempts=1, prompt_tokens=50) for word, name, letter in said
    )


def store_with_judgments(folder: Path, *, pairwise: bool = False, panel: bool = False, n: int = 40) -> Store:
    """Runs base1 and cand1; the judge passes the candidate's answer (or prefers it) where its number is even. Case 3 unscored."""
    store = Store.open(folder / "store")
    texts = {i: f"right {i}" for i in range(n)}
    two_runs(store, texts, texts)
    candidate = Candidate("tuned", "tuned", "e" * 64, prompt=CANDIDATE.prompt)
    requests = [make_request(i, candidate=candidate) for i in range(n)]
    with store.begin_run(make_record("cand1", candidate=candidate), "", {}, requests) as writer:
        for i, request in enumerate(requests):
            writer.add_response(request, make_response(request, f"right {i}" + "!" * (i % 7)))
            if pairwise:
                word = "candidate" if i % 2 == 0 else "baseline"
                orders = ((word, word),) if i % 5 else (("candidate", "baseline"),)
                said = judged(request.case.id, 0.5, preference=word if i % 5 else "tie", orders=orders)
            elif panel:
                said = judged(request.case.id, float(i % 2 == 0), members=members(request.case.id, i))
            else:
                said = (
                    judged(request.case.id, None, unscored="judge-refused")
                    if i == 3
                    else judged(request.case.id, float(i % 2 == 0))
                )
            writer.add_judgment(request, said, Asked(1, 1, 0.5), baseline_run_id="base1" if pairwise else None)
        writer.finish("complete")
    return store


def rate(store: Store, n: int = 40, *, wrong: int = 0, **more: Any) -> None:
    """People say what the judge says, but of the first so many cases the contrary."""
    with LabelStore(store).writer() as writer:
        for stored in list(store.judgments("cand1"))[:n]:
            number = int(stored.case_id, 16)
            about = {"case_id": stored.case_id, "responses": (stored.response_id,), "sides": ("cand1",)}
            writer.add(make_label(run_id="cand1", passed=(number % 2 == 0) is (number >= wrong), **about, **more))


def test_a_stored_judge_is_held_against_a_reviews_labels_and_kept(tmp_path: Path, capsys: Any) -> None:
    store = store_with_judgments(tmp_path)
    rate(store, wrong=2)
    assert harness(tmp_path, "judge", "calibrate", "--run", "cand1") == 0
    text = capsys.readouterr().out
    assert "tone on math: pointwise, 40 labelled cases, 39 with a verdict" in text
    assert "no verdict: judge-refused 1" in text
    assert "tokens per 1,000 cases 100,000 100,000 to 100,000 40" in " ".join(text.split())
    (kept,) = store.calibrations(["d" * 32])
    assert (kept.judge, kept.capability, kept.n_labels, kept.n) == ("tone", "math", 40, 39)
    assert kept.agreement.value == pytest.approx(37 / 39)
    assert kept.unparsed == {"judge-refused": 1}
    assert kept.usage["seconds"].value == pytest.approx(500.0)
    assert harness(tmp_path, "judge", "calibrate", "--run", "cand1") == 0
    assert len(store.calibrations(["d" * 32])) == 1


def test_a_drawn_sample_is_weighted_and_what_somebody_chose_is_left_out(tmp_path: Path, capsys: Any) -> None:
    store = store_with_judgments(tmp_path)
    picks = tuple(
        Pick("math", f"{i:016x}", "urgent" if i < 10 else "rest", 5.0 if i < 10 else 1.0, 0.5 + i / 100) for i in range(40)
    )
    LabelStore(store).keep_plan(LabelPlan("p" * 12, "cand1", None, "rate", "gate", 0, 10, 40, 0.0, picks))
    rate(store, n=20, wrong=5, plan="p" * 12)
    with LabelStore(store).writer() as writer:  # case 30 without those before it: chosen, not drawn
        answer = next(j.response_id for j in store.judgments("cand1") if j.case_id == f"{30:016x}")
        writer.add(make_label(run_id="cand1", case_id=f"{30:016x}", responses=(answer,), sides=("cand1",)))
    assert harness(tmp_path, "judge", "calibrate", "--run", "cand1", "--json") == 0
    (one,) = found(capsys)
    assert one["left_out"] == {"not drawn by chance": 1}
    assert one["n_labels"] == 20
    weights = [1.0 / chance for chance in LabelPlan.probabilities(LabelStore(store).plans("cand1")[0], 20).values()]
    assert min(weights) < max(weights)
    right = [i for i in range(20) if i >= 5 and i != 3]
    total = sum(weights[i] for i in range(20) if i != 3)
    assert one["agreement"]["value"] == pytest.approx(sum(weights[i] for i in right) / total)


def test_chances_are_those_of_all_that_was_looked_at_and_adjudicators_do_not_hide_them(tmp_path: Path) -> None:
    """20 cases in two sittings of 10: each label holds the chance of its own sitting, the sample's are those of all 20."""
    store = store_with_judgments(tmp_path)
    picks = tuple(Pick("math", f"{i:016x}", "rest", 3.0 if i % 3 else 1.0, 0.2 + i / 60) for i in range(40))
    plan = LabelPlan("p" * 12, "cand1", None, "rate", "gate", 0, 10, 40, 0.0, picks)
    kept = LabelStore(store)
    kept.keep_plan(plan)
    sittings = [plan.probabilities(n) for n in (10, 20)]
    with kept.writer() as writer:
        for i, pick in enumerate(picks[:20]):
            about = {
                "case_id": pick.case_id,
                "responses": (f"answer {i}",),
                "sides": ("cand1",),
                "run_id": "cand1",
                "passed": True,
            }
            chance = sittings[i // 10]["math", pick.case_id]
            writer.add(make_label(plan="p" * 12, probability=chance, **about))
            if i == 4:
                writer.add(make_label(rater="Bo", plan="p" * 12, probability=chance, **(about | {"passed": False})))
                writer.add(make_label(rater="Cy", adjudicates=True, **about))
    matters = settle(kept.labels("cand1"))
    assert [matter.state for matter in matters].count("adjudicated") == 1
    expected = plan.probabilities(20)
    assert drawn(kept, matters) == [expected["math", pick.case_id] for pick in picks[:20]]
    assert sittings[0]["math", picks[0].case_id] != expected["math", picks[0].case_id]
    by_hand = settle([make_label(), make_label(case_id="f" * 16, probability=0.25)])
    assert drawn(kept, by_hand) == [None, 0.25]


def test_a_stored_pairwise_judge_in_both_orders(tmp_path: Path, capsys: Any) -> None:
    store = store_with_judgments(tmp_path, pairwise=True)
    with LabelStore(store).writer() as writer:
        for i in range(40):
            word = "candidate" if i % 2 == 0 else "baseline"
            writer.add(
                make_label(
                    "pair",
                    run_id="cand1",
                    baseline_run_id="base1",
                    case_id=f"{i:016x}",
                    preference=word,
                    sides=("cand1", "base1"),
                )
            )
    assert harness(tmp_path, "judge", "calibrate", "--run", "cand1", "--own", "tuned", "--json") == 0
    (one,) = found(capsys)
    assert one["kind"] == "pairwise"
    assert one["biases"]["own"]["n"] == 40
    assert one["biases"]["own"]["value"] == pytest.approx(0.0)
    assert one["biases"]["order"]["value"] == pytest.approx(8 / 40)
    assert one["confusion"]["1"] == {"1": 16, "2": 0, "tie": 4}
    assert one["biases"]["longer"]["n"] == sum(i % 7 > 0 for i in range(40))


def test_a_panel_and_each_of_its_members_are_held_against_people(tmp_path: Path, capsys: Any) -> None:
    """The second member is always wrong; the panel's word is the first one's."""
    store = store_with_judgments(tmp_path, panel=True)
    rate(store)
    assert harness(tmp_path, "judge", "calibrate", "--run", "cand1", "--json") == 0
    panel, right, wrong = found(capsys)
    assert [one["judge"] for one in (panel, right, wrong)] == ["tone", "tone/ann", "tone/2"]
    assert [one["agreement"]["value"] for one in (panel, right, wrong)] == [1.0, 1.0, 0.0]
    assert (right["usage"]["tokens"]["value"], "seconds" in right["usage"]) == (50_000, False)
    assert panel["usage"]["seconds"]["value"] == 500
    assert [kept.judge for kept in store.calibrations(["a" * 32, "b" * 32])] == ["tone/2", "tone/ann"]
    assert harness(tmp_path, "judge", "calibrate", "--run", "cand1", "--judge", "tone/ann", "--json") == 0
    assert [one["judge"] for one in found(capsys)] == ["tone/ann"]
    assert harness(tmp_path, "judge", "calibrate", "--run", "cand1", "--judge", "tone/bob") == 3
    assert "no judge 'tone/bob'" in capsys.readouterr().err
    page = tmp_path / "page.html"
    assert harness(tmp_path, "judge", "calibrate", "--run", "cand1", "--html", page) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["judge", "cases", "kappa", "agree", "unread", "passes", "tokens", "seconds"]
    assert lines[2].split() == ["tone/ann", "on", "math", "40", "1.00", "100.0", "0.0", "+0.0", "50,000", "–"]
    assert "Judges beside each other" in page.read_text()


def test_labels_of_a_file_about_a_stored_run(tmp_path: Path, capsys: Any) -> None:
    store_with_judgments(tmp_path)
    file = write_rows(tmp_path / "labels.jsonl", [{"case_id": f"{i:016x}", "passed": i % 2 == 0} for i in range(30)])
    assert harness(tmp_path, "judge", "calibrate", "--run", "cand1", "--labels", file, "--json") == 0
    (one,) = found(capsys)
    assert (one["n_labels"], one["agreement"]["value"]) == (30, 1.0)


def test_a_run_without_judges_or_labels_says_so(tmp_path: Path, capsys: Any) -> None:
    store = store_with_judgments(tmp_path)
    assert harness(tmp_path, "judge", "calibrate", "--run", "cand1") == 3
    assert "nobody has labelled what the judges of run cand1 judged" in capsys.readouterr().err
    assert harness(tmp_path, "judge", "calibrate", "--run", "base1") == 3
    assert "run base1 has no judge" in capsys.readouterr().err
    assert harness(tmp_path, "judge", "calibrate", "--run", "cand1", "--judge", "x") == 3
    assert "has no judge 'x'" in capsys.readouterr().err
    assert store.calibrations(["d" * 32]) == []


# -- ranking ---------------------------------------------------------------------------------------------------------------------

PANDALM = DATA / "pandalm" / "testset-v1.json"


def test_five_models_are_ranked_by_people_and_by_a_judge(tmp_path: Path, capsys: Any) -> None:
    assert harness(tmp_path, "judge", "rank", "--labels", PANDALM) == 0
    text = capsys.readouterr().out
    assert "ranked by people: 999 comparisons, 999 independent" in text
    assert " ".join(text.split("log-odds")[1].split()[:8]) == "1 llama-7b 67.4 % 63.7 to 70.8 +0.72"
    assert max(map(columns_of, text.splitlines())) <= 80
    judged = DATA / "pandalm" / "gpt-3.5-turbo-testset-v1.json"
    assert harness(tmp_path, "judge", "rank", "--labels", PANDALM, "--judgments", judged, "--json") == 0
    one = json.loads(capsys.readouterr().out)
    assert one["by"] == "gpt-3.5-turbo-testset-v1"
    assert one["left_out"] == {"no verdict": 25}
    assert len(one["duels"]) == 10


def test_hostile_makers_are_ranked_in_80_columns(tmp_path: Path, capsys: Any) -> None:
    rows = [
        {"case_id": i, "preference": 1 + i % 2, "generator_1": HOSTILE + "a", "generator_2": HOSTILE + "b"} for i in range(30)
    ]
    assert harness(tmp_path, "judge", "rank", "--labels", write_rows(tmp_path / "labels.jsonl", rows)) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert max(map(columns_of, out.splitlines())) <= 80
    alone = write_rows(tmp_path / "alone.jsonl", [{**row, "preference": 1} for row in rows])
    assert harness(tmp_path, "judge", "rank", "--labels", alone) == 0
    out = capsys.readouterr().out
    assert "no ranking: " in out
    assert max(map(columns_of, out.splitlines())) <= 80


def test_a_reviews_rankings_rank_the_candidates(tmp_path: Path, capsys: Any) -> None:
    store = store_with_judgments(tmp_path)
    assert harness(tmp_path, "judge", "rank", "--run", "cand1") == 3
    assert "nobody has compared answers of run cand1 with others" in capsys.readouterr().err
    with LabelStore(store).writer() as writer:
        for i in range(30):
            order = (("a",), ("b",)) if i % 3 else (("b",), ("a",))
            about = {"case_id": f"{i:016x}", "responses": ("a", "b"), "sides": ("cand1", "base1"), "ranking": order}
            writer.add(make_label("rank", run_id="cand1", baseline_run_id="base1", **about))
    assert harness(tmp_path, "judge", "rank", "--run", "cand1", "--json") == 0
    one = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in one["standings"]["strengths"]] == ["tuned", "base"]
    assert one["duels"][0]["wins"]["value"] == pytest.approx(20 / 30)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "neither --labels nor --run is given"),
        (["--labels", PANDALM, "--run", "latest"], "both name comparisons"),
        (["--labels", PANDALM, "--judgments", DATA / "pandalm" / "gpt-3.5-turbo-testset-v1.json", "--judge", "x"], "which judge"),
    ],
)
def test_a_ranking_needs_pairs(tmp_path: Path, capsys: Any, words: list[Any], says: str) -> None:
    assert harness(tmp_path, "judge", "rank", *words) == 3
    assert says in capsys.readouterr().err
    single = write_rows(tmp_path / "single.jsonl", [{"case_id": 1, "passed": True}])
    assert harness(tmp_path, "judge", "rank", "--labels", single) == 3
    assert "labels of single answers" in capsys.readouterr().err
