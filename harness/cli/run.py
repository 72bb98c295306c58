"""``harness run``: the gate."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.options import load_suite, open_store, store_option

if TYPE_CHECKING:
    from harness.cli.pipeline import Finished


@click.command("run")
@click.argument("suite", type=click.Path(path_type=Path))
@click.option(
    "-c", "--candidate", "candidates", multiple=True, help="Judge this one (repeatable; default: all but the baseline)."
)
@click.option("--baseline", help="Compare with this candidate, or `promoted`, instead of the suite's baseline.")
@click.option("--limit", type=click.IntRange(min=1), help="At most so many cases per capability; never ships.")
@click.option("--capability", "capabilities", multiple=True, help="Only this capability (repeatable): a partial run.")
@click.option("--split", type=click.Choice(["gate", "dev"]), help="Only this split: a partial run.")
@click.option("--fresh", is_flag=True, help="Begin a new run even if one is stored (stored answers count).")
@click.option("--resume", is_flag=True, help="Fail when there is no stored run to continue.")
@click.option("--aa", is_flag=True, help="Measure the noise: ask the baseline twice, compare it with itself. Never ships.")
@click.option("--dry-run", "dry", is_flag=True, help="Tell requests and tokens, of candidates and judges, and ask nothing.")
@click.option("--expect-hash", metavar="HASH", help="Fail unless the suite has this hash.")
@click.option("--concurrency", type=click.IntRange(min=1), help="Requests in flight, instead of the suite's.")
@click.option("--report", type=click.Path(path_type=Path), help="Write the HTML report here (one candidate only).")
@click.option("--markdown", type=click.Path(path_type=Path), help="Also write a markdown summary.")
@click.option("--junit", type=click.Path(path_type=Path), help="Also write JUnit XML.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Also write everything as JSON.")
@store_option
def command(suite: Path, store_dir: Path, expect_hash: str | None, concurrency: int | None, **options: Any) -> int:
    """Run SUITE: serve the candidates, ask, score, compare with the baseline, decide.

    Exit code 0 ship, 1 optimize, 2 inconclusive, 3 usage error, 4 infrastructure failed or incomplete; of several candidates the
    worst. Whatever stops it, running the same command again continues. With --aa: 0 nothing false is shown, 2 something is.
    """
    wanted = {"html": options["report"], "markdown": options["markdown"], "junit": options["junit"], "json": options["json_path"]}
    _check_paths([path for path in wanted.values() if path])
    finished = _run(suite, store_dir, expect_hash, concurrency, options)
    if options["dry"]:
        return 0
    # From here on the store is enough. The suite and its cases are gone before scipy comes: so memory holds only one of them.
    from harness.cli import judging, outputs
    from reports.terminal import show

    if options["aa"]:
        return _aa(store_dir, finished[0], {form: path for form, path in wanted.items() if path})
    codes = []
    if len(finished) > 1 and any(wanted.values()):
        click.echo("several candidates: each report's name gets its candidate's", err=True)
    with open_store(store_dir) as store:
        for result in finished:
            run, baseline = result.run, result.baseline
            verdict = judging.judge(store, run, baseline, *judging.stored_rules(store, run))
            codes.append(judging.exit_code(verdict))
            files = {form: _named(path, run.candidate.name, len(finished)) for form, path in wanted.items() if path}
            files.setdefault("html", outputs.default_path(store, run.suite_name, run.candidate.name, run.id))
            view = outputs.view_of(store, run.id, baseline.id if baseline else None)
            outputs.write(view, files)
            show(view, path=str(_short(files["html"])))
    return judging.worst(codes)


def _check_paths(paths: list[Path]) -> None:
    if paths:
        from harness.cli.outputs import check_paths

        check_paths(paths)


def _aa(store_dir: Path, result: Finished, files: Mapping[str, Path]) -> int:
    from harness.cli import noise, outputs

    with open_store(store_dir) as store:
        code = noise.judge_twice(store, result)
        if files and result.baseline:
            outputs.write(outputs.view_of(store, result.run.id, result.baseline.id), files)
    return code


def _run(
    path: Path, store_dir: Path, expect_hash: str | None, concurrency: int | None, options: Mapping[str, Any]
) -> list[Finished]:
    from harness.cli import pipeline
    from harness.errors import UsageError
    from harness.model import Split

    suite = load_suite(path)
    if expect_hash and not (len(expect_hash) >= 8 and suite.hash.startswith(expect_hash)):
        raise UsageError(
            f"the suite's hash is {suite.hash[:12]}, expected {expect_hash}",
            where=str(path),
            todo="This host has other cases, checks or settings than the one the hash is from: bring both to the same files",
        )
    if concurrency:
        suite = replace(suite, generation=replace(suite.generation, concurrency=concurrency))
    ask = pipeline.Ask(
        suite=suite,
        candidates=options["candidates"],
        baseline=options["baseline"],
        limit=options["limit"],
        capabilities=options["capabilities"],
        split=Split(options["split"]) if options["split"] else None,
        fresh=options["fresh"],
        resume=options["resume"],
        aa=options["aa"],
        dry=options["dry"],
    )
    with contextlib.ExitStack() as stack:
        if ask.dry and not (store_dir / "lock").exists():  # it leaves nothing behind, not even an empty store
            store_dir = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "store"
        return pipeline.run_suite(ask, stack.enter_context(open_store(store_dir, create=True)))


def _named(path: Path, candidate: str, count: int) -> Path:
    return path if count == 1 else path.with_name(f"{path.stem}-{candidate}{path.suffix}")


def _short(path: Path) -> Path:
    """Relative to here when it lies below: what fits on a terminal and can be clicked."""
    try:
        return path.resolve().relative_to(Path.cwd())
    except ValueError:
        return path
