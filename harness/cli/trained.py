"""What the training commands say and keep: the look ahead, the summary, the stored record, and the way back from weights."""

from __future__ import annotations

import contextlib
import platform
import time
from collections.abc import Collection, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import __version__
from harness.cli.options import open_store
from harness.errors import HarnessError

if TYPE_CHECKING:
    from harness.model import Case
    from harness.serving.identity import DigestCache
    from harness.store import Store
    from harness.store.trainings import Training
    from training import Recipe, TrainingResult
    from training.guard import Guarded

_LIBRARIES = ("torch", "transformers", "trl", "peft", "datasets", "accelerate")
_NAMED = 5  # rows named by number


def ahead(recipe: Recipe, cases: Sequence[Case]) -> Iterator[str]:
    """Before training: leaks refused, the fate of the rows, the memory. Raises what a training would fail of."""
    from training.ahead import look_ahead
    from training.data import load_files
    from training.guard import refuse_leaks

    rows, _ = load_files(recipe.dataset, recipe.stage, limit=recipe.max_samples)
    if cases:
        yield from _guard_lines(refuse_leaks(recipe, rows, cases))
    else:
        yield "no gate case is known here (no --suite, no store): leaks into the training data are not looked for"
    yield from _fates(recipe, rows)
    if (memory := look_ahead(recipe)) is not None:
        gib = [size / (1 << 30) for size in (memory.certain, memory.expected, memory.free)]
        yield f"memory: {gib[0]:.2f} GiB for sure, about {gib[1]:.2f} GiB at the peak; {gib[2]:.2f} GiB are free"


def _guard_lines(guarded: Guarded) -> Iterator[str]:
    yield f"no row repeats one of {guarded.cases:,} gate cases"
    if guarded.worst is not None:
        worst = guarded.worst
        yield (
            f"  {guarded.similar:,} resemble one; most alike: row {worst.row + 1}, case {worst.target.id} "
            f"({worst.alike:.0%} {worst.how})"
        )


def _fates(recipe: Recipe, rows: Sequence[Any]) -> Iterator[str]:
    """What the trainer will do with each row."""
    from training.dryrun import dry_run
    from training.models import load_tokenizer

    run = dry_run(recipe, load_tokenizer(recipe.model_name_or_path, recipe.chat_template), completion="completion" in rows[0])
    cut, dropped, learnt = [], [], 0
    for number, row in enumerate(rows, 1):
        fate = run.fate(row)
        learnt += fate.learnt
        if not fate.kept:
            dropped.append(number)
        elif fate.tokens > recipe.cutoff_len:
            cut.append(number)
    if recipe.stage == "rm":  # one score a side is learnt, and a pair that is too long is left out whole
        kept = len(rows) - len(dropped)
        yield f"{len(rows):,} pairs, {kept:,} to learn from: {_some(dropped, 'dropped')}, longer than cutoff_len"
    else:
        yield f"{len(rows):,} rows, {learnt:,} tokens to learn: {_some(cut, 'cut')} at cutoff_len, {_some(dropped, 'dropped')}"


def _some(rows: Sequence[int], word: str) -> str:
    if not rows:
        return f"none {word}"
    more = ", ..." if len(rows) > _NAMED else ""
    return f"{len(rows):,} {word} (row {', '.join(map(str, rows[:_NAMED]))}{more})"


def summary(result: TrainingResult) -> Iterator[str]:
    """What came of a training, and its checkpoints by eval loss."""
    held = f", {result.held_out} held out" if result.held_out else ""
    cut = f", {result.cut} longer than cutoff_len" if result.cut else ""
    since = f", resumed at {result.begun}," if result.begun else ""
    steps = f"{result.steps} steps{since} in {result.seconds:.0f} s, {result.trainable:,} parameters trained"
    yield f"{result.rows} rows{held}{cut}: {steps}"
    for name, value in result.metrics.items():
        yield f"  {name:<24} {value:.4f}"
    if result.checkpoints:
        yield "checkpoints by the loss on held-out rows" if result.held_out else "checkpoints"
        for point in result.checkpoints:
            loss = "-" if point.eval_loss is None else f"{point.eval_loss:.4f}"
            yield f"  step {point.step:<8} {loss:>10}{'  best, and what was written' if point.best else ''}"


def keep(recipe: Recipe, result: TrainingResult, store_dir: Path, started: float) -> Training:
    """Store a training that ended, with the origins of its rows."""
    from harness.serving.identity import DigestCache
    from harness.store.trainings import SavedCheckpoint, TrainedFile, TrainedRow, save_training
    from training.origins import origins

    with open_store(store_dir, create=True) as store:
        cache = DigestCache(store.path / "digests.json")
        points = tuple(
            SavedCheckpoint(p.step, str(p.path), weights_of(recipe, p.path, cache), p.eval_loss, p.best)
            for p in result.checkpoints
        )
        record = _record(
            recipe,
            started,
            status="complete",
            output=str(result.path.resolve()),
            weights=weights_of(recipe, result.path, cache),
            data=tuple(TrainedFile(file.path, file.sha256, file.rows) for file in result.data),
            metrics=dict(result.metrics),
            history=result.history,
            checkpoints=points,
        )
        save_training(
            store, record, [TrainedRow(o.file, o.line, o.pair_id, o.case_id, o.run_id) for o in origins(recipe.dataset)]
        )
    return record


def keep_failure(recipe: Recipe, error: HarnessError, store_dir: Path, started: float) -> None:
    """Store that a training failed, and why; where there is no store yet, nothing is made for it."""
    if not (store_dir / "lock").exists():
        return
    from harness.store.trainings import save_training

    with open_store(store_dir) as store:
        save_training(store, _record(recipe, started, status="failed", output=recipe.output_dir, error=error.line()))


def _record(recipe: Recipe, started: float, *, error: str = "", **more: Any) -> Training:
    from harness.model import digest_of
    from harness.store.trainings import Training

    settings = recipe.model_dump(mode="json")
    identity = digest_of([settings, [file.sha256 for file in more.get("data", ())], started])
    versions = {"harness": __version__, "python": platform.python_version()}
    for library in _LIBRARIES:
        with contextlib.suppress(PackageNotFoundError):
            versions[library] = version(library)
    provenance = {"versions": versions} | ({"error": error} if error else {})
    values = {"weights": None, "data": (), "metrics": {}, "history": ()} | more
    return Training(
        id=f"t{identity[:10]}",
        stage=recipe.stage,
        base=recipe.model_name_or_path,
        recipe=settings,
        provenance=provenance,
        started_at=started,
        finished_at=time.time(),
        **values,
    )


def weights_of(recipe: Recipe, path: Path, cache: DigestCache) -> str | None:
    """The digest a candidate with these weights has. None for what cannot be a candidate."""
    from harness.serving.identity import identify

    lora = recipe.finetuning_type == "lora" and (path / "adapter_model.safetensors").exists()
    try:
        if lora:
            return identify("x", recipe.model_name_or_path, root=Path.cwd(), adapter=str(path.resolve()), cache=cache).digest
        return identify("x", str(path.resolve()), root=Path.cwd(), cache=cache).digest
    except HarnessError:
        return None


def told(store: Store, weights: str) -> dict[str, str]:
    """What a run's provenance says of how its candidate was trained; empty where the store knows nothing."""
    text = made_by(store, {weights}).get(weights)
    return {"training": text} if text else {}


def made_by(store: Store, wanted: Collection[str]) -> dict[str, str]:
    """weights (a candidate's digest) -> the training that made them, in words; of several the latest. Only those wanted."""
    from harness.store.trainings import cases_of, trainings

    found: dict[str, str] = {}
    for made in reversed(trainings(store)):
        if made.weights not in wanted and all(point.weights not in wanted for point in made.checkpoints):
            continue  # counting its cases is a query
        rows, cases = sum(file.rows for file in made.data), len(cases_of(store, made.id))
        text = f"{made.id}: {made.stage} on {rows:,} rows" + (f", of {cases:,} cases" if cases else "")
        found |= {point.weights: f"{text}, at step {point.step}" for point in made.checkpoints if point.weights}
        found |= {made.weights: text} if made.weights else {}
    return found
