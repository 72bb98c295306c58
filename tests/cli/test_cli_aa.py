"""`harness run --aa`, the power card, and waivers from suite to exit code, against a scripted server."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from support.scripted_server import Body, Fault, ScriptedServer
from support.suites import write_rows, write_suite

from harness.cli import call as harness
from harness.store import Store
from harness.suite import load_suite

N = 120


def number_in(body: Body) -> int:
    return int(re.findall(r"\d+", body["messages"][-1]["content"])[0])


def steady(body: Body) -> str:
    """Every tenth answer is wrong, and `worse` also gets every second date wrong; the seed changes nothing."""
    n = number_in(body)
    wrong = n % 10 == 0 or (body["model"] == "worse" and n % 2 == 0 and "date" in str(body["messages"]))
    return "wrong" if wrong else f"r{n}"


def fickle(body: Body) -> str:
    """The second run, known by its seed, turns every eighth answer, half of them for the better."""
    n, again = number_in(body), body["seed"] > 100_000
    return "wrong" if n % 16 == (8 if again else 0) else f"r{n}"


class Place:
    """A folder with a suite of dates and sums in it, and a store."""

    def __init__(self, folder: Path, url: str, **changes: Any) -> None:
        self.folder, self.store = folder, folder / "store"
        must_pass = changes.pop("must_pass", 11)
        for name in ("date", "sum"):
            must = [{"must_pass": True} if i == must_pass else {} for i in range(N)]
            write_rows(folder / f"{name}.jsonl", [{"input": f"{name} {i}", "reference": f"r{i}"} | must[i] for i in range(N)])
        suite = {
            "suite": "twice",
            "baseline": "base",
            "candidates": {name: {"endpoint": url, "model": name} for name in ("base", "worse")},
            "generation": {"concurrency": 8, "retries": 0},
            "capabilities": {name: {"margin": 0.1, "cases": f"{name}.jsonl", "checks": ["equals"]} for name in ("date", "sum")},
        }
        self.suite = write_suite(folder, suite | changes)

    def __call__(self, *arguments: str) -> int:
        return harness([*arguments, "--store", str(self.store)])

    def run(self, *arguments: str) -> int:
        return self("run", str(self.suite), *arguments)


def serving(answer: Callable[[Body], str], **options: Any) -> ScriptedServer:
    return ScriptedServer(answer=answer, models=("base", "worse"), **options)


def columns(line: str) -> int:
    wide = {"W": 2, "F": 2}
    return sum(wide.get(unicodedata.east_asian_width(letter), 1) for letter in line if not unicodedata.combining(letter))


# -- A/A -------------------------------------------------------------------------------------------------------------------------


def test_the_baseline_is_really_asked_twice_with_other_seeds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(steady) as server:
        place = Place(tmp_path, server.url)
        assert place.run("--aa") == 0
        assert server.counts == {"base": 4 * N}
        seeds = {request.body["seed"] for request in server.requests}
        assert len(seeds) == 2
        out = capsys.readouterr().out
        assert "noise floor: 0.0 % of cases flip by themselves" in out
        assert "nothing false is shown" in out
        assert max(map(columns, out.splitlines())) <= 80
        assert place.run("--aa") == 0
        assert server.count == 4 * N  # nothing is asked twice more
    with Store.open(place.store) as store:
        again, once = sorted(store.runs(), key=lambda run: not run.plan.get("aa"))
        assert (again.status, once.status) == ("partial", "complete")
        assert again.candidate == once.candidate
        verdict = store.noise("twice")
        assert verdict is not None
        assert (verdict.run_id, verdict.baseline_run_id) == (again.id, once.id)
        assert [row.case_id for row in store.score_rows(again.id)] != [row.case_id for row in store.score_rows(once.id)]


def test_flips_are_measured_and_named_in_later_reports(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(fickle) as server:
        place = Place(tmp_path, server.url)
        assert place.run("--aa") == 0
        out = capsys.readouterr().out
        sentence = next(line for line in out.splitlines() if line.startswith("noise floor"))
        assert "12.5 % of cases flip by themselves" in sentence
        row = next(line for line in out.splitlines() if line.startswith("  date"))
        assert re.match(r"  date +120 +15 +12\.5 \[7\.\d, 19\.\d\] +12\.5 ", row)
        files = {form: tmp_path / f"out.{form}" for form in ("report", "markdown", "json")}
        place.run("-c", "worse", *[part for form, path in files.items() for part in (f"--{form}", str(path))])
        told = capsys.readouterr().out
        assert "noise floor: 12.5 %" in told
        assert all("oise floor: 12.5 %" in path.read_text() for path in files.values())
        assert place("runs") == 0
        assert "A/A" in capsys.readouterr().out


def test_a_shift_between_the_two_runs_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def drifting(body: Body) -> str:
        n = number_in(body)
        return "wrong" if body["seed"] > 100_000 and n % 4 == 0 and "date" in str(body["messages"]) else f"r{n}"

    with serving(drifting) as server:
        place = Place(tmp_path, server.url)
        assert place.run("--aa") == 2
    out = capsys.readouterr().out
    assert "falsely shown on date: " in out
    assert "regressed" in out
    assert "corrected over all capabilities: date" in out.replace("\n", " ")
    assert "falsely shown on sum" not in out


def test_a_broken_server_is_infrastructure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(steady, faults=lambda n, body: Fault.status(500) if body["seed"] > 100_000 and n % 3 == 0 else None) as server:
        assert Place(tmp_path, server.url).run("--aa") == 4
    assert "cannot be judged" in capsys.readouterr().out


def test_it_never_ships_and_is_not_promoted(tmp_path: Path) -> None:
    with serving(steady) as server:
        place = Place(tmp_path, server.url)
        assert place.run("--aa") == 0
        with Store.open(place.store) as store:
            noise = store.noise("twice")
            assert noise is not None
            assert noise.verdict.outcome == "INCONCLUSIVE"
        assert place("promote", noise.run_id) == 3
        assert place("compare", noise.run_id, str(noise.baseline_run_id)) == 2


def test_what_it_cannot_do_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(steady) as server:
        place = Place(tmp_path, server.url)
        assert place.run("--aa", "-c", "worse") == 3
        assert place.run("--aa", "--baseline", "nobody") == 3
        assert place.run("--aa", "--resume") == 3
        assert server.count == 0
        place = Place(tmp_path, server.url, baseline=None)
        assert place.run("--aa") == 3
    assert "there is no baseline to ask twice" in capsys.readouterr().err


# -- power -----------------------------------------------------------------------------------------------------------------------


def test_the_power_card_before_and_after(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(steady) as server:
        place = Place(tmp_path, server.url)
        assert place("validate", str(place.suite), "--power") == 0
        card = capsys.readouterr().out
        assert "assumed 10 % discordant" in card
        assert re.search(r"^  date +120 +- +7\.2 +10\.0 +62$", card, re.M)
        assert not place.store.exists()
        assert place.run("-c", "worse", "--report", str(tmp_path / "r.html"), "--json", str(tmp_path / "r.json")) == 1
        err = capsys.readouterr().err
        assert err.index("assumed 10 % discordant") < err.index("base: 240/240")  # before anything is asked
        assert max(map(columns, card.splitlines()[1:])) <= 80
        assert '<section id="power">' in (tmp_path / "r.html").read_text()
        power = json.loads((tmp_path / "r.json").read_text())["power"]
        assert [row["capability"] for row in power] == ["date", "sum"]
        assert power[0]["shows"] > power[1]["shows"] > 0  # half of the dates flip, no sum does
        assert power[0]["needed"] > N >= power[1]["needed"]
        assert place.run("-c", "worse") == 1
        assert "power (80" not in capsys.readouterr().err  # nothing is asked, so nothing is planned
        assert place("validate", str(place.suite), "--power") == 0
        measured = capsys.readouterr().out
        assert "discordance of 1 stored run" in measured
        Place(tmp_path, server.url, version=2).run("-c", "worse")  # the same two once more, scored again
        assert place.run("--aa") == 0
        capsys.readouterr()
        assert place("validate", str(place.suite), "--power") == 0
        assert measured.split("power (80")[1] == capsys.readouterr().out.split("power (80")[1]
        assert re.search(r"^  date .* too few$", measured, re.M)


def test_names_of_any_script_stay_in_their_columns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = "\u65e5\u671f\u89c4\u8303\u5316" * 6
    rows = [{"input": f"{i}", "reference": "x", "cluster": f"c{i % 4}"} for i in range(40)]
    capabilities = {name: {"cases": rows, "checks": ["equals"]}, "e\u0301 " * 20: {"cases": rows[:1], "checks": ["equals"]}}
    place = Place(tmp_path, "http://127.0.0.1:9/v1", capabilities=capabilities)
    assert place("validate", str(place.suite), "--power") == 0
    lines = capsys.readouterr().out.split("power (80 %")[1].splitlines()[1:]
    assert max(map(columns, lines)) <= 80
    assert lines[1].endswith("< 10 clusters")
    assert lines[2].endswith("one case")


# -- waivers ---------------------------------------------------------------------------------------------------------------------


def test_a_waived_candidate_ships_with_its_waivers_everywhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(steady) as server:
        suite = load_suite(Place(tmp_path, server.url, must_pass=10).suite)
        musts = [case.id for c in suite.capabilities.values() for case in c.cases if case.must_pass]
        owner = 'Ann <script>alert("x")</script>\x1b[2J'
        said = {"owner": owner, "reason": "new | format *planned*", "expires": "2999-12-31"}
        waivers = [{"capability": "date"} | said, *({"case": must} | said for must in musts)]
        files = {form: tmp_path / f"out.{form}" for form in ("report", "markdown", "json", "junit")}
        asked = [part for form, path in files.items() for part in (f"--{form}", str(path))]
        assert Place(tmp_path, server.url, must_pass=10).run("-c", "worse") == 1
        count = server.count
        assert (
            Place(tmp_path, server.url, must_pass=10, waivers=waivers[:1]).run("-c", "worse") == 1
        )  # must-pass cases still fail
        place = Place(tmp_path, server.url, must_pass=10, waivers=[*waivers, {"capability": "sum"} | said])
        capsys.readouterr()
        assert place.run("-c", "worse", *asked) == 0
        assert server.count == count  # another gate asks nothing
        out = capsys.readouterr().out
        assert max(map(columns, [line for line in out.splitlines() if "Report:" not in line])) <= 80
        flat = " ".join(out.split())
        assert flat.count("waived by Ann") == 3
        assert "not needed: the waiver of Ann" in flat
        assert "\x1b" not in out
        page = files["report"].read_text()
        assert '<section id="waivers">' in page
        assert "<script>alert" not in page
        assert "any of 2 protected" not in page
        assert "of a candidate that is worse" not in page  # no promise is made where all protected capabilities are waived
        assert "waived by Ann" in files["markdown"].read_text()
        states = [row["state"] for row in json.loads(files["json"].read_text())["waivers"]]
        assert states == ["used"] * 3 + ["unused"]
        skipped = [node.get("message", "") for node in ET.fromstring(files["junit"].read_text()).iter("skipped")]
        waived = [text for text in skipped if text.startswith("waived by Ann") and "until 2999-12-31" in text]
        broken = sum(1 for i in range(N) if i % 2 == 0 and i % 10)
        assert len(waived) == broken + len(musts)
        assert place("validate", str(place.suite)) == 0
        assert "capability 'date': waived by Ann" in capsys.readouterr().out
        assert place("explain", "latest") == 0
        assert "the same verdict" in capsys.readouterr().out


def test_an_expired_waiver_fails_as_if_absent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(steady) as server:
        row = {"capability": "date", "owner": "Ann", "reason": "known", "expires": "2020-01-31"}
        place = Place(tmp_path, server.url, waivers=[row])
        assert place.run("-c", "worse") == 1
        assert "expired on 2020-01-31, no longer counts" in " ".join(capsys.readouterr().out.split())
        assert place("validate", str(place.suite)) == 0
        assert "(expired: it no longer counts)" in capsys.readouterr().out


def test_a_partial_run_is_not_waived(tmp_path: Path) -> None:
    with serving(steady) as server:
        row = {"capability": "date", "owner": "Ann", "reason": "known", "expires": "2999-12-31"}
        assert Place(tmp_path, server.url, waivers=[row]).run("-c", "worse", "--limit", "60") in (1, 2)


def test_the_time_per_token_is_a_gate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def wordy(body: Body) -> str:
        return f"{steady(body)} it is"

    checked = {"date": {"cases": "date.jsonl", "checks": ["contains"], "margin": 0.1}}
    with serving(wordy) as server:
        generation = {"concurrency": 8, "retries": 0, "stream": "always"}
        assert (
            Place(tmp_path, server.url, capabilities=checked, generation=generation, gate={"max_tpot_p95": 1e-9}).run(
                "-c", "worse"
            )
            == 1
        )
        assert "time per output token (p95) is" in " ".join(capsys.readouterr().out.split())
        never = generation | {"stream": "never", "seed": 7}
        Place(tmp_path, server.url, capabilities=checked, generation=never, gate={"max_tpot_p95": 5.0}).run("-c", "worse")
        assert "time per output token (p95) was not measured" in " ".join(capsys.readouterr().out.split())


def test_sequential_runs_know_waivers_and_their_noise_is_measured_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row = {"capability": "date", "owner": "Ann", "reason": "known", "expires": "2999-12-31"}
    with serving(steady) as server:
        place = Place(tmp_path, server.url, gate={"sequential": True}, waivers=[row])
        assert place.run("-c", "worse") == 0
        assert server.count < 4 * N
        out = " ".join(capsys.readouterr().out.split())
        assert "waived by Ann" in out
        assert "is harmed" in out  # asked until it was known what is waived
        assert place("explain", "latest") == 0
        assert "the same verdict" in capsys.readouterr().out
        assert place.run("--aa") == 0
        assert server.counts["base"] == 4 * N
        assert "noise floor: 0.0 %" in capsys.readouterr().out
