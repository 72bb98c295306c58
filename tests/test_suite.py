"""load_suite: what a suite becomes, every fault at once, layers, secrets, the hash, and what editors are given."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.suites import SMALL, faults_of, load_small, write_rows, write_suite

from harness.errors import SuiteError
from harness.model import Floor, Gate, Message, Role, Sampling, Split
from harness.prompts import render
from harness.suite import json_schema, load_suite, starter_text
from harness.suite.document import parse_document


def sums(**changes: Any) -> dict[str, Any]:
    return {"sums": SMALL["capabilities"]["sums"] | changes}


def test_the_smallest_suite(tmp_path: Path) -> None:
    suite = load_small(tmp_path)
    assert (suite.name, suite.version, suite.baseline, suite.root) == ("small", 1, "base", tmp_path)
    assert suite.sampling == Sampling(temperature=0.0, top_p=1.0, max_tokens=256, seed=1234)
    assert suite.gate == Gate()
    capability = suite.capabilities["sums"]
    assert (capability.role, capability.margin, capability.samples, capability.score) == (Role.PROTECTED, 0.05, 1, "mean")
    assert [(case.vars, case.reference, case.split) for case in capability.cases] == [({"input": "1 + 1"}, 2, Split.GATE)]
    assert capability.checks[0].type == "numeric"
    assert suite.candidates["sft"].kind == "local"
    assert suite.prompt_for("sft", "sums") == suite.prompt_for("a promoted run's", "sums")


def test_the_starter_loads_and_says_everything(tmp_path: Path) -> None:
    suite = load_suite(write_suite(tmp_path, starter_text()), env={})
    assert set(suite.candidates) == {"base", "tuned"}
    assert suite.secrets() == ()
    assert suite.gate.floors == (Floor("arithmetic", 0.5),)
    assert render(suite.prompt_for("tuned", "dates"), suite.capabilities["dates"].cases[0]) == (
        Message("system", "Answer briefly."),
        Message("user", "Write this date as YYYY-MM-DD, nothing else: 3 May 2021"),
    )
    assert [case.split for case in suite.capabilities["dates"].all_cases].count(Split.DEV) == 1
    assert max(map(len, starter_text().splitlines())) <= 130


EVERYTHING_WRONG = """\
suite: bad
versoin: 2
baseline: nobody
candidates:
  promoted: {model: m}
  a: {model: ./nowhere, adaptor: x, api_key: abcdefgh}
  b/c: {model: x}
  d: {endpoint: "http://u:p@h/v1", model: "${NOPE}", prompt: {template: "{{ quesion }}", temp: 1}}
  e: {}
  e: {model: x}
  f: {endpoint: "http://h:1/v1", model: m, adapter: m}
generation: {temperature: hot, max_tokens: true, thinking: {begin: x}}
capabilities:
  x: {role: targt, margin: 2, cases: cases/x.jsonl, checks: [{type: numeric}, {type: eqals}]}
  y: {cases: cases/none.jsonl, checks: [equals], prompt: {template: "{% if"}}
  z: {cases: [], checks: []}
  t: {role: target, checks: [equals]}
  w: {cases: {path: cases/x.jsonl, inptu: q}, checks: [{type: numeric, abs_tol: 1}]}
  v: {cases: [{input: 1}], checks: [numeric], split: dev}
  u: {cases: [{input: 1}, text, {input: 1}], checks: [numeric], generation: {concurrency: 3}}
gate:
  floors: {xx: 0.5, y: {minimum: 3}}
  alpha: .nan
foo: !!python/object:os.system {}
"""

EVERYTHING_SAID = """\
suite.yaml:2: unknown key 'versoin' (did you mean version?
suite.yaml:3: the baseline 'nobody' is no candidate
suite.yaml:5: the name 'promoted' is taken by the promoted run
suite.yaml:6: unknown key 'adaptor' (did you mean adapter?
suite.yaml:6: api_key belongs to an endpoint
suite.yaml:6: no such directory: ./nowhere
suite.yaml:7: the name 'b/c' cannot be used
suite.yaml:8: the environment variable NOPE is not set (export NOPE, or give a default: ${NOPE:-...})
suite.yaml:8: unknown key 'temp' (did you mean template or system?
suite.yaml:8: the endpoint holds a user name or password
suite.yaml:8: the template fails: 'quesion' is undefined, tried on cases/x.jsonl:1 (The case has: input)
suite.yaml:9: the key 'model' is missing in candidates.e
suite.yaml:10: the key 'e' stands twice, first in line 9
suite.yaml:11: an endpoint's adapter cannot be loaded from here
suite.yaml:12: generation.temperature: must be a valid number
suite.yaml:12: generation.max_tokens: a number is needed, not true or false
suite.yaml:12: unknown key 'begin' (valid names: start, end)
suite.yaml:14: capabilities.x.role: must be 'target', 'protected' or 'advisory'
suite.yaml:14: capabilities.x.margin: must be less than 1
suite.yaml:14: there is no check named 'eqals' (did you mean equals
suite.yaml:15: cases/none.jsonl: no such file
suite.yaml:15: template line 1: unexpected 'end of template'
suite.yaml:16: there is no check, so nothing can be scored
suite.yaml:16: the capability 'z' is empty
suite.yaml:17: the capability 't' has no cases
suite.yaml:18: unknown key 'inptu' (did you mean input?
suite.yaml:18: numeric: unknown key 'abs_tol'
suite.yaml:19: the capability 'v' has no case in the split dev (1 in the other)
suite.yaml:20: unknown key 'concurrency'
suite.yaml:20: a case is a mapping
suite.yaml:20: the same case as suite.yaml:20
suite.yaml:20: numeric:
suite.yaml:22: gate.floors.y.minimum: must be less than or equal to 1
suite.yaml:22: a floor for 'xx', which is no capability (did you mean x?
suite.yaml:23: gate.alpha: must be a valid number
suite.yaml:24: unknown key 'foo'
suite.yaml:24: the tag 'python/object:os.system' is refused
cases/x.jsonl:4: is not JSON
cases/x.jsonl:5: the same case as cases/x.jsonl:1
"""


def test_every_fault_at_once_each_on_its_line(tmp_path: Path) -> None:
    (tmp_path / "cases").mkdir()
    (tmp_path / "cases/x.jsonl").write_text('{"input":"a","reference":1}\n\n{"input":"b"}\n{bad\n{"input":"a","reference":1}\n')
    faults = faults_of(write_suite(tmp_path, EVERYTHING_WRONG))
    said = EVERYTHING_SAID.splitlines()
    for line in said:
        assert any(fault.startswith(line) for fault in faults), line
    for fault in faults:
        assert any(fault.startswith(line) for line in said), fault
    assert len(faults) == len(said)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("just text", "suite.yaml:1: a suite must be a mapping"),
        ("[1, 2]", "suite.yaml:1: a suite must be a mapping"),
        ("suite: x", "suite.yaml:1: the suite has no candidates"),
        ("version: 1", "suite.yaml:1: the key 'suite' is missing"),
        ("suite: x\ncandidates: []\n", "suite.yaml:2: candidates: must be a mapping"),
        ("suite: x\ncapabilities: {a: 1}\n", "suite.yaml:2: capabilities.a: must be a mapping"),
        ("suite: x\ncapabilities: {a: }\n", "suite.yaml:2: capabilities.a: must be a mapping"),
        ("suite: x\ncandidates:\n", "suite.yaml:2: candidates: must be a mapping"),
        ("suite: x\ncapabilities: {a: {cases: 5}}", "suite.yaml:2: capabilities.a.cases: must be a file, a list of cases, or"),
        ("suite: x\ncapabilities: {a: {cases: .}}", "suite.yaml:2: .: is a directory"),
        ("suite: x\ngeneration: {stop: x}", "suite.yaml:2: generation.stop: must be a list"),
        ("suite: [x]", "suite.yaml:1: suite: must be a valid string"),
    ],
)
def test_other_shapes(text: str, says: str, tmp_path: Path) -> None:
    faults = faults_of(write_suite(tmp_path, text))
    assert any(fault.startswith(says) for fault in faults), faults


def test_a_missing_suite(tmp_path: Path) -> None:
    assert faults_of(tmp_path / "none.yaml") == ["none.yaml: no such file (give the path of a YAML file)"]


@given(st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_broken_value_is_told_and_never_a_traceback(tmp_path: Path, data: st.DataObject) -> None:
    document: Any = parse_document(starter_text(), Path("starter.yaml")).data
    holder, key, depth = document, "", 0
    while depth == 0 or (isinstance(holder[key], dict | list) and holder[key] and data.draw(st.booleans())):
        holder = document if depth == 0 else holder[key]
        depth += 1
        key = data.draw(st.sampled_from(sorted(holder) if isinstance(holder, dict) else range(len(holder))))
    odd = [None, True, -1, 1e300, "", "x", "${", "{{", [], [[]], {}, {"": 1}, {"type": 1}, [None], "\u2028", 10**30]
    holder[key] = data.draw(st.sampled_from(odd))
    path = write_suite(tmp_path, document)
    try:
        load_suite(path, env={})
    except SuiteError as error:
        found = error.faults
    else:
        found = ()
    assert all(fault.where and fault.what for fault in found)


def test_prompts_and_generation_in_layers(tmp_path: Path) -> None:
    example = {"input": "0", "output": "zero"}
    suite = load_small(
        tmp_path,
        candidates={
            "base": {"model": "org/b"},
            "sft": {"model": "org/s", "prompt": {"system": "mine", "template": "c {{ input }}"}},
        },
        prompt={"system": "shared", "template": "s {{ input }}", "few_shot": [example]},
        generation={"max_tokens": 9, "temperature": 0.5, "stop": ["a"], "thinking": False, "timeout": 7, "stream": "never"},
        capabilities=sums(
            prompt={"template": "k {{ input }}"},
            generation={
                "max_tokens": 3,
                "temperature": 0,
                "samples": 4,
                "stop": [],
                "on_empty": "score",
                "thinking": {"end": "</t>"},
            },
        ),
    )
    capability = suite.capabilities["sums"]
    assert suite.prompt_for("base", "sums").few_shot == (("k 0", "zero"),)
    assert suite.prompt_for("base", "sums").system == "shared"
    assert suite.prompt_for("sft", "sums").template == "c {{ input }}"
    assert suite.prompt_for("sft", "sums").few_shot == (("c 0", "zero"),)
    assert suite.candidates["base"].prompt.template == "s {{ input }}"
    assert suite.candidates["sft"].prompt.system == "mine"
    assert suite.sampling == Sampling(temperature=0.5, max_tokens=9, seed=1234, stop=("a",))
    assert capability.sampling == Sampling(temperature=0.0, max_tokens=3, seed=1234, stop=())
    assert (capability.samples, capability.on_empty, capability.on_truncated) == (4, "score", "unscored")
    assert (suite.generation.thinking, capability.thinking) == (None, ("<think>", "</t>"))
    assert (suite.generation.timeout_s, suite.generation.stream) == (7.0, "never")


def test_which_cases_are_run(tmp_path: Path) -> None:
    rows = [{"input": str(n), "reference": n, "split": "dev" if n < 3 else "gate"} for n in range(5)]
    write_rows(tmp_path / "x.jsonl", rows)
    for split, count in {"gate": 2, "dev": 3, "all": 5}.items():
        capability = load_small(tmp_path, capabilities=sums(cases="x.jsonl", split=split)).capabilities["sums"]
        assert len(capability.cases) == count
        assert len(capability.all_cases) == 5
        assert [len(capability.of(side)) for side in (Split.DEV, Split.GATE, None)] == [3, 2, count]


def test_templates_are_tried_on_each_shape_of_case(tmp_path: Path) -> None:
    cases = [{"input": "a", "context": "k", "reference": 1}, {"input": "b", "reference": 2}, {"input": "c", "reference": 3}]
    path = write_suite(tmp_path, SMALL | {"capabilities": sums(cases=cases), "prompt": {"template": "{{ context }} {{ input }}"}})
    faults = faults_of(path)
    assert len(faults) == 1
    assert "'context' is undefined, tried on suite.yaml:" in faults[0]
    fine = {"template": "{% if context is defined %}{{ context }}{% endif %}{{ input }}"}
    assert load_suite(write_suite(tmp_path, SMALL | {"capabilities": sums(cases=cases), "prompt": fine}), env={}).name == "small"


def test_references_that_cannot_be_scored_are_found_before_a_model_is_asked(tmp_path: Path) -> None:
    write_rows(
        tmp_path / "x.jsonl", [{"input": "a", "reference": "no number"}, {"input": "b", "reference": "12"}, {"input": "c"}]
    )
    faults = faults_of(write_suite(tmp_path, SMALL | {"capabilities": sums(cases="x.jsonl")}))
    assert [fault.split(": ")[0] for fault in faults] == ["x.jsonl:1", "x.jsonl:3"]
    write_rows(tmp_path / "x.jsonl", [{"input": str(n)} for n in range(30)])
    faults = faults_of(write_suite(tmp_path, SMALL | {"capabilities": sums(cases="x.jsonl")}))
    assert len(faults) == 21
    assert any("10 more cases cannot be scored" in fault for fault in faults)


def test_local_checkpoints_must_be_there_unless_nobody_asks(tmp_path: Path) -> None:
    (tmp_path / "models/base").mkdir(parents=True)
    candidates = {
        "base": {"model": "models/base"},
        "sft": {"model": "models/base", "adapter": "models/stf"},
        "hub": {"model": "org/m"},
    }
    path = write_suite(tmp_path, SMALL | {"candidates": candidates})
    assert [fault.split(": ", 1)[1] for fault in faults_of(path)] == [
        "no such directory: models/stf (paths start from the suite's directory)"
    ]
    assert load_suite(path, env={}, check_models=False).candidates["sft"].adapter == "models/stf"


def test_roles(tmp_path: Path) -> None:
    only_advisory = SMALL | {"capabilities": sums(role="advisory")}
    assert "every capability is advisory, so nothing decides" in faults_of(write_suite(tmp_path, only_advisory))[0]
    assert load_small(tmp_path, capabilities=sums(role="advisory"), gate={"floors": {"sums": 0.5}}).gate.floors == (
        Floor("sums", 0.5),
    )
    without_target = SMALL | {"gate": {"min_gain": 0.1}}
    assert "gate.min_gain has no effect" in faults_of(write_suite(tmp_path, without_target))[0]


def test_numbers_where_text_is_needed_mean_what_they_say(tmp_path: Path) -> None:
    serve = {"env": {"VLLM_CPU_KVCACHE_SPACE": 1}, "args": ["--max-num-seqs", 8]}
    suite = load_small(tmp_path, serve=serve, prompt={"few_shot": [{"input": 1, "output": 42}]})
    assert (suite.serve.env, suite.serve.args) == ({"VLLM_CPU_KVCACHE_SPACE": "1"}, ("--max-num-seqs", "8"))
    assert suite.prompt_for("base", "sums").few_shot == (("1", "42"),)


# Environment and secrets

ENDPOINT = {"model": "${MODEL:-m}", "endpoint": "http://localhost:8000/v1", "api_key": "${SOME_API_KEY}"}


def test_variables_resolve_in_strings_only_and_never_become_yaml(tmp_path: Path) -> None:
    suite = load_small(
        tmp_path,
        env={"M": "x}, {y: !!python/object", "EMPTY": "", "N": "7"},
        candidates={"base": {"model": "${M}", "adapter": "${EMPTY}", "revision": "${NONE:-r}-${EMPTY:-e}"}},
        prompt={"system": "$${M} costs $5 and ${N}"},
        generation={"max_tokens": "${N}"},
    )
    base = suite.candidates["base"]
    assert (base.model, base.adapter, base.revision) == ("x}, {y: !!python/object", None, "r-e")
    assert base.prompt.system == "${M} costs $5 and 7"
    assert suite.sampling.max_tokens == 7


def test_cases_and_examples_are_left_alone(tmp_path: Path) -> None:
    text = "print ${SOME_API_KEY} ${NOPE}"
    for cases in ([{"input": text, "reference": 1}], {"rows": [{"input": text, "reference": 1}]}):
        suite = load_small(
            tmp_path,
            env={"SOME_API_KEY": "sk-secret-1"},
            capabilities=sums(cases=cases),
            prompt={"few_shot": [{"input": text, "output": text}]},
        )
        assert suite.capabilities["sums"].cases[0].vars["input"] == text
        assert suite.prompt_for("base", "sums").few_shot == ((text, text),)


def test_secrets_are_kept_apart(tmp_path: Path) -> None:
    env = {"SOME_API_KEY": "sk-secret-1", "HF_TOKEN": "hf-secret-2", "TOKENIZER_PATH": "/data/tok"}
    suite = load_small(
        tmp_path,
        env=env,
        baseline=None,
        candidates={"a": ENDPOINT, "b": ENDPOINT | {"api_key": "written-secret-3"}, "c": ENDPOINT | {"api_key": "none"}},
        serve={"env": {"HF_TOKEN": "${HF_TOKEN}", "T": "${TOKENIZER_PATH}"}, "args": ["--api-key", "${SOME_API_KEY}"]},
        judges={"j": {"endpoint": "http://h/v1", "api_key": "${SOME_API_KEY}"}},
    )
    assert set(suite.secrets()) == {"sk-secret-1", "hf-secret-2", "written-secret-3"}
    key = suite.candidates["a"].api_key
    assert key is not None
    assert key.get_secret_value() == "sk-secret-1"
    for secret in suite.secrets():
        assert secret not in repr(suite)
        assert secret not in suite.source_text
        assert secret not in str(suite.candidates)
    assert "${SOME_API_KEY}" in suite.source_text
    assert yaml.safe_load(suite.source_text)["candidates"]["b"]["api_key"] == "***"
    other = load_small(
        tmp_path,
        env=env | {"SOME_API_KEY": "sk-other-9"},
        baseline=None,
        candidates={"a": ENDPOINT},
        judges={"j": {"endpoint": "http://elsewhere/v1", "api_key": "${SOME_API_KEY}"}},
    )
    assert other.hash == suite.hash


def test_a_secret_in_the_wrong_place_is_not_shown(tmp_path: Path) -> None:
    changes = {"baseline": "${SOME_API_KEY}", "generation": {"max_tokens": "${SOME_API_KEY}", "${SOME_API_KEY}": 1}}
    faults = faults_of(write_suite(tmp_path, SMALL | changes), env={"SOME_API_KEY": "sk-secret-1"})
    assert any("the baseline '***' is no candidate" in fault for fault in faults)
    assert not any("sk-secret-1" in fault for fault in faults)


def test_a_missing_variable_is_one_fault(tmp_path: Path) -> None:
    candidates = {"base": ENDPOINT | {"endpoint": "${URL}"}}
    faults = faults_of(write_suite(tmp_path, SMALL | {"candidates": candidates}))
    assert [fault.split(": ")[1].split(" (")[0] for fault in faults] == [
        "the environment variable URL is not set",
        "the environment variable SOME_API_KEY is not set",
    ]
    assert "`${` without a variable name" in faults_of(write_suite(tmp_path, SMALL | {"prompt": {"system": "${1}"}}))[0]


# The hash

RICH: dict[str, Any] = SMALL | {
    "prompt": {"system": "s", "few_shot": [{"input": "a", "output": "b"}]},
    "generation": {"max_tokens": 9, "extra": {"top_k": 3, "min_p": 0.1}},
    "gate": {"alpha": 0.04, "floors": {"sums": {"minimum": 0.5, "point": True}, "words": 0.2}},
    "capabilities": {
        "sums": {"role": "target", "cases": "x.jsonl", "checks": ["numeric"]},
        "words": {"cases": "w.jsonl", "checks": [{"type": "contains", "value": "a", "weight": 2}, "equals"], "margin": 0.1},
    },
}
ROWS = [{"input": str(n), "reference": str(n), "cluster": f"k{n % 3}", "metadata": {"n": n, "m": 1}} for n in range(8)]


def shuffled(value: Any, rng: random.Random) -> Any:
    """The same with the keys of every mapping in another order."""
    if isinstance(value, Mapping):
        return {key: shuffled(value[key], rng) for key in rng.sample(list(value), len(value))}
    return [shuffled(item, rng) for item in value] if isinstance(value, list) else value


def hash_of(folder: Path, suite: Any, rows: Any = ROWS) -> str:
    folder.mkdir(exist_ok=True)
    write_rows(folder / "x.jsonl", rows)
    write_rows(folder / "w.jsonl", rows)
    return load_suite(write_suite(folder, suite), env={}).hash


@given(st.randoms(use_true_random=False))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_the_hash_ignores_order_comments_and_place(tmp_path: Path, rng: random.Random) -> None:
    rows = [shuffled(row, rng) for row in rng.sample(ROWS, len(ROWS))]
    text = "# a comment\n" + yaml.safe_dump(shuffled(RICH, rng), sort_keys=False).replace("\n", "   # why\n", 1)
    assert hash_of(tmp_path / "a", RICH) == hash_of(tmp_path / f"b{rng.random()}", text, rows)


@pytest.mark.parametrize(
    "change",
    [
        {"candidates": {"base": {"model": "org/other"}, "new": {"model": "org/new", "prompt": {"system": "x"}}}},
        {"baseline": "promoted"},
        {"description": "other words"},
        {"serve": {"port": 9999, "args": ["--enforce-eager"]}},
        {"generation": RICH["generation"] | {"concurrency": 3, "timeout": 5, "retries": 0, "stream": "always"}},
        {"generation": RICH["generation"] | {"temperature": 0, "top_p": 1, "samples": 1, "seed": 1234}},  # the defaults, said
    ],
)
def test_the_hash_ignores_what_decides_nothing(change: dict[str, Any], tmp_path: Path) -> None:
    assert hash_of(tmp_path, RICH | change) == hash_of(tmp_path, RICH)


def _capability(name: str, **change: Any) -> dict[str, Any]:
    return {"capabilities": RICH["capabilities"] | {name: RICH["capabilities"][name] | change}}


def test_the_hash_knows_what_decides(tmp_path: Path) -> None:
    changes: list[dict[str, Any]] = [
        {},
        {"suite": "other"},
        {"version": 2},
        {"prompt": {"system": "t"}},
        {"generation": {"max_tokens": 10}},
        {"generation": RICH["generation"] | {"seed": 1}},
        {"generation": RICH["generation"] | {"on_truncated": "score"}},
        {"generation": RICH["generation"] | {"extra": {"top_k": 4}}},
        {"gate": {"alpha": 0.05}},
        {"judges": {"j": {"model": "m"}}},
        _capability("sums", margin=0.06),
        _capability("sums", role="protected"),
        _capability("sums", score="pass"),
        _capability("sums", checks=[{"type": "numeric", "abs_tolerance": 1}]),
        _capability("sums", prompt={"template": "{{ input }}?"}),
        _capability("sums", generation={"samples": 2}),
        _capability("sums", cases={"path": "x.jsonl", "limit": 7}),
        _capability("words", checks=["equals", {"type": "contains", "value": "a", "weight": 2}]),
    ]
    hashes = [hash_of(tmp_path, RICH | change) for change in changes]
    for row in ({"reference": "0.5"}, {"must_pass": True}, {"cluster": "k9"}, {"split": "dev"}, {"metadata": {"n": 9}}):
        alone = [{**ROWS[0], "cluster": None}, *ROWS[1:]]
        hashes.append(hash_of(tmp_path, RICH, [alone[0] | row, *alone[1:]]))
    assert len(set(hashes)) == len(hashes)
    assert all(len(found) == 64 and set(found) <= set("0123456789abcdef") for found in hashes)


# For editors


def test_the_schema_describes_every_key_and_accepts_the_starter() -> None:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    check = jsonschema.Draft202012Validator(schema).iter_errors
    starter = parse_document(starter_text(), Path("starter.yaml")).data
    assert [error.message for error in check(starter)] == []
    assert [error.message for error in check(RICH)] == []
    assert list(check(RICH | {"versoin": 1}))
    assert list(check(RICH | _capability("sums", checks=["eqals"])))
    assert list(check(RICH | _capability("sums", checks=[{"all": ["eqals"]}])))
    assert (
        list(check(RICH | _capability("sums", checks=["not-equals", {"any": ["equals", {"type": "not-regex", "value": "x"}]}])))
        == []
    )
    for name, model in {"SuiteFile": schema, **schema["$defs"]}.items():
        if name.endswith(("File", "Spec", "Source")) and not name.startswith("Check"):
            for key, field in model["properties"].items():
                assert field.get("description"), f"{name}.{key}"
    assert json.loads(json.dumps(schema)) == schema
