"""Case sources: what rows become, ids, splits, and everything that can be wrong with a file."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from support.suites import write_rows

from harness.cases import CaseSource, LoadedCases, load_cases, split_of
from harness.model import Case, Split, digest_of


def load(root: Path, capability: str = "c", **source: Any) -> LoadedCases:
    made = CaseSource(**source)
    return load_cases(made, capability, root, lambda row: f"{made.title}:{row}" if row else "suite.yaml:9")


def good(root: Path, capability: str = "c", **source: Any) -> tuple[Case, ...]:
    loaded = load(root, capability, **source)
    assert loaded.faults == ()
    return loaded.cases


def bad(root: Path, content: str | bytes, name: str = "x.jsonl", **source: Any) -> list[str]:
    (root / name).write_bytes(content.encode() if isinstance(content, str) else content)
    loaded = load(root, path=name, **source)
    return [fault.line() for fault in loaded.faults]


def test_fields_and_variables(tmp_path: Path) -> None:
    row = {
        "input": "q",
        "reference": {"a": [1, 2.5, None]},
        "cluster": 7,
        "split": "dev",
        "must_pass": True,
        "metadata": {"source": "s"},
        "vars": {"style": "short"},
        "context": "doc",
        "id": "mine-1",
    }
    write_rows(tmp_path / "x.jsonl", [row])
    (case,) = good(tmp_path, path="x.jsonl")
    values = {"input": "q", "context": "doc", "style": "short"}
    assert case == Case(
        id=digest_of(["c", values, row["reference"]])[:16],
        capability="c",
        vars=values,
        reference=row["reference"],
        cluster="7",
        split=Split.DEV,
        must_pass=True,
        metadata={"source": "s", "id": "mine-1"},
        source="x.jsonl:1",
    )


def test_a_chat_as_input(tmp_path: Path) -> None:
    chat = [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]
    write_rows(tmp_path / "x.jsonl", [{"messages": chat}])
    assert good(tmp_path, path="x.jsonl")[0].vars == {"messages": chat}


def test_every_fault_of_a_file_with_its_own_line(tmp_path: Path) -> None:
    lines = [
        '{"input": "a", "reference": 1}',
        "",
        "{broken",
        "[1]",
        '{"reference": 1}',
        '{"input": ""}',
        '{"input": NaN}',
        '{"input": -Infinity}',
        '{"input": 1e999}',
        '{"input": "a", "input": "b"}',
        '{"input": "\\ud800"}',
        '{"input": ' + "9" * 5000 + "}",
        '{"input": ' + "[" * 100_000 + "}",
        '{"refrence": 1}',
        '{"input": "a", "split": "test"}',
        '{"input": "a", "must_pass": "maybe"}',
        '{"input": "a", "cluster": 1.5}',
        '{"input": "a", "metadata": "text"}',
        '{"reference": 1, "input": "a"}',
    ]
    says = {
        3: "is not JSON: Expecting property name",
        4: "is a JSON list, not an object",
        5: "has no input",
        6: "input is empty",
        7: "NaN is not a JSON number",
        8: "-Infinity is not a JSON number",
        9: "holds a number that JSON cannot say",
        10: "key 'input' stands twice",
        11: "holds half of a surrogate pair",
        12: "holds a number too long to read",
        13: "is nested too deeply",
        14: "unknown key 'refrence' (did you mean 'reference'?",
        15: "split 'test' is unknown",
        16: "must_pass 'maybe' is neither true nor false",
        17: "cluster is neither text nor a whole number",
        18: "metadata is not an object",
        19: "the same case as x.jsonl:1: equal input and reference",
    }
    faults = bad(tmp_path, "\r\n".join(lines))
    assert len(faults) == len(says)
    for fault, (line, text) in zip(faults, says.items(), strict=True):
        assert fault.startswith(f"x.jsonl:{line}: {text}"), fault


@pytest.mark.parametrize(
    ("messages", "says"),
    [
        ([], "messages is not a list"),
        ("hello", "messages is not a list"),
        ([{"role": "user"}], "message 1 must have role and content"),
        ([{"role": "tool", "content": "x"}], "message 1 has the role 'tool'"),
        ([{"role": "user", "content": [{"type": "image"}]}], "the content of message 1 is not text"),
        ([{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}], "the last message is not the user's"),
    ],
)
def test_broken_chats(messages: Any, says: str, tmp_path: Path) -> None:
    assert bad(tmp_path, json.dumps({"messages": messages}))[0].startswith(f"x.jsonl:1: {says}")


def test_many_faults_are_counted(tmp_path: Path) -> None:
    faults = bad(tmp_path, "nonsense\n" * 1020)
    assert len(faults) == 21
    assert faults[-1] == "suite.yaml:9: x.jsonl: 1,000 more rows are faulty (mend the first ones, then look again)"


def test_byte_order_mark_and_crlf_are_no_content(tmp_path: Path) -> None:
    write_rows(tmp_path / "a.jsonl", [{"input": "x", "reference": "ü\u2028y"}])
    (tmp_path / "b.jsonl").write_bytes(b"\xef\xbb\xbf" + '{"input": "x", "reference": "ü\u2028y"}\r\n\r\n'.encode())
    (one,), (two,) = good(tmp_path, path="a.jsonl"), good(tmp_path, path="b.jsonl")
    assert one.id == two.id
    assert one.reference == "ü\u2028y"


@pytest.mark.parametrize("name", ["x.jsonl", "x.csv"])
def test_utf16_is_named(name: str, tmp_path: Path) -> None:
    assert bad(tmp_path, "input\nx".encode("utf-16"), name) == [f"suite.yaml:9: {name}: is UTF-16 text (save it as UTF-8)"]


def test_bytes_that_are_no_utf8(tmp_path: Path) -> None:
    faults = bad(tmp_path, b'{"input": "a"}\n{"input": "\xe9"}\n{"input": "b"}\n')
    assert faults == ["x.jsonl:2: is not UTF-8 text (byte 0xe9) (save it as UTF-8)"]
    assert "is not UTF-8 text" in bad(tmp_path, b"input\n\xe9\n", "x.csv")[0]


def test_paths_that_are_no_files(tmp_path: Path) -> None:
    (tmp_path / "loop.jsonl").symlink_to(tmp_path / "loop.jsonl")
    (tmp_path / "dir.jsonl").mkdir()
    os.mkfifo(tmp_path / "pipe.jsonl")
    (tmp_path / "cases.xlsx").touch()
    for name, says in {
        "none.jsonl": "no such file",
        "loop.jsonl": "Too many levels of symbolic links",
        "dir.jsonl": "is a directory",
        "pipe.jsonl": "is not a regular file",
        "cases.xlsx": "unknown kind of file '.xlsx'",
        "/dev/null.csv": "no such file",
    }.items():
        (fault,) = load(tmp_path, path=name).faults
        assert fault.line().startswith(f"suite.yaml:9: {name}: "), fault
        assert says in fault.what


def test_an_empty_file_has_no_cases(tmp_path: Path) -> None:
    for name in ("x.jsonl", "x.csv", "y.csv"):
        (tmp_path / name).write_text("input,reference\n" if name == "y.csv" else "")
        assert load(tmp_path, path=name) == LoadedCases((), ())


def test_csv(tmp_path: Path) -> None:
    chat = '"[{""role"": ""user"", ""content"": ""hi""}]"'
    text = f'input,reference,cluster,must_pass,messages\n"a, ""b""\nc",1,,yes,\nq,,d1,,{chat}\n'
    (tmp_path / "x.csv").write_text(text)
    one, two = good(tmp_path, path="x.csv")
    assert (one.vars, one.reference, one.cluster, one.must_pass) == ({"input": 'a, "b"\nc'}, "1", None, True)
    assert (two.reference, two.cluster, two.vars["messages"]) == (None, "d1", [{"role": "user", "content": "hi"}])
    assert [case.source for case in (one, two)] == ["x.csv:2", "x.csv:4"]
    (tmp_path / "x.tsv").write_text("input\treference\na\t1\n")
    assert good(tmp_path, path="x.tsv")[0].reference == "1"


def test_csv_without_a_header_or_with_ragged_rows(tmp_path: Path) -> None:
    assert bad(tmp_path, "1+1?,2\n2+2?,4\n", "x.csv", input="question")[0].startswith(
        "x.csv:2: no column 'question' (it has: 1+1?, 2)"
    )
    assert bad(tmp_path, "input,input\na,b\n", "x.csv")[0].startswith("x.csv:1: the header has empty or repeated names")
    assert bad(tmp_path, "input,\na,b\n", "x.csv")[0].startswith("x.csv:1: the header has empty or repeated names")
    faults = bad(tmp_path, 'input,reference\na,1\nb\nc,3,4\n"d"x,5\n', "x.csv")
    assert faults[0].startswith("x.csv:3: has 1 cells, the header 2")
    assert faults[1].startswith("x.csv:4: has 3 cells, the header 2")
    assert faults[2].startswith("x.csv:5: is not CSV")


def test_parquet(tmp_path: Path) -> None:
    pq.write_table(pa.table({"q": ["a", "b"], "n": [1, 2], "day": [pa.scalar(0, pa.date32())] * 2}), tmp_path / "x.parquet")
    cases = good(tmp_path, path="x.parquet", input="q", reference="n", vars=("day",))
    assert [(case.vars, case.reference) for case in cases] == [
        ({"input": "a", "day": "1970-01-01"}, 1),
        ({"input": "b", "day": "1970-01-01"}, 2),
    ]
    pq.write_table(pa.table({"input": ["a", "b"], "reference": [float("nan"), 1.0]}), tmp_path / "n.parquet")
    assert load(tmp_path, path="n.parquet").faults[0].line().startswith("n.parquet:1: holds a number that JSON cannot say")
    pq.write_table(pa.table({"input": [b"\x00"]}), tmp_path / "b.parquet")
    assert load(tmp_path, path="b.parquet").faults[0].line().startswith("b.parquet:1: holds a value that JSON cannot say")
    assert bad(tmp_path, b"PAR1 not really", "z.parquet")[0].startswith("suite.yaml:9: z.parquet: is not a Parquet file")


def test_columns_and_templates(tmp_path: Path) -> None:
    rows = [{"question": f"q{n}", "answer": f"because #### {n}", "topic": "t", "split": "gate", "noise": 1} for n in range(3)]
    write_rows(tmp_path / "x.jsonl", rows)
    source = {
        "path": "x.jsonl",
        "input": "Q: {{ question }}",
        "reference": "{{ answer.split('####')[-1] | trim }}",
        "cluster": "topic",
        "id": "question",
        "metadata": ("answer",),
    }
    case = good(tmp_path, **source)[1]
    assert (case.vars, case.reference, case.cluster) == ({"input": "Q: q1"}, "1", "t")
    assert case.metadata == {"answer": "because #### 1", "id": "q1"}
    (fault, *_) = load(tmp_path, path="x.jsonl", input="qestion").faults
    assert (
        fault.line() == "x.jsonl:1: no column 'qestion' (did you mean 'question'? it has: question, answer, topic, split, noise)"
    )
    (fault, *_) = load(tmp_path, path="x.jsonl", input="{{ question.__class__ }}").faults
    assert fault.what.startswith("input: the template is refused")


def test_one_source_exactly() -> None:
    for source in ({}, {"path": "a", "dataset": "b"}, {"path": "a", "dataset_split": "test"}):
        with pytest.raises(ValidationError):
            CaseSource(**source)


def test_limit_by_order_and_by_hash(tmp_path: Path) -> None:
    rows = [{"input": str(n)} for n in range(50)]
    write_rows(tmp_path / "a.jsonl", rows)
    write_rows(tmp_path / "b.jsonl", rows[::-1])
    assert [case.vars["input"] for case in good(tmp_path, path="a.jsonl", limit=3)] == ["0", "1", "2"]
    one = {case.id for case in good(tmp_path, path="a.jsonl", limit=10, sample_seed=1)}
    assert one == {case.id for case in good(tmp_path, path="b.jsonl", limit=10, sample_seed=1)}
    assert one != {case.id for case in good(tmp_path, path="a.jsonl", limit=10, sample_seed=2)}
    assert len(one) == 10


def test_a_local_data_set(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    data = datasets.Dataset.from_list([{"question": "a", "n": 1}, {"question": "b", "n": 2}])
    data.save_to_disk(str(tmp_path / "one"))
    datasets.DatasetDict({"train": data, "test": data.select([1])}).save_to_disk(str(tmp_path / "many"))
    assert [case.reference for case in good(tmp_path, dataset="one", input="question", reference="n")] == [1, 2]
    many = {"dataset": "many", "input": "question", "reference": "n"}
    assert [case.reference for case in good(tmp_path, **many, dataset_split="test")] == [2]
    assert "has the splits train, test (name one with dataset_split)" in load(tmp_path, **many).faults[0].line()
    assert "has no split 'dev' (use one of train, test)" in load(tmp_path, **many, dataset_split="dev").faults[0].line()
    assert "cannot be loaded" in load(tmp_path, dataset="nowhere/at-all").faults[0].line()


def test_without_datasets_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert load(tmp_path, dataset="x/y").faults[0].line().endswith("(pip install 'seesaw-harness[data]')")


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=10)
rows_of_cases = st.lists(
    st.fixed_dictionaries(
        {"input": texts, "reference": st.none() | st.integers() | texts, "cluster": st.none() | st.sampled_from("abcdef")}
    ),
    min_size=1,
    max_size=25,
    unique_by=lambda row: json.dumps([row["input"], row["reference"]]),
)


@given(rows_of_cases, st.randoms(use_true_random=False), st.floats(0, 1), st.text(max_size=3))
def test_ids_and_splits_ignore_the_order_of_rows(rows: list[dict[str, Any]], rng: random.Random, share: float, salt: str) -> None:
    shuffled = [dict(rng.sample(list(row.items()), len(row))) for row in rng.sample(rows, len(rows))]
    one = good(Path(), rows=tuple(rows), dev_fraction=share, salt=salt)
    two = good(Path(), rows=tuple(shuffled), dev_fraction=share, salt=salt)
    assert {case.id: case.split for case in one} == {case.id: case.split for case in two}
    sides: dict[str, set[Split]] = {}
    for case in one:
        assert case.id == digest_of(["c", dict(case.vars), case.reference])[:16]
        sides.setdefault(case.cluster or case.id, set()).add(case.split)
    assert all(len(splits) == 1 for splits in sides.values())


def test_ids_depend_on_capability_variables_and_reference(tmp_path: Path) -> None:
    def identify(capability: str = "c", **row: Any) -> str:
        return good(tmp_path, capability, rows=(row,))[0].id

    ids = [
        identify(input="a", reference=1),
        identify(input="a", reference="1"),
        identify(input="a", reference=2),
        identify(input="b", reference=1),
        identify(input="a", reference=1, context="x"),
        identify("d", input="a", reference=1),
    ]
    assert len(set(ids)) == len(ids)
    beside = identify(input="a", reference=1, cluster="k", split="dev", must_pass=True, metadata={"n": 1}, id="x")
    assert beside == ids[0]


def test_the_share_of_dev_and_its_growth() -> None:
    units = [f"case {n}" for n in range(20_000)]
    small = {unit for unit in units if split_of(unit, 0.2) is Split.DEV}
    large = {unit for unit in units if split_of(unit, 0.3) is Split.DEV}
    assert abs(len(small) / len(units) - 0.2) < 0.012  # 4 standard errors
    assert small < large  # a larger share moves no case from dev back to gate
    assert small != {unit for unit in units if split_of(unit, 0.2, "other salt") is Split.DEV}


def test_a_split_in_a_row_decides_for_its_cluster() -> None:
    rows = [{"input": str(n), "cluster": "k"} for n in range(5)] + [{"input": "x", "cluster": "k", "split": "dev"}]
    assert {case.split for case in good(Path(), rows=tuple(rows))} == {Split.DEV}
    rows.append({"input": "y", "cluster": "k", "split": "gate"})
    (fault,) = load(Path(), rows=tuple(rows)).faults
    assert fault.what == "cluster k stands in both splits"


def test_a_hundred_thousand_cases_stay_small(tmp_path: Path) -> None:
    import tracemalloc

    n = 20_000
    write_rows(tmp_path / "x.jsonl", ({"input": f"What is {i} plus {i}?", "reference": 2 * i} for i in range(n)))
    tracemalloc.start()
    cases = good(tmp_path, path="x.jsonl")
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(cases) == n
    assert held / n < 1000
