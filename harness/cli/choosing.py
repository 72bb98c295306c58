"""The work of ``harness choose``: a matrix's runs, what they show together, and its lines, page and JSON.

JSON: schema_version 1; suite, suite_hash, split, limit, alpha, reference; answer: prompt | tuning | undecided, with headline and
lead in words; exit_code; best, cheapest (names of combinations, or null), open_cases; failed (why nothing can be judged, or "");
uncalibrated {capability: [judge]};
combinations: [{name, candidate, prompt, shots, tuned, run, reach, tokens, ledger, targets: [{target, goal, mean, low, high,
level, n, missing, reason, reach, may_be_best, from_best: [low, high], gain: {delta, low, high} | null}], protected:
[{capability, mean, state, delta, low, high}]}]. Scores in [0, 1], differences in [-1, 1].
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.cli import pipeline
from harness.errors import UsageError
from harness.model import Role, RunRecord, Split
from harness.runner import Plan
from harness.serving.identity import DigestCache
from harness.store import Store
from harness.suite import Suite
from harness.suite.matrix import expanded

if TYPE_CHECKING:
    from harness.choice import Choice, Tried
    from reports.choice import ChoiceView, CombinationView, TargetView

SCHEMA_VERSION = 1
_NAME = 30  # columns


@dataclass(frozen=True)
class Found:
    """A matrix's choice with what is needed to tell of it."""

    suite: Suite
    choice: Choice
    reference: str | None
    limit: int | None
    uncalibrated: Mapping[str, Sequence[str]]  # capability -> the judges behind its scores that nobody held against people

    @property
    def exit_code(self) -> int:
        from harness.choice import Answer

        if self.choice.failed:
            return 4
        return {Answer.PROMPT: 0, Answer.TUNING: 1, Answer.UNDECIDED: 2}[self.choice.answer]

    @cached_property
    def view(self) -> ChoiceView:
        from reports.choice import build

        margins = {name: c.margin for name, c in self.suite.capabilities.items() if c.role is Role.PROTECTED}
        return build(self.choice, self.suite.name, margins, self.reference, self.limit, self.uncalibrated)


def run_matrix(suite: Suite, store: Store, split: Split, limit: int | None) -> Found:
    """Ask what is missing of every combination, and judge them together. The suite has a matrix."""
    assert suite.matrix is not None
    wide, cache = expanded(suite), DigestCache(store.path / "digests.json")
    known = {c.candidate: pipeline.identify_candidate(suite, c.candidate, cache) for c in suite.matrix.combinations}
    plain = {c.candidate for c in suite.matrix.combinations if c.is_plain}
    reference = suite.baseline if suite.baseline in plain else None
    plans = {}
    for c in sorted(suite.matrix.combinations, key=lambda c: c.name != reference):  # what others are compared with comes first
        candidate = replace(known[c.candidate], name=c.name, prompt=wide.candidates[c.name].prompt)
        plans[c.name] = Plan(wide, candidate, limit, (), split)
    _refuse_empty(suite, split)
    runs = pipeline.run_plans(wide, plans, store, plans[reference].run_id if reference else None)
    from harness.choice import Trial, choose  # scipy comes with it, and asking does not need it

    trials = []
    for c in suite.matrix.combinations:
        figures = store.latencies(runs[c.name].id)
        total = figures.prompt_tokens + figures.completion_tokens
        tokens = total / figures.n if figures.n and total else None
        trials.append(Trial(c, runs[c.name].id, tuple(store.score_rows(runs[c.name].id)), tokens))
    judges = _uncalibrated(suite, store, runs[suite.matrix.combinations[0].name])
    distrusted = () if suite.gate.trust_uncalibrated else tuple(judges)
    found = choose(trials, suite.matrix, suite.capabilities, suite.gate, reference, split, distrusted=distrusted)
    return Found(suite, found, reference, limit, judges)


def _uncalibrated(suite: Suite, store: Store, run: RunRecord) -> dict[str, tuple[str, ...]]:
    from harness.cli.judged_capabilities import with_judges
    from harness.model import CapabilityComparison

    rows = [CapabilityComparison(name, c.role, c.margin, None, None, None) for name, c in suite.capabilities.items()]
    return {c.capability: c.uncalibrated for c in with_judges(store, run, None, rows, suite.gate, ()) if c.uncalibrated}


def _refuse_empty(suite: Suite, split: Split) -> None:
    """Before anything is asked: a target without cases in the split could not be judged."""
    for name, capability in suite.capabilities.items():
        if capability.role is Role.TARGET and not capability.of(split):
            other = Split.GATE if split is Split.DEV else Split.DEV
            raise UsageError(
                f"the target {name!r} has no case in the {split} split",
                where=str(suite.path),
                todo=f"Set dev_fraction or the rows' split, or ask --split {other}",
            )


def default_path(store: Store, suite: str) -> Path:
    name = re.sub(r"[^\w.-]+", "-", suite, flags=re.ASCII)[:80]
    return store.path / "reports" / f"{name}-choice.html"


def write(found: Found, page: Path, json_path: Path | None) -> None:
    """The HTML page, and the JSON if wanted; UsageError when one cannot be written."""
    from reports.choice_page import render

    texts = {page: render(found.view)}
    if json_path:
        texts[json_path] = json.dumps(as_dict(found), ensure_ascii=False, allow_nan=False)
    for path, text in texts.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise UsageError(f"cannot write the report: {error.strerror}", where=str(path), todo="Give another path") from error


# -- the terminal ----------------------------------------------------------------------------------------------------------------


def lines(found: Found, page: str) -> Iterator[str]:
    """At most 80 columns each."""
    view = found.view
    yield from _wrapped(f"{view.headline.upper()}: {view.lead}")
    if view.partial:
        yield from _wrapped(view.partial)
    for target in view.targets:
        yield ""
        yield from _table(target)
    yield ""
    for reason in view.reasons:
        yield from _wrapped(reason.text, "- ")
    for step in view.next_steps:
        yield from _wrapped(step.replace("`", ""), "> ")
    yield from _wrapped(view.note)
    yield f"report: {page}"


def _table(target: TargetView) -> Iterator[str]:
    from harness.cli.layout import fit

    yield f"{fit(target.name, 36).rstrip()}, goal {target.goal_shown}, {target.cases:,} cases:"
    yield f"  {'combination':<{_NAME}} {'score':>5} {'all together':>14} {'goal':<11} {'best':<6} {'kept':<6}".rstrip()
    for row in target.rows:
        yield _line(row)


def _line(row: CombinationView) -> str:
    from harness.cli.layout import fit

    name = fit(f"{row.candidate}: {row.way}", _NAME)
    cells = f"{row.mean_shown:>5} {row.bounds_shown:>14} {row.reach:<11} {row.best_shown:<6} {row.kept_shown}"
    return f"{'*' if row.is_best else ' '} {name} {cells}"


def _wrapped(text: str, mark: str = "") -> list[str]:
    from harness.cli.layout import wrap

    return wrap(f"{mark}{text}", 80, indent=" " * len(mark)) or [mark]


# -- JSON ------------------------------------------------------------------------------------------------------------------------


def as_dict(found: Found) -> dict[str, Any]:
    choice = found.choice
    return {
        "schema_version": SCHEMA_VERSION,
        "suite": found.suite.name,
        "suite_hash": found.suite.hash,
        "split": str(choice.split),
        "limit": found.limit,
        "alpha": choice.alpha,
        "reference": found.reference,
        "answer": choice.answer.name.lower(),
        "headline": found.view.headline,
        "lead": found.view.lead,
        "exit_code": found.exit_code,
        "best": choice.best,
        "cheapest": choice.cheapest,
        "open_cases": choice.open_cases,
        "failed": choice.failed,
        "uncalibrated": {name: list(judges) for name, judges in found.uncalibrated.items()},
        "combinations": [_combination(row) for row in choice.rows],
    }


def _combination(row: Tried) -> dict[str, Any]:
    from harness.store.rows import plain

    c = row.combination
    return {
        "name": c.name,
        "candidate": c.candidate,
        "prompt": c.prompt,
        "shots": c.shots,
        "tuned": c.tuned,
        "run": row.run_id,
        "reach": str(row.reach),
        "tokens": row.tokens,
        "ledger": plain(row.ledger),
        "targets": [
            {
                "target": score.target,
                "goal": score.goal,
                **plain(score.interval),
                "reach": str(score.reach),
                "may_be_best": score.standing.may_be_best,
                "from_best": [score.standing.low, score.standing.high],
                "gain": plain(score.gain),
            }
            for score in row.targets
        ],
        "protected": [
            {"capability": p.capability, "mean": p.mean, "state": str(p.state)}
            | {key: getattr(p.paired, key, None) for key in ("delta", "low", "high")}
            for p in row.protected
        ],
    }
