"""``harness compare``: two stored runs, or two score files, judged without generating anything."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.options import load_suite, open_store, store_option
from harness.errors import HarnessError, UsageError

_path = click.Path(path_type=Path)


@click.command("compare")
@click.argument("candidate")
@click.argument("baseline")
@click.option("--gate", "gate_path", type=_path, help="Score files: gate, roles and margins (gate.yaml).")
@click.option("--suite", "suite_path", type=_path, help="Runs: take the gate and the margins from this suite file.")
@click.option("--json", "as_json", is_flag=True, help="Print the verdict with its evidence as one JSON object.")
@click.option("--report", type=_path, help="Also write the HTML report here.")
@click.option("--markdown", type=_path, help="Also write a markdown summary.")
@click.option("--junit", type=_path, help="Also write JUnit XML.")
@store_option
def command(
    candidate: str,
    baseline: str,
    gate_path: Path | None,
    suite_path: Path | None,
    as_json: bool,
    report: Path | None,
    markdown: Path | None,
    junit: Path | None,
    store_dir: Path,
) -> int:
    """Judge CANDIDATE against BASELINE, two stored runs (ids, their beginnings, or `latest`) or two score files.

    Runs are judged by the gate of the candidate's suite, score files (.jsonl, .csv, .parquet) by that of --gate; without it every
    capability is protected with a margin of 0.05. A score file has a row for each case:

    \b
      {"case_id": "q17", "capability": "dates", "score": 0.5}      score: 0 to 1
      {"case_id": "q18", "capability": "dates", "score": null, "status": "errored", "reason": "timeout"}

    and, if wanted, "cluster" (cases that are not independent), "sample" and "split" (dev rows are left out).

    Exit code 0 ship, 1 optimize, 2 inconclusive, 3 files that cannot be compared, 4 too many errors to judge.
    """
    files = {form: path for form, path in (("html", report), ("markdown", markdown), ("junit", junit)) if path}
    kinds = [_is_file(name) for name in (candidate, baseline)]
    if all(kinds):
        from harness.cli import compare_files

        if suite_path:
            raise UsageError("--suite is for stored runs", todo="Give score files their gate with --gate gate.yaml")
        if Path(candidate).exists() and Path(baseline).exists() and Path(candidate).samefile(baseline):
            raise _against_itself(candidate, "file")
        return compare_files.compare(Path(candidate), Path(baseline), gate_path, as_json=as_json, files=files)
    if any(kinds):
        raise UsageError(f"{candidate} and {baseline} are a run and a file", todo="Give two runs or two score files")
    if gate_path:
        raise UsageError("--gate is for score files", todo="Runs keep their suite's gate; --suite FILE takes another one")
    return _compare_runs(candidate, baseline, suite_path, as_json, files, store_dir)


def _is_file(name: str) -> bool:
    """A run's id has no ending and no folder; what has one is meant to be a file, also when it is not there."""
    return "/" in name or "." in name or Path(name).is_file()


def _against_itself(name: str, kind: str) -> HarnessError:
    """All ties by construction: such a comparison shows nothing, and must not ship by showing it."""
    return UsageError(f"candidate and baseline are the same {kind}", where=name, todo=f"Give two {kind}s")


def _compare_runs(
    candidate: str, baseline: str, suite_path: Path | None, as_json: bool, files: dict[str, Path], store_dir: Path
) -> int:
    from harness.cli import judging, outputs, verdicts
    from reports.terminal import show

    with open_store(store_dir) as store:
        ours, theirs = store.run(candidate), store.run(baseline)
        if ours.id == theirs.id:
            raise _against_itself(ours.id, "run")
        if suite_path:
            suite = load_suite(suite_path)
            gate, rules = suite.gate, {n: judging.Policy(c.role, c.margin) for n, c in suite.capabilities.items()}
        else:
            gate, rules = judging.stored_rules(store, ours)
        verdict = judging.judge(store, ours, theirs, gate, rules)
        code = judging.exit_code(verdict)
        view = outputs.view_of(store, ours.id, theirs.id)
        outputs.write(view, files)
        if as_json:
            sides = [verdicts.Side(run=run.id, name=run.candidate.name, ledger=store.ledger(run.id)) for run in (ours, theirs)]
            click.echo(verdicts.as_json(verdict, sides[0], sides[1], code))
        else:
            show(view, path=str(files.get("html", "")))
    return code
