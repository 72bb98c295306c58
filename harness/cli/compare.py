"""``harness compare``: two stored runs, judged without generating anything."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.options import open_store, store_option


@click.command("compare")
@click.argument("candidate")
@click.argument("baseline")
@click.option(
    "--suite", "suite_path", type=click.Path(path_type=Path), help="Take the gate and the margins from this suite file."
)
@click.option("--report", type=click.Path(path_type=Path), help="Also write the HTML report here.")
@store_option
def command(candidate: str, baseline: str, suite_path: Path | None, report: Path | None, store_dir: Path) -> int:
    """Judge run CANDIDATE against run BASELINE (ids, their beginnings, or `latest`) by the gate of the candidate's suite."""
    from harness.cli import judging, outputs
    from harness.suite import load_suite
    from reports import terminal

    with open_store(store_dir) as store:
        ours, theirs = store.run(candidate), store.run(baseline)
        if suite_path:
            suite = load_suite(suite_path)
            gate, rules = suite.gate, {n: judging.Policy(c.role, c.margin) for n, c in suite.capabilities.items()}
        else:
            gate, rules = judging.stored_rules(store, ours)
        verdict = judging.judge(store, ours, theirs, gate, rules)
        view = outputs.view_of(store, ours.id, theirs.id)
        if report:
            outputs.write(view, {"html": report})
        terminal.show(view, path=str(report) if report else "")
    return judging.exit_code(verdict)
