"""`harness run --dry-run`: requests and tokens of candidates and judges are told, nothing is asked, and the figures hold."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.gates import harness
from support.juries import scripted, write_jury

CASES = 12
PAIR = "  pair: {{kind: pairwise, rubric: pairwise-preference, model: {{model: other, endpoint: '{}'}}}}\n"


def told(capsys: pytest.CaptureFixture[str]) -> dict[str, list[int]]:
    """Line -> its figures: planned, to ask, prompt tokens, answer tokens (0 for a dash)."""
    found = {}
    for line in capsys.readouterr().out.splitlines():
        assert len(line) <= 80
        if match := re.fullmatch(r"  (.{22}) +([\d,]+) +([\d,]+) +(~[\d,]+|-) +([~<][\d,]+|-)", line):
            found[match[1].strip()] = [int(re.sub(r"\D", "", part) or 0) for part in match.groups()[1:]]
    return found


def test_what_it_says_is_what_is_asked_then(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with scripted() as server:
        options = {"judges": PAIR.format(server.url), "checks": "[{judge: pair}, {judge: polite, weight: 0}]", "cases": CASES}
        suite = write_jury(tmp_path, server.url, **options)
        assert harness(tmp_path, "run", suite, "-c", "bad", "--dry-run") == 0
        first = told(capsys)
        assert (server.count, (tmp_path / "store").exists()) == (0, False)
        assert first["bad"][:2] == [2 * CASES, 2 * CASES]
        assert first["polite on bad"][:2] == [CASES, CASES]
        assert first["pair on bad"][:2] == [CASES, 2 * CASES], "both orders"
        assert first["pair on base"][1] == 0, "a baseline is compared with nothing"
        assert first["polite on bad"][3] > 0

        harness(tmp_path, "run", suite, "-c", "bad")
        assert server.counts["base"] == first["base"][1]
        about = [seen for seen in server.requests if seen.model == "judge" and "guest" in seen.prompt]
        assert len(about) <= first["polite on base"][1] + first["polite on bad"][1]
        capsys.readouterr()
        before = server.count

        assert harness(tmp_path, "run", suite, "-c", "bad", "-c", "good", "--dry-run") == 0
        second = told(capsys)
        assert server.count == before
        assert [second[name][1] for name in ("base", "bad", "polite on base", "polite on bad", "pair on bad")] == [0] * 5
        assert second["good"][1] == 2 * CASES
        assert 0 < second["polite on good"][3] < first["polite on bad"][3], "what its verdicts took so far"


def test_without_judges_no_word_of_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with scripted() as server:
        suite = write_jury(tmp_path, server.url, checks="[{type: contains, value: please}]", cases=CASES)
        assert harness(tmp_path, "run", suite, "-c", "good", "--dry-run") == 0
        out = capsys.readouterr().out
        assert "judges" not in out
        assert "in all 48 requests" in out
        assert server.count == 0


def test_an_aa_run_can_be_told_of_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with scripted() as server:
        suite = write_jury(tmp_path, server.url, cases=CASES)
        assert harness(tmp_path, "run", suite, "--aa", "--dry-run") == 0
        figures = told(capsys)
        assert figures["base again"][1] == 2 * CASES
        assert server.count == 0
