"""What a suite can write about judges: every fault with its place, and digests that change with what decides verdicts only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.judging import MODEL, answer, case, judge

from harness.errors import SuiteError, UsageError
from harness.model import Candidate
from harness.plugs import names
from judges import build, built_in, load_rubric
from judges.prompting import FOLDER, VERSION, prompt_digest

POINTWISE = {"kind": "pointwise", "rubric": "helpfulness", "model": "grader"}


def faults(options: Any, root: Path = Path(".")) -> list[tuple[str, str]]:
    with pytest.raises(SuiteError) as caught:
        build("tone", options, root=root)
    return [(fault.where, fault.what) for fault in caught.value.faults]


def test_the_kinds() -> None:
    assert names("judge") == ["checklist", "pairwise", "panel", "pointwise", "recorded", "reward"]


@pytest.mark.parametrize(
    ("options", "where", "what"),
    [
        ("helpfulness", "judges.tone", "a judge is a mapping"),
        ({}, "judges.tone", "kind is missing"),
        ({"kind": 3}, "judges.tone.kind", "kind is missing"),
        ({"kind": "pointwize"}, "judges.tone.kind", "no kind of judge named 'pointwize'"),
        ({"kind": "pointwise", "model": "m"}, "judges.tone", "'rubric' is missing"),
        ({**POINTWISE, "sample": 3}, "judges.tone.sample", "unknown key 'sample'"),
        ({**POINTWISE, "samples": 0}, "judges.tone.samples", "greater than or equal to 1"),
        ({**POINTWISE, "samples": True}, "judges.tone.samples", "a number is needed"),
        ({**POINTWISE, "rubric": "helpfullness"}, "judges.tone.rubric", "no rubric named 'helpfullness'"),
        ({**POINTWISE, "rubric": "politeness"}, "judges.tone.rubric", "'politeness' is a checklist rubric"),
        ({**POINTWISE, "rubric": "./none.yaml"}, "judges.tone.rubric", "no such file"),
        ({**POINTWISE, "question": "{{ input"}, "judges.tone.question", "template line 1"),
        ({**POINTWISE, "extra": {"logprobs": False}}, "judges.tone.extra.logprobs", "the judge's own"),
        ({**POINTWISE, "threshold": 2}, "judges.tone.threshold", "less than or equal to 1"),
        ({"kind": "recorded", "file": "x.jsonl", "low": 2, "high": 1}, "judges.tone", "low must be under high"),
        ({"kind": "recorded", "file": "x.jsonl", "fields": {"verdict": "v"}}, "judges.tone", "'verdict'"),
        ({"kind": "reward", "model": "m", "scale": 0}, "judges.tone.scale", "greater than 0"),
    ],
)
def test_faults_have_places(options: Any, where: str, what: str) -> None:
    assert [(place, what in text) for place, text in faults(options)] == [(where, True)]


def test_a_malformed_key_does_not_hide_what_is_wrong_with_another() -> None:
    found = faults({**POINTWISE, "samples": 0, "rubric": "politeness", "question": "{{"})
    assert [place for place, _ in found] == ["judges.tone.samples", "judges.tone.rubric", "judges.tone.question"]


def test_every_fault_at_once() -> None:
    found = faults({"kind": "pointwise", "model": {"endpoint": "ftp://x"}, "rubric": "helpfulness", "samples": 0, "typo": 1})
    assert {place.removeprefix("judges.tone.") for place, _ in found} >= {"samples", "typo", "model.endpoint", "judges.tone"} - {
        "judges.tone"
    }


def test_a_rubric_file_is_checked_with_its_lines(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        "rubric: mine\nversion: 0\nkind: pointwise\ntask: Grade it.\ntypo: 1\nscale: {low: 5, high: 1}\n"
    )
    found = faults({**POINTWISE, "rubric": "mine.yaml"}, tmp_path)
    assert sorted(text.split(":")[1] for _, text in found) == ["2", "5", "6"]
    assert any("mine.yaml:5: unknown key 'typo'" in text for _, text in found)


RUBRIC = "rubric: mine\nversion: 1\nkind: {kind}\ntask: Grade it.\n{more}"


@pytest.mark.parametrize(
    ("kind", "more", "what"),
    [
        ("pointwise", "items: [{id: a, question: b}]\n", "a checklist has items"),
        ("checklist", "", "a checklist has items"),
        ("checklist", "scale: {low: 1, high: 5}\nitems_from: x\n", "only pointwise rubrics have a scale"),
        ("checklist", "items: [{id: a, question: b}, {id: a, question: c}]\n", "two of the item ids"),
        ("pointwise", "scale: {low: 1, high: 5, anchors: {'6': x}}\n", "'6' is not on the scale"),
        ("pointwise", "scale: {low: 1, high: 20}\n", "less than or equal to 10"),
        ("pointwise", "canaries: [{id: a, input: q, response: r}]\n", "low, high or both"),
        ("pointwise", "canaries: [{id: a, input: q, response: r, baseline: s, low: 1}]\n", "canaries have a baseline"),
        ("pairwise", "canaries: [{id: a, input: q, response: r, low: 1}]\n", "canaries have a baseline"),
        ("pointwise", "reference: required\ncanaries: [{id: a, input: q, response: r, low: 1}]\n", "lacks the reference"),
        ("pointwise", "task: Twice.\n", "task"),
        ("pointwise", "description: !!python/object:os.system x\n", "tag"),
    ],
)
def test_rubrics_that_do_not_make_sense(tmp_path: Path, kind: str, more: str, what: str) -> None:
    (tmp_path / "mine.yaml").write_text(RUBRIC.format(kind=kind, more=more))
    with pytest.raises(SuiteError) as caught:
        load_rubric("mine.yaml", tmp_path)
    assert what in str(caught.value)
    assert "mine.yaml:" in str(caught.value)


def test_a_rubric_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(RUBRIC.format(kind="pointwise", more="scale: {low: 0, high: 1}\nthreshold: 1\n"))
    spec = build("tone", {**POINTWISE, "rubric": "mine.yaml"}, root=tmp_path)
    assert spec.rubric is not None
    assert (spec.rubric.menu, spec.threshold) == ((0, 1), 1.0)
    assert build("tone", {**POINTWISE, "rubric": "mine.yaml", "threshold": 0.5}, root=tmp_path).threshold == 0.5


@pytest.mark.parametrize("name", built_in())
def test_built_in_rubrics_are_sound_and_used_in_every_form(name: str) -> None:
    rubric = load_rubric(name, Path("nowhere"))
    assert rubric.name == name
    reference = "The reference." if rubric.file.reference == "required" else None
    kind = {"kind": rubric.file.kind, "rubric": name}
    subject = case(reference=reference, vars={"checklist": ["Is it short?"]})
    for explain in (True, False):
        requests = judge({**kind, "explain": explain}).questions(subject, answer("ANSWER"), baseline=answer("BASELINE"))
        assert requests
        for request in requests:
            system, user = request.messages
            assert rubric.file.task in system.content
            assert "ANSWER" in user.content
            assert "{{" not in system.content + user.content
            assert "reasoning" in system.content or not explain


def test_unknown_rubrics_name_their_neighbours() -> None:
    with pytest.raises(UsageError, match="did you mean politeness"):
        load_rubric("politenes", Path("."))


def test_the_digest_changes_with_what_decides_verdicts_and_with_nothing_else(tmp_path: Path) -> None:
    text = RUBRIC.format(kind="pointwise", more="")
    (tmp_path / "mine.yaml").write_text(text)
    base = {**POINTWISE, "rubric": "mine.yaml"}

    def digest(model: Candidate = MODEL, **more: Any) -> str:
        spec = build(more.pop("name", "tone"), {**base, **more}, root=tmp_path)
        return spec.bind({"grader": model}).digest

    first = digest()
    deciding = [
        digest(samples=2), digest(temperature=0.5), digest(max_tokens=100), digest(seed=1), digest(explain=False),
        digest(logprobs=False), digest(question="{{ input }}"), digest(extra={"top_k": 1}), digest(threshold=0.5),
        digest(Candidate("grader", "grader-1", "e" * 64)),
    ]  # fmt: skip
    assert len({first, *deciding}) == 1 + len(deciding)
    assert first == digest(description="for people") == digest(name="other") == digest(Candidate("x", "y", "d" * 64))
    (tmp_path / "mine.yaml").write_text(text + "canaries: [{id: a, input: q, response: r, low: 1}]\n")
    assert digest() == first
    (tmp_path / "mine.yaml").write_text(text.replace("version: 1", "version: 2"))
    assert digest() != first


@pytest.mark.parametrize(
    ("options", "subject", "what"),
    [
        ({"kind": "pointwise", "rubric": "faithfulness"}, case(), "requires a reference"),
        ({"kind": "pointwise", "rubric": "faithfulness"}, case(reference="text"), None),
        ({"kind": "checklist", "rubric": "instruction-following"}, case(), "'checklist' is no list"),
        ({"kind": "checklist", "rubric": "instruction-following"}, case(vars={"checklist": ["Is it?"]}), None),
        ({"kind": "pairwise", "rubric": "pairwise-preference", "question": "{{ topic }}"}, case(), "'topic' is undefined"),
        ({"kind": "reward", "question": "{{ topic }}"}, case(), "'topic' is undefined"),
        ({"kind": "reward"}, case(), None),
    ],
)
def test_cases_that_can_never_be_judged_are_told_beforehand(options: Any, subject: Any, what: str | None) -> None:
    spec = build("tone", {"model": "grader", **options}, root=Path("."))
    found = spec.fault(subject)
    assert found is None if what is None else found is not None and what in found
    panel = build(
        "jury", {"kind": "panel", "members": ["tone", "tone"]}, root=Path("."), others={"tone": {"model": "g", **options}}
    )
    if options["kind"] != "pairwise":
        assert panel.fault(subject) == (f"tone: {found}" if found else None)


PROMPTS = {1: {"en": "4b72b0eb5d5eeb3b", "zh": "cf23c30dcc59cd6f"}}


def test_prompts_change_with_their_version_only() -> None:
    """Whoever edits prompts/ raises judges.prompting.VERSION and writes the new digests here."""
    assert {path.name for path in FOLDER.iterdir() if path.is_dir() and not path.name.startswith("__")} == {"en", "zh"}
    assert {language: prompt_digest(language) for language in ("en", "zh")} == PROMPTS[VERSION]


def test_both_languages_have_every_prompt() -> None:
    found = {language: sorted(path.name for path in (FOLDER / language).glob("*.j2")) for language in ("en", "zh")}
    assert found["en"] == found["zh"]
    assert len(found["en"]) == 7


def test_secrets_of_a_judges_own_model_do_not_show() -> None:
    model = {"model": "m", "endpoint": "http://127.0.0.1:9/v1", "api_key": "sk-very-secret"}
    spec = build("tone", {**POINTWISE, "model": model}, root=Path("."))
    assert "very-secret" not in repr(spec) + str(spec.identity)
