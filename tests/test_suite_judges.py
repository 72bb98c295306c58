"""Judges in a suite file: what is wrong with them is told with its line, together with all else, and secrets stay secret."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.suites import SMALL, write_suite

from harness.cli.options import load_suite
from harness.errors import SuiteError
from harness.suite import Suite
from harness.suite import load_suite as load_without_judges
from harness.suite.judges import decisive

ENDPOINT = "http://127.0.0.1:9/v1"
TONE = {"kind": "pointwise", "rubric": "helpfulness", "model": {"model": "m", "endpoint": ENDPOINT}}
PAIR = {"kind": "pairwise", "rubric": "pairwise-preference", "model": "base"}


def suite_of(folder: Path, *, checks: Any = None, judges: Any = None, **changes: Any) -> Path:
    sums = {**SMALL["capabilities"]["sums"], "checks": checks or [{"judge": "tone"}]}
    capability = {"sums": sums | changes.pop("capability", {})}
    return write_suite(
        folder, {**SMALL, "judges": {"tone": TONE} if judges is None else judges, "capabilities": capability} | changes
    )


def loaded(folder: Path, **options: Any) -> Suite:
    return load_suite(suite_of(folder, **options))


def faults(folder: Path, **options: Any) -> list[str]:
    """Lines for people; the place is checked to be a line of the file that holds what is told of."""
    path = suite_of(folder, **options)
    text = path.read_text().splitlines()
    with pytest.raises(SuiteError) as caught:
        load_suite(path)
    found = []
    for fault in caught.value.faults:
        file, _, line = fault.where.rpartition(":")
        assert file == str(path)
        found.append(f"{text[int(line) - 1].strip()} | {fault.what} | {fault.todo}")
    return found


def test_a_suite_with_judges_loads(tmp_path: Path) -> None:
    suite = loaded(tmp_path, judges={"tone": TONE, "pair": PAIR}, checks=[{"judge": "tone"}, {"judge": "pair", "weight": 0}])
    assert list(suite.judges) == ["tone", "pair"]
    assert decisive(suite.capabilities["sums"]) == ("tone",)
    assert (suite.judging.concurrency, suite.judging.retries) == (32, 5)
    custom = loaded(tmp_path, judging={"concurrency": 2, "timeout": 5, "retries": 0})
    assert (custom.judging.concurrency, custom.judging.timeout_s, custom.judging.retries) == (2, 5.0, 0)


def test_a_judge_that_is_not_there(tmp_path: Path) -> None:
    [told] = faults(tmp_path, checks=[{"judge": "tonne"}])
    assert told.startswith('"judge": "tonne"')
    assert "no judge named 'tonne'" in told
    assert "did you mean tone" in told
    [told] = faults(tmp_path, checks=["numeric", {"any": ["numeric", {"not-judge": "rude"}]}], judges={})
    assert told.startswith('"not-judge": "rude"')
    assert "describe it under `judges:`" in told


def test_options_of_judges_with_their_lines_all_at_once(tmp_path: Path) -> None:
    told = faults(
        tmp_path,
        judges={
            "tone": {**TONE, "sample": 3},
            "kindless": {"rubric": "helpfulness"},
            "pairy": {**TONE, "kind": "pairwize"},
            "stranger": {**TONE, "model": "bass"},
            "wordy": {**TONE, "rubric": "helpfulnes"},
        },
        checks=[{"judge": "tone"}, {"judge": "pairy"}, {"judge": "tonne"}],
    )
    assert len(told) == 6
    assert any(line.startswith('"sample": 3') and "unknown key 'sample'" in line for line in told)
    assert any(line.startswith('"kindless"') and "kind is missing" in line for line in told)
    assert any("pairwize" in line and "pairwise" in line for line in told)
    assert any("bass" in line and "base" in line for line in told)
    assert any("helpfulnes" in line and "helpfulness" in line for line in told)
    assert any("tonne" in line for line in told)


def test_judges_without_a_reader_of_judges_are_left_alone(tmp_path: Path) -> None:
    """harness.suite knows no judges: data commands load a suite without that package."""
    assert load_without_judges(suite_of(tmp_path, judges={"tone": {"kind": "no such kind"}})).judges


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"checks": [{"judge": "pair"}, "numeric"]}, "cannot be averaged"),
        ({"checks": [{"any": [{"judge": "pair"}, "numeric"]}]}, "cannot be averaged"),
        ({"checks": [{"judge": "pair"}], "capability": {"score": "pass"}}, "cannot be averaged"),
        ({"checks": [{"judge": "pair"}], "gate": {"sequential": True}}, "sequential gate"),
    ],
)
def test_a_pairwise_judge_stands_alone(tmp_path: Path, options: dict[str, Any], words: str) -> None:
    [told] = faults(tmp_path, judges={"pair": PAIR}, **options)
    assert words in told
    assert "'pair'" in told


def test_a_pairwise_judge_beside_checks_that_are_only_reported(tmp_path: Path) -> None:
    assert loaded(tmp_path, judges={"pair": PAIR}, checks=[{"judge": "pair"}, {"type": "numeric", "weight": 0}])


def test_min_kappa_without_a_judge_that_decides(tmp_path: Path) -> None:
    [told] = faults(tmp_path, checks=["numeric"], gate={"min_kappa": 0.6})
    assert told.startswith('"min_kappa": 0.6')
    assert "has no effect" in told
    advisory = {"role": "advisory"}
    assert any(
        "no effect" in line for line in faults(tmp_path, capability=advisory, gate={"min_kappa": 0.6, "floors": {"sums": 0.1}})
    )
    gate = loaded(tmp_path, gate={"min_kappa": 0.6, "trust_uncalibrated": True}).gate
    assert (gate.min_kappa, gate.trust_uncalibrated) == (0.6, True)


def test_the_hash_covers_judges_and_not_where_they_are(tmp_path: Path) -> None:
    plain = loaded(tmp_path).hash
    assert loaded(tmp_path, judges={"tone": {**TONE, "model": {"model": "m", "endpoint": "http://127.0.0.1:8/v1"}}}).hash == plain
    assert loaded(tmp_path, judging={"concurrency": 1}).hash == plain
    others: list[dict[str, Any]] = [
        {"judges": {"tone": {**TONE, "samples": 3}}},
        {"judges": {"tone": {**TONE, "model": {"model": "other", "endpoint": ENDPOINT}}}},
        {"checks": [{"judge": "tone", "threshold": 0.75}]},
        {"checks": [{"not-judge": "tone"}]},
        {"gate": {"trust_uncalibrated": True}},
        {"gate": {"min_kappa": 0.5}},
    ]
    assert len({loaded(tmp_path, **options).hash for options in others} | {plain}) == len(others) + 1


def test_a_key_written_into_a_judge_is_hidden_everywhere(tmp_path: Path) -> None:
    secret = "sk-very-secret-0123456789"
    model = {"model": "m", "endpoint": ENDPOINT, "api_key": secret}
    suite = loaded(tmp_path, judges={"tone": {**TONE, "model": model}})
    assert secret in suite.secrets()
    assert secret not in suite.source_text
    assert secret not in repr(suite)
    assert suite.hash == loaded(tmp_path).hash
