"""`harness compare A.jsonl B.jsonl`: the library's numbers, in every format; hostile files are errors, never numbers."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness import scorefiles, scoretables
from harness.cli import call as run
from harness.cli.compare_files import judge
from harness.comparison import compare_runs
from harness.errors import DataError
from harness.model import Gate, ItemStatus, Ledger, ScoreRow
from harness.statistics import compare_paired
from harness.suite.gatefile import read_gate

Row = Mapping[str, Any]


def rows(marks: Sequence[float], capability: str | None = "math", **more: Any) -> list[dict[str, Any]]:
    name = {} if capability is None else {"capability": capability}
    return [{"case_id": f"c{i}", **name, "score": mark, **more} for i, mark in enumerate(marks)]


def jsonl(path: Path, content: Sequence[Row] | str) -> Path:
    text = content if isinstance(content, str) else "".join(json.dumps(row) + "\n" for row in content)
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    return path


def compare(folder: Path, ours: Sequence[Row] | str, theirs: Sequence[Row] | str, *args: str, gate: str | None = None) -> int:
    a, b = jsonl(folder / "a.jsonl", ours), jsonl(folder / "b.jsonl", theirs)
    if gate is not None:
        (folder / "gate.yaml").write_text(gate)
        args = ("--gate", str(folder / "gate.yaml"), *args)
    return run(["compare", str(a), str(b), *args])


def found(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    captured = capsys.readouterr()
    value: dict[str, Any] = json.loads(captured.out)
    return value


UP = [1.0] * 90 + [0.0] * 10
DOWN = [1.0] * 50 + [0.0] * 50
TARGET = "capabilities: {math: {role: target, margin: 0.05}}"


def test_the_numbers_are_those_of_compare_paired_and_the_exit_code_the_outcomes(tmp_path: Path, capsys: Any) -> None:
    assert compare(tmp_path, rows(UP), rows(DOWN), "--json", gate=TARGET) == 0
    verdict = found(capsys)
    (comparison,) = verdict["comparisons"]
    expected = compare_paired(UP, DOWN, margin=0.05)
    for name in ("delta", "low", "high", "n", "method", "p_improved", "p_not_worse", "p_regressed", "p_harmed"):
        assert comparison["paired"][name] == getattr(expected, name)
    assert (verdict["outcome"], verdict["exit_code"], comparison["role"], comparison["margin"]) == ("SHIP", 0, "target", 0.05)
    assert comparison["fixed"] == sorted(f"c{i}" for i in range(50, 90))
    assert verdict["candidate"] == {"name": "a", "file": str(tmp_path / "a.jsonl"), "rows": 100, "left_out": 0}
    assert verdict["claims"]["math"][0] == "improved"
    assert verdict["ledgers"]["baseline"] == {
        "planned": 100, "scored": 100, "unscored": {}, "errored": {}, "skipped": {}, "closed": True
    }  # fmt: skip


def test_the_first_file_is_the_candidate(tmp_path: Path, capsys: Any) -> None:
    assert compare(tmp_path, rows(DOWN), rows(UP), gate=TARGET) == 1
    out = capsys.readouterr().out
    assert f"candidate {tmp_path / 'a.jsonl'}, baseline {tmp_path / 'b.jsonl'}" in out
    assert "OPTIMIZE" in out
    assert "`harness promote" not in out


def test_the_keys_of_the_json_object_are_stable(tmp_path: Path, capsys: Any) -> None:
    compare(tmp_path, rows(UP), rows(DOWN), "--json")
    verdict = found(capsys)
    assert list(verdict) == [
        "schema_version", "candidate", "baseline", "outcome", "exit_code", "infrastructure", "reasons", "claims", "comparisons",
        "seesaws", "ledgers", "gate", "waivers",
    ]  # fmt: skip
    assert verdict["schema_version"] == 1
    assert set(verdict["reasons"][0]) == {"code", "text", "capability", "blocks"}


def test_row_order_and_line_ends_do_not_matter(tmp_path: Path, capsys: Any) -> None:
    compare(tmp_path, rows(UP), rows(DOWN), "--json")
    first = found(capsys)
    backwards = "\r\n".join(json.dumps(row) for row in reversed(rows(UP)))
    compare(tmp_path, "\ufeff" + backwards, rows(DOWN), "--json")
    second = found(capsys)
    assert second == first


def test_every_format_gives_the_same(tmp_path: Path, capsys: Any) -> None:
    ours = [{"case_id": f"c,{i}", "capability": "ma\nth", "score": i % 4 / 4, "cluster": f'd"{i % 20}'} for i in range(80)]
    theirs = [row | {"score": (row["score"] + 0.25) % 1} for row in ours]
    for side, content in (("a", ours), ("b", theirs)):
        jsonl(tmp_path / f"{side}.jsonl", content)
        pq.write_table(pa.Table.from_pylist(content), tmp_path / f"{side}.parquet")
        for ending, delimiter in ((".csv", ","), (".tsv", "\t")):
            with (tmp_path / f"{side}{ending}").open("w", newline="") as file:
                writer = csv.DictWriter(file, list(ours[0]), delimiter=delimiter)
                writer.writeheader()
                writer.writerows(content)
    seen = []
    for ending in (".jsonl", ".csv", ".tsv", ".parquet"):
        code = run(["compare", str(tmp_path / f"a{ending}"), str(tmp_path / f"b{ending}"), "--json"])
        verdict = found(capsys)
        seen.append((code, verdict["comparisons"], verdict["reasons"], verdict["ledgers"]))
    assert seen[0][1][0]["paired"]["n_clusters"] == 20
    assert all(other == seen[0] for other in seen[1:])


def test_rows_of_small_gates_without_a_capability(tmp_path: Path, capsys: Any) -> None:
    ours = [{"case_id": f"c{i}", "passed": i % 10 > 0, "run_index": r} for i in range(60) for r in range(3)]
    assert compare(tmp_path, ours, ours, "--json", gate="capabilities: {chat: {margin: 0.1}}") == 0
    (comparison,) = found(capsys)["comparisons"]
    assert (comparison["capability"], comparison["n_paired"], comparison["candidate_mean"]) == ("chat", 60, 0.9)
    assert compare(tmp_path, ours, ours, "--json") in (0, 2)
    assert found(capsys)["comparisons"][0]["capability"] == "all"


def test_missing_scores_are_counted_with_their_reasons_and_bounded(tmp_path: Path, capsys: Any) -> None:
    ours: list[Row] = rows([1.0] * 97)
    ours += [
        {"case_id": "c97", "capability": "math", "score": None, "status": "errored", "reason": "timeout"},
        {"case_id": "c98", "capability": "math", "score": None, "status": "unscored", "reason": "truncated"},
        {"case_id": "c99", "capability": "math", "reason": "empty"},
    ]
    assert compare(tmp_path, ours, rows([1.0] * 100), "--json") == 2
    verdict = found(capsys)
    ledger = verdict["ledgers"]["candidate"]
    assert (ledger["planned"], ledger["scored"], ledger["errored"]) == (100, 97, {"timeout": 1})
    assert ledger["unscored"] == {"truncated": 1, "empty": 1}
    assert verdict["comparisons"][0]["paired"]["delta"] == 0.0
    assert verdict["comparisons"][0]["worst"]["delta"] == pytest.approx(-3 / 100)
    assert verdict["reasons"][0]["code"] == "missing-scores"


def test_too_many_errors_are_infrastructure_and_exit_4(tmp_path: Path, capsys: Any) -> None:
    ours = rows([1.0] * 50) + [{"case_id": f"c{i}", "capability": "math", "status": "errored"} for i in range(50, 60)]
    assert compare(tmp_path, ours, rows([1.0] * 60)) == 4
    assert "10 of 60 requests to the candidate failed" in " ".join(capsys.readouterr().out.split())


def test_dev_rows_are_left_out_and_said_to_be(tmp_path: Path, capsys: Any) -> None:
    dev = [{"case_id": f"d{i}", "capability": "math", "score": 0.0, "split": "dev"} for i in range(7)]
    assert compare(tmp_path, rows(UP) + dev, rows(DOWN), gate=TARGET) == 0
    assert "7 rows of the candidate's file are of the dev split" in capsys.readouterr().out
    assert compare(tmp_path, dev, rows(DOWN)) == 3
    assert "only gate cases decide" in capsys.readouterr().err


def test_the_same_id_in_two_capabilities_is_two_cases(tmp_path: Path, capsys: Any) -> None:
    ours, theirs = rows(UP) + rows(DOWN, "text"), rows(DOWN) + rows(UP, "text")
    assert compare(tmp_path, ours, theirs, "--json", gate="default: {role: advisory, margin: 0.1}") == 2
    verdict = found(capsys)
    assert [c["paired"]["delta"] for c in verdict["comparisons"]] == pytest.approx([0.4, -0.4])
    assert verdict["seesaws"] == [{"gains": ["math"], "losses": ["text"], "fdr": 0.1}]
    assert verdict["reasons"][0]["code"] == "nothing-decides"


def test_reports_of_files_in_every_format(tmp_path: Path, capsys: Any) -> None:
    ours = [row | {"case_id": f"<script>{row['case_id']}"} for row in rows(DOWN)]
    theirs = [row | {"case_id": f"<script>{row['case_id']}"} for row in rows(UP)]
    files = {name: tmp_path / f"r.{name}" for name in ("report", "markdown", "junit")}
    args = [text for name, path in files.items() for text in (f"--{name}", str(path))]
    assert compare(tmp_path, ours, theirs, *args, gate=TARGET) == 1
    assert f"Report: {files['report']}" in capsys.readouterr().out
    page = files["report"].read_text()
    assert "<script>c" not in page
    assert "&lt;script&gt;c50" in page
    assert "OPTIMIZE" in files["markdown"].read_text()
    suites = ElementTree.parse(files["junit"]).getroot()
    assert int(suites.attrib["failures"]) > 0
    assert len(suites.findall(".//testcase")) == 101


# -- what cannot be compared ----------------------------------------------------------------------------------------------------

GOOD = rows(DOWN)
BAD: list[tuple[str, Sequence[Row] | str, Sequence[Row] | str, str]] = [
    ("empty", "", GOOD, "a.jsonl: is empty"),
    ("baseline empty", GOOD, "", "b.jsonl: is empty"),
    ("both empty", "", "", "a.jsonl: is empty"),
    ("blank lines only", "\n\n  \n", GOOD, "a.jsonl: is empty"),
    ("broken line", '{"case_id": "c0", "score": 1}\n{"case_id": "c1", "sco\n', GOOD, "a.jsonl:2: is not JSON"),
    ("two on one line", '{"case_id": "c0", "score": 1} {"case_id": "c1", "score": 1}\n', GOOD, "a.jsonl:1: is not JSON"),
    ("an object over lines", '{"case_id": "c0",\n"score": 1}\n', GOOD, "a.jsonl:1: is not JSON"),
    ("not objects", "[1]\n3\n", GOOD, "a.jsonl:2: is a JSON number"),
    ("NaN", '{"case_id": "c0", "score": NaN}\n', GOOD, "a.jsonl:1: case c0 of 'all' is scored nan"),
    ("infinity", '{"case_id": "c0", "score": 1e999}\n', rows([1.0], None), "a.jsonl:1: case c0 of 'all' is scored inf"),
    ("above one", [*GOOD[:7], GOOD[7] | {"score": 1.0001}], GOOD, "a.jsonl:8: case c7 of 'math' is scored 1.0001"),
    ("below zero", GOOD, [*GOOD[:7], GOOD[7] | {"score": -1}], "b.jsonl:8: case c7 of 'math' is scored -1.0"),
    ("text", [GOOD[0] | {"score": "1.0"}], GOOD, "a.jsonl:1: score: must be a number in [0, 1], and is '1.0'"),
    ("boolean", [GOOD[0] | {"score": True}], GOOD, "a.jsonl:1: score: must be a number in [0, 1], and is True"),
    ("list", [GOOD[0] | {"score": [1]}], GOOD, "a.jsonl:1: score: must be a number"),
    ("huge", [GOOD[0] | {"score": 10**400}], GOOD, "a.jsonl:1: case c0 of 'math' is scored inf"),
    ("no score, no reason", [GOOD[0], {"case_id": "c1", "capability": "math"}], GOOD, "a.jsonl:2: has no score, and does"),
    ("no id", [GOOD[0], {"capability": "math", "score": 1}], GOOD, "a.jsonl:2: has no case_id"),
    ("no id at all", [{"capability": "math", "score": 1}], GOOD, "a.jsonl:1: no row has the column 'case_id'"),
    ("no score at all", [{"case_id": "c0", "value": 1}], GOOD, "a.jsonl:1: no row has the column 'score'"),
    ("capability here and there", [GOOD[0], {"case_id": "x", "score": 1}], GOOD, "a.jsonl:2: has no capability"),
    ("id is a list", [GOOD[0] | {"case_id": ["c0"]}], GOOD, "a.jsonl:1: case_id: must be text"),
    ("half a character", '{"case_id": "\\ud800", "capability": "math", "score": 1}\n', GOOD, "a.jsonl:1: case_id: holds half"),
    ("status", [GOOD[0] | {"status": "done"}], GOOD, "a.jsonl:1: has an unknown status (use scored, unscored"),
    ("scored without", [{"case_id": "c0", "capability": "math", "status": "scored"}], GOOD, "a.jsonl:1: is called scored and"),
    ("split", [GOOD[0] | {"split": "test"}], GOOD, "a.jsonl:1: has an unknown split (use dev or gate)"),
    ("sample", [GOOD[0] | {"sample": -1}], GOOD, "a.jsonl:1: has a negative sample"),
    ("sample is half", [GOOD[0] | {"sample": 0.5}], GOOD, "a.jsonl:1: sample: must be a whole number, and is 0.5"),
    ("key twice", '{"case_id": "c0", "score": 1, "score": 0}\n', GOOD, "a.jsonl:1: key 'score' stands twice"),
    ("row twice", [*GOOD, GOOD[3] | {"score": 0.0}], GOOD, "a.jsonl:101: case c3 of 'math' has sample 0 twice"),
    ("sample twice", [*GOOD, GOOD[3] | {"sample": 1}, GOOD[3] | {"sample": 1}], GOOD, "a.jsonl:102: case c3 of 'math' has"),
    ("other cases", [*GOOD, GOOD[0] | {"case_id": "new"}], GOOD, "a.jsonl:101: the two runs planned different cases of"),
    ("fewer cases", GOOD[:-2], GOOD, "b.jsonl:99: the two runs planned different cases of 'math': 2 only in the baseline's"),
    ("no case in common", [row | {"case_id": "x" + row["case_id"]} for row in GOOD], GOOD, "100 only in the candidate's run"),
    ("other clusters", [GOOD[0] | {"cluster": "a"}], [GOOD[0] | {"cluster": "b"}], "a.jsonl:1: case c0 of 'math' belongs to"),
    ("binary and graded", rows([0.3, 0.6] * 50), GOOD, "a.jsonl:1: the score 0.3 of 'math' is graded, beside only 0 and 1 in"),
    (
        "passed and graded",
        [{"case_id": "c0", "capability": "math", "passed": True}, {"case_id": "c1", "capability": "math", "score": 0.5}],
        GOOD[:2],
        "a.jsonl:2: the score 0.5 of 'math' is graded, beside rows that only say passed",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("ours", "theirs", "says"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_what_cannot_be_compared_is_an_error_with_its_line(
    tmp_path: Path, capsys: Any, ours: Sequence[Row] | str, theirs: Sequence[Row] | str, says: str
) -> None:
    assert compare(tmp_path, ours, theirs, "--json") == 3
    captured = capsys.readouterr()
    assert captured.out == ""
    assert says in captured.err


def test_many_faults_are_told_at_once_but_not_all(tmp_path: Path, capsys: Any) -> None:
    assert compare(tmp_path, [{"case_id": f"c{i}", "capability": "m", "score": "x"} for i in range(50)], GOOD) == 3
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == scoretables.MAX_FAULTS
    assert lines[19].startswith(f"{tmp_path / 'a.jsonl'}:20: score")


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".jsonl"])
def test_a_file_that_is_not_what_its_name_says(tmp_path: Path, capsys: Any, ending: str) -> None:
    bad = tmp_path / f"bad{ending}"
    bad.write_bytes(b"PAR1\x00\xff\xfe garbage \x00\n\xff")
    jsonl(tmp_path / "b.jsonl", GOOD)
    assert run(["compare", str(bad), str(tmp_path / "b.jsonl")]) == 3
    assert str(bad) in capsys.readouterr().err


def test_csv_faults_have_their_line(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "a.csv").write_text('case_id,capability,score\n"c\n0",math,1\nc1,math,nan\n')
    (tmp_path / "b.csv").write_text('case_id,capability,score\n"c\n0",math,1\nc1,math,x\n')
    (tmp_path / "good.csv").write_text('case_id,capability,score\n"c\n0",math,1\nc1,math,1\n')
    assert run(["compare", str(tmp_path / "a.csv"), str(tmp_path / "good.csv")]) == 3
    assert "a.csv:4: case c1 of 'math' is scored nan" in capsys.readouterr().err
    assert run(["compare", str(tmp_path / "good.csv"), str(tmp_path / "b.csv")]) == 3
    assert "b.csv:4: score: must be a number in [0, 1], and is 'x'" in capsys.readouterr().err


def test_files_that_are_not_there_and_things_that_are_no_files(tmp_path: Path, capsys: Any) -> None:
    good = str(jsonl(tmp_path / "b.jsonl", GOOD))
    for wrong, says in (("none.jsonl", "no such file"), (".", "is a directory"), ("gate.yaml", "unknown kind of file")):
        (tmp_path / "gate.yaml").write_text("gate: {}")
        assert run(["compare", str(tmp_path / wrong), good]) == 3
        assert says in capsys.readouterr().err
    assert run(["compare", good, "latest"]) == 3
    assert "a run and a file" in capsys.readouterr().err
    assert run(["compare", "one", "two", "--gate", "gate.yaml"]) == 3
    assert "--gate is for score files" in capsys.readouterr().err


# -- what decides nothing --------------------------------------------------------------------------------------------------------


def test_one_cluster_is_undecided_with_its_reason(tmp_path: Path, capsys: Any) -> None:
    assert compare(tmp_path, rows(UP, cluster="doc"), rows(DOWN, cluster="doc"), "--json") == 2
    (comparison,) = found(capsys)["comparisons"]
    assert (comparison["claims"], comparison["paired"]["method"]) == (["undecided"], "undecided")
    assert "1 cluster, and the spread" in comparison["reason"]


def test_a_file_against_itself_is_refused_whatever_its_names(tmp_path: Path, capsys: Any) -> None:
    jsonl(tmp_path / "a.jsonl", rows(UP))
    (tmp_path / "link.jsonl").symlink_to("a.jsonl")
    for other in ("a.jsonl", "./a.jsonl", "link.jsonl"):
        assert run(["compare", str(tmp_path / "a.jsonl"), f"{tmp_path}/{other}"]) == 3
        assert "candidate and baseline are the same file. Give two files" in capsys.readouterr().err


@pytest.mark.parametrize("value", [0.0, 1.0, 0.37])
def test_all_ties_are_undecided_and_never_an_interval_without_width(tmp_path: Path, capsys: Any, value: float) -> None:
    assert compare(tmp_path, rows([value] * 12), rows([value] * 12), "--json") == 2
    told = found(capsys)
    (comparison,) = told["comparisons"]
    assert comparison["claims"] == ["undecided"]
    assert comparison["paired"]["delta"] == 0.0
    assert comparison["paired"]["low"] < -0.05 < 0.05 < comparison["paired"]["high"]
    assert comparison["n_needed"] > 12
    assert any("cases" in reason["text"] for reason in told["reasons"] if reason["capability"] == "math")


@pytest.mark.parametrize("empty", ["candidate", "baseline"])
def test_a_run_without_any_score_decides_nothing_and_says_why(tmp_path: Path, capsys: Any, empty: str) -> None:
    """Every answer unscored: nothing pairs, and the worst case is bounded by nothing."""
    nothing = [{"case_id": f"c{i}", "capability": "math", "status": "unscored", "reason": "truncated"} for i in range(len(GOOD))]
    sides = (nothing, GOOD) if empty == "candidate" else (GOOD, nothing)
    assert compare(tmp_path, *sides, "--json") in (1, 2)  # 1: the candidate's budget of unscored answers is overdrawn
    (comparison,) = found(capsys)["comparisons"]
    assert comparison["claims"] == ["undecided"]
    assert comparison["n_paired"] == 0
    assert "no case was scored in both runs" in comparison["reason"]


def test_one_case_is_undecided(tmp_path: Path, capsys: Any) -> None:
    assert compare(tmp_path, rows([1.0]), rows([0.0]), "--json") == 2
    assert found(capsys)["comparisons"][0]["claims"] == ["undecided"]


# -- the gate file ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gate", "says"),
    [
        ("gate: {alpha: 0.7}", "gate.yaml:1: gate.alpha: must be less than 0.5"),
        ("gate:\n  alhpa: 0.05", "gate.yaml:2: unknown key 'alhpa' (did you mean alpha?"),
        ("capabilities:\n  math: {rolle: target}", "gate.yaml:2: unknown key 'rolle'"),
        ("capabilities:\n  math: {role: tagret}", "gate.yaml:2: capabilities.math.role"),
        ("capabilities:\n  maths: {margin: 0.1}\ndefault: {}", "gate.yaml:2: the capability 'maths' has no scores"),
        ("capabilities:\n  math: {}\n  other: {}\n", "gate.yaml:3: the capability 'other' has no scores"),
        ("gate:\n  floors:\n    nope: 0.5", "gate.yaml:3: the floor's capability 'nope' has no scores"),
        ("capabilities: {math: {margin: .nan}}", "margin"),
        ("capabilities: {math: {margin: 0}}", "must be greater than 0"),
        ("gate: {}\ngate: {}", "gate.yaml:2: the key 'gate' stands twice"),
        ("[1]", "gate.yaml:1: the file must be a mapping"),
        ("gate: !!python/object:os.system x", "gate.yaml:1: the tag"),
        ("", "is empty"),
    ],
)
def test_faults_of_a_gate_file_have_their_line(tmp_path: Path, capsys: Any, gate: str, says: str) -> None:
    assert compare(tmp_path, GOOD, GOOD, gate=gate) == 3
    assert says in capsys.readouterr().err


def test_a_capability_that_the_gate_does_not_know_is_refused_at_its_row(tmp_path: Path, capsys: Any) -> None:
    ours = [*GOOD, *rows([1.0], "txet")]
    gate = "capabilities: {math: {margin: 0.05}, text: {margin: 0.1}}"
    assert compare(tmp_path, ours, ours, gate="capabilities: {math: {margin: 0.05}}") == 3
    assert "a.jsonl:101: a score names the capability 'txet', unknown here. Known: math" in capsys.readouterr().err
    assert compare(tmp_path, ours, ours, gate=gate) == 3
    assert "the capability 'text' has no scores (did you mean txet?" in capsys.readouterr().err


def test_floors_and_min_gain_of_the_gate_count(tmp_path: Path, capsys: Any) -> None:
    assert (
        compare(tmp_path, rows(UP), rows(DOWN), "--json", gate=f"gate: {{floors: {{math: 0.95}}, min_gain: 0.6}}\n{TARGET}") == 1
    )
    codes = {reason["code"] for reason in found(capsys)["reasons"]}
    assert {"floor-failed", "target-short"} <= codes | {"floor-not-shown"}


# -- the two readers, and the library -------------------------------------------------------------------------------------------

SCORES = st.sampled_from([0, 1, 0.25, 0.5, 1.0])
ROWS = st.lists(
    st.tuples(st.text(max_size=3), st.sampled_from(["a", "b"]), SCORES, st.sampled_from([None, "x", "y"]), st.booleans()),
    min_size=1,
    max_size=25,
    unique_by=lambda row: (row[0], row[1]),
)


def two_scales(graded: Iterable[ScoreRow], marks: Iterable[ScoreRow]) -> bool:
    """A capability that one file grades for the most part and the other only marks right or wrong, with both of them."""
    by_side: list[dict[str, list[float]]] = [{}, {}]
    for found, side in zip(by_side, (graded, marks), strict=True):
        for row in side:
            if row.value is not None:
                found.setdefault(row.capability, []).append(row.value)
    mostly = {name for name, values in by_side[0].items() if 2 * sum(0 < value < 1 for value in values) > len(values)}
    return any(set(by_side[1].get(name, ())) == {0.0, 1.0} for name in mostly)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ROWS, st.randoms(use_true_random=False))
def test_both_readers_and_the_library_agree(tmp_path: Path, drawn: list[Any], random: Any) -> None:
    """The compiled reader, the slow one and compare_runs on ScoreRows give the same comparisons and ledgers."""
    sides: list[tuple[Path, list[ScoreRow]]] = []
    for side in ("a", "b"):
        content, nouns = [], []
        for case_id, capability, score, cluster, missing in random.sample(drawn, len(drawn)):
            value = None if missing else random.choice([0.0, score])
            status = ItemStatus.ERRORED if missing else ItemStatus.SCORED
            row = {"case_id": case_id, "capability": capability, "score": value, "cluster": cluster, "extra": [1]}
            content.append(row | ({"status": "errored", "reason": "down"} if missing else {}))
            nouns.append(ScoreRow(case_id, capability, 0, status, value, None, "down" if missing else None, cluster))
        sides.append((jsonl(tmp_path / f"{side}.jsonl", content), nouns))
    (a, ours), (b, theirs) = sides
    if two_scales(ours, theirs) or two_scales(theirs, ours):
        with pytest.raises(DataError, match="is graded") as fast_refusal:
            scorefiles.read_scores(a, b)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(scoretables, "_fast_json", lambda path: None)
            with pytest.raises(DataError) as slow_refusal:
                scorefiles.read_scores(a, b)
        assert slow_refusal.value.line() == fast_refusal.value.line()
        return
    gate = read_gate(None)
    fast = scorefiles.read_scores(a, b)
    verdict = judge(fast, gate)
    rules = gate.rules_for(fast.cases.capabilities)
    assert {c.capability: c for c in verdict.comparisons} == {c.capability: c for c in compare_runs(ours, theirs, rules, Gate())}
    assert (fast.candidate.ledger(), fast.baseline.ledger()) == (Ledger.of(ours), Ledger.of(theirs))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scoretables, "_fast_json", lambda path: None)
        slow = scorefiles.read_scores(a, b)
    assert judge(slow, gate) == verdict
    for one, other in ((fast.candidate, slow.candidate), (fast.baseline, slow.baseline)):
        np.testing.assert_array_equal(one.value, other.value)
        np.testing.assert_array_equal(one.case, other.case)


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=120), st.sampled_from([".jsonl", ".csv", ".parquet"]))
def test_no_bytes_make_a_traceback(tmp_path: Path, noise: bytes, ending: str) -> None:
    """Whatever a file holds: an exit code of the table, never an exception."""
    path = tmp_path / f"noise{ending}"
    head = b'{"case_id": "c0", "score": 1}\n' if ending == ".jsonl" else b"case_id,score\nc0,1\n" if ending == ".csv" else b"PAR1"
    path.write_bytes(head + noise)
    assert run(["compare", str(path), str(path), "--json"]) in (0, 1, 2, 3)


def test_a_value_of_the_gate_is_no_nan_anywhere_in_the_output(tmp_path: Path, capsys: Any) -> None:
    compare(tmp_path, rows([0.5] * 3), rows([0.5] * 3), "--json")

    def numbers(value: Any) -> list[float]:
        if isinstance(value, dict):
            return [n for item in value.values() for n in numbers(item)]
        if isinstance(value, list):
            return [n for item in value for n in numbers(item)]
        return [value] if isinstance(value, float) else []

    assert all(math.isfinite(number) for number in numbers(found(capsys)))


def test_numbers_as_ids_are_text_and_the_slow_reader_takes_over(tmp_path: Path, capsys: Any) -> None:
    ours = [{"case_id": i, "capability": 7, "score": 1, "cluster": None} for i in range(30)]
    theirs = [{"case_id": str(i), "capability": "7", "score": 1.0} for i in range(30)]
    assert compare(tmp_path, ours, theirs, "--json", gate="default: {margin: 0.3}") == 0
    assert found(capsys)["claims"] == {"7": ["not worse", "equivalent"]}


def test_an_id_cannot_steer_the_terminal_through_an_error(tmp_path: Path, capsys: Any) -> None:
    row = {"case_id": "\x1b[2J\u202ec0", "capability": "math", "score": 1}
    assert compare(tmp_path, [row, row], GOOD) == 3
    err = capsys.readouterr().err
    assert "a.jsonl:2: case \u241b[2J" in err
    assert "\x1b" not in err
    assert "\u202e" not in err


def test_samples_may_be_any_whole_numbers(tmp_path: Path, capsys: Any) -> None:
    ours = [{"case_id": f"c{i}", "score": 1, "run_index": s} for i in range(40) for s in (0, 2**61, 2**62 - 1)]
    assert compare(tmp_path, ours, ours, "--json", gate="default: {margin: 0.2}") == 0
    assert found(capsys)["comparisons"][0]["n_paired"] == 40
    assert compare(tmp_path, [*ours, ours[-1]], ours) == 3
    assert f"a.jsonl:121: case c39 of 'all' has sample {2**62 - 1} twice" in capsys.readouterr().err
