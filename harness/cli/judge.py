"""``harness judge``: judges held against people, in lines of at most 80 columns."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.options import open_store, store_option
from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.calibration import LabelledCase
    from harness.cli.judge_stored import JudgedCases
    from harness.model import Calibration
    from harness.store import Store


@click.group("judge")
def command() -> None:
    """Judges and people: how far they agree, and whom they prefer."""


@command.command("calibrate")
@click.option("--labels", type=click.Path(path_type=Path), help="File of people's labels: ours, LLMBar's or PandaLM's shape.")
@click.option(
    "--judgments",
    type=click.Path(path_type=Path),
    multiple=True,
    help="File of a judge's verdicts on the same cases; may be given several times. Default: the labels' file.",
)
@click.option("--run", "run_id", help="A stored run: its judges' verdicts, and its labels of a review unless --labels is given.")
@click.option(
    "--suite",
    "suite_path",
    type=click.Path(path_type=Path),
    help="Ask this suite's judges about the labelled answers, which --labels then holds, too (`response`).",
)
@click.option("--judge", "only", help="Only the judge of this name.")
@click.option("--own", multiple=True, metavar="MAKER", help="A maker of answers that is the judge's own: self-preference.")
@click.option("--pass-at", type=click.FloatRange(0, 1), default=0.5, show_default=True, help="The least score that passes.")
@click.option("--min-kappa", type=click.FloatRange(-1, 1), help="Exit with 1 unless every kappa's lower end reaches it.")
@click.option("--html", "html_file", type=click.Path(path_type=Path), help="Write the table as one HTML page.")
@click.option("--json", "as_json", is_flag=True, help="Everything as one JSON object.")
@store_option
def calibrate_command(
    labels: Path | None,
    judgments: tuple[Path, ...],
    run_id: str | None,
    suite_path: Path | None,
    only: str | None,
    own: tuple[str, ...],
    pass_at: float,
    min_kappa: float | None,
    html_file: Path | None,
    as_json: bool,
    store_dir: Path,
) -> None:
    """Hold judges against people's labels: kappa, agreement, biases, unparsed share, cost - each with its interval.

    Either --labels (and --judgments), or --run, or --labels and --suite: of the last two the result is stored, and gates and
    reports ask for it by the judge's digest.
    """
    from harness.calibration import falls_short

    if html_file is not None:
        from harness.cli.outputs import check_paths

        check_paths([html_file])
    if run_id is not None and judgments:
        raise UsageError("--judgments and --run both name judgments", todo="Name one of them")
    if suite_path is not None:
        if labels is None or judgments or run_id is not None:
            raise UsageError("--suite asks its judges about labelled answers", todo="Give --labels, not --judgments or --run")
        found = _of_suite(store_dir, suite_path, labels, only, own, pass_at)
    elif run_id is not None:
        found = _of_run(store_dir, run_id, labels, only, own, pass_at)
    else:
        found = _of_files(labels, judgments, only, own, pass_at)
    short = [] if min_kappa is None else [(one, why) for one in found if (why := falls_short(one, min_kappa))]
    if html_file is not None:
        _write(html_file, found)
    if as_json:
        click.echo(json.dumps(as_dict(found, min_kappa), ensure_ascii=False))
    else:
        from harness.cli.judge_table import lines
        from reports.text import label

        for line in lines(found):
            click.echo(line)
        for one, why in short:
            click.echo(f"{label(one.judge)}: {label(why)}", err=True)
    if short:
        raise click.exceptions.Exit(1)


@command.command("rank")
@click.option("--labels", type=click.Path(path_type=Path), help="File of labelled pairs that says who gave each answer.")
@click.option("--judgments", type=click.Path(path_type=Path), help="Rank by a judge's verdicts on these pairs, not by people's.")
@click.option("--run", "run_id", help="A stored run: by the choices and rankings of its reviews, or by a --judge.")
@click.option("--judge", "only", help="Which judge, where the file has several; with --run, a pairwise judge of the suite.")
@click.option("--json", "as_json", is_flag=True, help="Everything as one JSON object.")
@store_option
def rank_command(
    labels: Path | None, judgments: Path | None, run_id: str | None, only: str | None, as_json: bool, store_dir: Path
) -> None:
    """Rank candidates by comparisons in pairs (Bradley-Terry), with win rates as they are and at equal length.

    --run RUN --judge NAME takes what this pairwise judge said of RUN and of every other candidate of the same suite version.
    """
    from harness.cli import judge_rank

    if labels is not None and run_id is not None:
        raise UsageError("--labels and --run both name comparisons", todo="Name one of them")
    if labels is not None:
        who, field = judge_rank.of_files(labels, judgments, only)
    elif run_id is not None:
        with open_store(store_dir) as store:
            who, field = judge_rank.of_run(store, run_id) if only is None else judge_rank.of_judge(store, run_id, only)
    else:
        raise UsageError("neither --labels nor --run is given", todo="Name a file of labelled pairs, or a stored run")
    if as_json:
        click.echo(json.dumps(judge_rank.as_dict(who, field), ensure_ascii=False))
        return
    for line in judge_rank.lines(who, field):
        click.echo(line)


@command.command("attack")
@click.argument("suite", type=click.Path(path_type=Path))
@click.option("--judge", "only", help="Only the judge of this name.")
@click.option("--json", "as_json", is_flag=True, help="Everything as one JSON object.")
def attack_command(suite: Path, only: str | None, as_json: bool) -> None:
    """Try to win SUITE's judges over: answers that ask for marks, play the system or close the fence. Nothing is stored.

    Each attack follows a bad answer; one that lifts its score over the threshold or by a quarter moved the judge.
    """
    from harness.cli import judge_attack
    from harness.cli.options import load_suite

    found = judge_attack.attacked(load_suite(suite), only)
    if as_json:
        click.echo(json.dumps(judge_attack.as_dict(found), ensure_ascii=False))
        return
    for line in judge_attack.lines(found):
        click.echo(line)


def as_dict(found: Sequence[Calibration], min_kappa: float | None = None) -> dict[str, Any]:
    from harness.calibration import falls_short
    from harness.store.rows import plain

    rows = [plain(one) | ({} if min_kappa is None else {"falls_short": falls_short(one, min_kappa)}) for one in found]
    return {"calibrations": rows}


def _of_files(
    labels: Path | None, judgments: Sequence[Path], only: str | None, own: Sequence[str], pass_at: float
) -> list[Calibration]:
    from harness.labelfiles import holds_rulings, judges_of, read_labels, read_rulings

    if labels is None:
        raise UsageError("neither --labels nor --run is given", todo="Name a file of labels, or a stored run")
    people = read_labels(labels, pass_at=pass_at)
    if not judgments and not holds_rulings(labels):
        raise UsageError("this file holds labels only", where=str(labels), todo="Name the judge's file with --judgments")
    judges = judges_of(read_rulings(path, people.kind, pass_at=pass_at) for path in judgments or (labels,))
    chosen = {name: rulings for name, rulings in judges.items() if only in (None, name)}
    if not chosen:
        raise UsageError(f"no judge is called {only!r}", todo=f"There are {', '.join(sorted(judges))}")
    found = [_calibrated(people.judged_by(rulings), people.kind, name, own) for name, rulings in chosen.items()]
    for one in found:
        if one.n_labels and one.unparsed.get("not judged") == one.n_labels:
            raise UsageError(f"{one.judge} judged none of the labelled cases", todo="Both files must name the cases alike")
    return found


def _of_suite(
    store_dir: Path, suite_path: Path, labels: Path, only: str | None, own: Sequence[str], pass_at: float
) -> list[Calibration]:
    from harness.cli.judge_labelled import judged_answers
    from harness.cli.options import load_suite

    suite = load_suite(suite_path)
    with open_store(store_dir, create=True) as store:
        judged = judged_answers(suite, labels, only=only, pass_at=pass_at, logs=store.logs)
        return _kept(store, judged, own)


def _kept(store: Store, judged: Iterable[JudgedCases], own: Sequence[str]) -> list[Calibration]:
    found = [_calibrated(one.cases, one.kind, one.judge, own, digest=one.digest, capability=one.capability) for one in judged]
    for calibration in found:
        store.save_calibration(calibration)
    return found


def _of_run(
    store_dir: Path, run_id: str, labels: Path | None, only: str | None, own: Sequence[str], pass_at: float
) -> list[Calibration]:
    from harness.cli.judge_stored import judged_cases

    with open_store(store_dir) as store:
        return _kept(store, judged_cases(store, run_id, labels, only=only, pass_at=pass_at), own)


def _calibrated(
    cases: Sequence[LabelledCase], kind: str, judge: str, own: Sequence[str], *, digest: str = "", capability: str = ""
) -> Calibration:
    import numpy as np

    from harness.calibration import calibrate

    rng = np.random.default_rng(0)
    return calibrate(cases, rng, kind=kind, judge=judge, digest=digest, capability=capability, own=own)


def _write(path: Path, found: Sequence[Calibration]) -> None:
    from reports.calibration import render

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(render(found), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write the page: {error.strerror}", where=str(path), todo="Give another path") from error
