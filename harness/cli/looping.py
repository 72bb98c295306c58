"""The steps of ``harness loop``, real: the gate's runs, the dev split's, curation, and a training in a process of its own.

A training is ``harness train`` on a recipe written into the round's folder: it can be read and repeated by hand, it gives back
all memory of the GPU before the next model is served, and it ends when the loop does, even by kill -9.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness import diagnosis
from harness.cli import judging, outputs, pipeline
from harness.cli.options import today
from harness.curation import Card
from harness.errors import DataError, HarnessError, IncompleteError, TrainingError, UsageError
from harness.loop import Curated, Failures, Ledger, Look, Result, Settings, Standing, Step, Trained, Weakness, next_round
from harness.model import CapabilityComparison, Claim, Gate, Outcome, Role, RunRecord, Split, Verdict, digest_of
from harness.runner import Plan
from harness.serving import watchdog
from harness.serving.identity import DigestCache
from harness.store import Store
from harness.suite import Suite
from harness.suite.nouns import CandidateSpec

if TYPE_CHECKING:
    from harness.cli.curating import Settings as Curation
    from training import Recipe

READ = 2_000  # failing cases whose answers are read for their form
GRACE_S = 10  # a training that is asked to stop has so long


@dataclass(frozen=True, slots=True)
class Loop:
    """What is asked for. suite: as loaded. candidate: of it. keep_dataset: train on the recipe's own rows, too. rounds: looks."""

    suite: Suite
    candidate: str
    recipe: Recipe
    curation: Curation
    rounds: int
    keep_dataset: bool
    out: Path

    @property
    def continues(self) -> bool:
        """Whether each round goes on with the candidate's adapter instead of beginning a fresh one."""
        return self.recipe.adapter_name_or_path is not None

    @property
    def gate(self) -> Gate:
        """The gate of one look."""
        return replace(self.suite.gate, alpha=self.suite.gate.alpha / self.rounds)

    def folder(self, number: int) -> Path:
        return self.out / f"round-{number}"

    def rows(self, number: int) -> list[Path]:
        """The files that a round's training learns. An adapter that is gone on with has learnt the earlier rounds'; a fresh one
        learns them all again."""
        name = "pairs.jsonl" if self.recipe.stage == "dpo" else "sft.jsonl"
        rounds = [number] if self.continues else range(1, number + 1)
        return [path for n in rounds if (path := self.folder(n) / name).exists()]


def check(loop: Loop) -> None:
    """Raise UsageError for what can never work, before anything is asked."""
    suite, where = loop.suite, str(loop.suite.path)
    spec = suite.candidates.get(loop.candidate)
    if spec is None:
        raise UsageError(f"no candidate {loop.candidate!r}", where=where, todo="Choose from " + ", ".join(suite.candidates))
    if suite.baseline is None or loop.candidate == suite.baseline:
        what = "the suite has no baseline" if suite.baseline is None else f"{loop.candidate} is the baseline itself"
        raise UsageError(what, where=where, todo="A loop needs a candidate and another one to compare it with")
    if spec.endpoint:
        raise UsageError(
            f"{loop.candidate} is an endpoint, which nobody here can train", where=where, todo="Name a model's folder"
        )
    if loop.recipe.stage == "rm":
        raise UsageError("the recipe trains a reward model, not a candidate", todo="Use a recipe of stage sft or dpo")
    looked = [name for name, c in suite.capabilities.items() if any(case.split is Split.DEV for case in c.of(None))]
    if looked:
        what = f"the gate of this suite asks dev cases of {', '.join(looked)}, and the loop trains on dev cases"
        raise UsageError(what, where=where, todo="Let the capabilities run their gate split (split: gate)")
    if not any(c.of(Split.DEV) for c in suite.capabilities.values()):
        todo = "Set dev_fraction, or `split: dev` in rows of the case files: the loop learns from dev cases alone"
        raise UsageError("no capability has a dev case", where=where, todo=todo)


def settings(loop: Loop, store: Store) -> Settings:
    """What makes this loop this loop. Raises UsageError where no run is promoted and the suite's baseline is the promoted one."""
    suite = loop.suite
    recipe = loop.recipe.model_dump(mode="json", exclude={"output_dir", "resume"})
    baseline = str(suite.baseline)
    if baseline == pipeline.PROMOTED:
        found = store.promoted(suite.name)
        if found is None:
            what = f"no run of {suite.name} is promoted, so there is nothing to compare with"
            raise UsageError(what, where=str(suite.path), todo="harness promote RUN, or name a candidate as the baseline")
        baseline = f"run {found.id}"
    return Settings(
        suite=suite.name,
        suite_hash=suite.hash,
        candidate=loop.candidate,
        weights=pipeline.identify_candidate(suite, loop.candidate, DigestCache(store.path / "digests.json")).digest,
        baseline=baseline,
        recipe=digest_of(recipe),
        curation=digest_of([loop.curation.as_dict(), loop.keep_dataset]),
        rounds=loop.rounds,
        alpha=suite.gate.alpha,
    )


@dataclass(slots=True)
class Steps:
    """harness.loop.Work with real models."""

    loop: Loop
    store: Store

    def to_ask(self, ledger: Ledger, step: Step) -> int:
        """Requests to the candidate and the baseline that the store has no answer to. A sequential gate may need fewer."""
        if step not in (Step.GATE, Step.DEV):
            return 0
        ask, cache = self._ask(ledger, step), DigestCache(self.store.path / "digests.json")
        names = [*ask.candidates, *([ask.suite.baseline] if ask.suite.baseline in ask.suite.candidates else [])]
        plans = [Plan(ask.suite, pipeline.identify_candidate(ask.suite, str(n), cache), split=ask.split) for n in names]
        return sum(_unanswered(self.store, plan) for plan in plans)

    def do(self, ledger: Ledger, step: Step) -> Result:
        if step is Step.GATE:
            return self._look(ledger)
        if step is Step.DEV:
            return self._fail(ledger)
        return self._curate(ledger) if step is Step.CURATE else self._train(ledger)

    # -- the candidates ----------------------------------------------------------------------------------------------------------

    def _suite(self, ledger: Ledger, *, dev: bool = False) -> Suite:
        """The suite with this round's candidate in it, at one look's alpha; for the dev split asked whole and as it stands."""
        suite = self.loop.suite
        gate = replace(suite.gate, sequential=False) if dev else self.loop.gate
        changed = gate != suite.gate
        # Another gate is another exam: with a hash of its own its runs and verdicts are not taken for the suite's.
        identity = digest_of([suite.hash, "loop", gate.alpha, gate.sequential]) if changed else suite.hash
        suite = replace(suite, gate=gate, hash=identity)
        return suite if ledger.now.number == 1 else with_candidate(suite, self._spec(ledger), self.loop.candidate)

    def _spec(self, ledger: Ledger) -> CandidateSpec:
        """This round's candidate: what the round before has trained."""
        first = self.loop.suite.candidates[self.loop.candidate]
        made = ledger.rounds[-2].trained
        assert made is not None
        path = str((self.loop.out / made.output).resolve())
        if self.loop.recipe.finetuning_type == "full":
            return replace(first, name=ledger.now.candidate, model=path, adapter=None, revision=None)
        return replace(first, name=ledger.now.candidate, adapter=path)

    def _ask(self, ledger: Ledger, step: Step) -> pipeline.Ask:
        dev = step is Step.DEV
        return pipeline.Ask(self._suite(ledger, dev=dev), candidates=(ledger.now.candidate,), split=Split.DEV if dev else None)

    def _check_weights(self, ledger: Ledger, suite: Suite) -> None:
        """What a finished training has written must still be there, unchanged."""
        if ledger.now.number == 1:
            return
        made, cache = ledger.rounds[-2].trained, DigestCache(self.store.path / "digests.json")
        assert made is not None
        if pipeline.identify_candidate(suite, ledger.now.candidate, cache).digest != made.weights:
            what = f"{ledger.now.candidate} is not what round {ledger.now.number - 1} has trained: its files have changed"
            raise DataError(what, where=str(self.loop.out / made.output), todo="Put them back, or begin anew in another --out")

    # -- the steps ---------------------------------------------------------------------------------------------------------------

    def _look(self, ledger: Ledger) -> Look:
        ask = self._ask(ledger, Step.GATE)
        self._check_weights(ledger, ask.suite)
        (done,) = pipeline.run_suite(ask, self.store)
        if done.baseline is None:
            raise UsageError("there is no baseline to compare with", where=str(ask.suite.path), todo="harness promote RUN first")
        gate, rules = judging.stored_rules(self.store, done.run)
        verdict = judging.judge(self.store, done.run, done.baseline, gate, rules)
        page = self.loop.folder(ledger.now.number) / "report.html"
        outputs.write(outputs.view_of(self.store, done.run.id, done.baseline.id), {"html": page})
        if verdict.infrastructure:
            why = "; ".join(reason.text for reason in verdict.reasons[:2])
            raise IncompleteError(f"the gate cannot judge this run: {why}", where=f"run {done.run.id}", todo="Mend it and go on")
        better, worse = self._since(ledger, done.run, verdict, rules)
        return Look(
            outcome=verdict.outcome,
            exit_code=judging.exit_code(verdict),
            run_id=done.run.id,
            baseline_run_id=done.baseline.id,
            blocking=_blocking(verdict),
            better=better,
            worse=worse,
            reasons=tuple(reason.text for reason in verdict.reasons),
            standings=tuple(map(_standing, verdict.comparisons)),
            report=str(page.relative_to(self.loop.out)),
        )

    def _since(
        self, ledger: Ledger, run: RunRecord, verdict: Verdict, rules: Mapping[str, judging.Policy]
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Targets and protected capabilities shown better, and worse, than in the round before, at the suite's alpha: it decides
        only whether to go on, so it spends nothing of the gate's."""
        if not ledger.looks:
            return (), ()
        before = ledger.looks[-1]
        names = [name for name, rule in rules.items() if rule.role != Role.ADVISORY]
        try:
            gate = replace(self.loop.suite.gate, waivers=())
            shown = judging.weigh(self.store, run, self.store.run(before.run_id), gate, rules, day=today()).claims
        except HarnessError:  # pairwise judges compared both with the baseline, so they cannot be paired with each other
            return _apart(before.standings, tuple(map(_standing, verdict.comparisons)), names)
        lost = {Claim.REGRESSED, Claim.HARMED}
        return (
            tuple(name for name in names if Claim.IMPROVED in shown.get(name, ())),
            tuple(name for name in names if lost & set(shown.get(name, ()))),
        )

    def _fail(self, ledger: Ledger) -> Failures:
        ask = self._ask(ledger, Step.DEV)
        self._check_weights(ledger, ask.suite)
        (done,) = pipeline.run_suite(ask, self.store)
        other = done.baseline if done.baseline is not None and done.baseline.plan.get("split") == Split.DEV else None
        found = weaknesses(self.store, ask.suite, done.run, other, ledger.now.look)
        return Failures(done.run.id, other.id if other else None, found)

    def _curate(self, ledger: Ledger) -> Curated:
        from harness.cli import curating

        failures = ledger.now.failures
        assert failures is not None
        run = self.store.run(failures.run_id)
        other = self.store.run(failures.other_run_id) if failures.other_run_id else None
        found, card = curating.curate(self.store, self._suite(ledger, dev=True), run, other, self.loop.curation)
        curating.write(self.loop.folder(ledger.now.number), found, card)
        return _curated(card, self.loop.recipe.stage)

    def _train(self, ledger: Ledger) -> Trained:
        number = ledger.now.number
        folder, output = self.loop.folder(number), self.loop.folder(number) / "adapter"
        path = folder / "recipe.yaml"
        recipe = self._recipe(ledger, output)
        _write_recipe(path, recipe)
        code = run_training([sys.executable, "-m", "harness", "train", str(path), "--store", str(self.store.path)])
        if code:
            kind = TrainingError if code == 3 else IncompleteError
            what = f"the training of round {number} ended with exit code {code}, see above"
            raise kind(what, where=str(path), todo="Mend what it says; the same command goes on from here")
        log = json.loads((output / "log" / "training.json").read_text(encoding="utf-8"))
        made = Trained(
            "", str(output.relative_to(self.loop.out)), recipe.stage, sum(f["rows"] for f in log["data"]), log["metrics"]
        )
        return replace(made, weights=self._digest(ledger, made))

    def _digest(self, ledger: Ledger, made: Trained) -> str:
        after = replace(ledger, rounds=(*ledger.rounds[:-1], replace(ledger.now, trained=made), next_round(ledger)))
        suite, cache = self._suite(after), DigestCache(self.store.path / "digests.json")
        return pipeline.identify_candidate(suite, after.now.candidate, cache).digest

    def _recipe(self, ledger: Ledger, output: Path) -> Recipe:
        """The recipe on this round's rows, for this round's candidate."""
        loop, number = self.loop, ledger.now.number
        data = [str(path.resolve()) for path in loop.rows(number)]
        if loop.keep_dataset:
            data.append(str(own_rows(loop.recipe, loop.out / "own.jsonl").resolve()))
        suite = self._suite(ledger)
        candidate = pipeline.identify_candidate(suite, ledger.now.candidate, DigestCache(self.store.path / "digests.json"))
        changes: dict[str, Any] = {
            "model_name_or_path": str(candidate.base),
            "dataset": tuple(data),
            "output_dir": str(output.resolve()),
            "resume": True,  # stopped halfway, it goes on from its last checkpoint
        }
        if loop.continues:
            changes["adapter_name_or_path"] = candidate.adapter or loop.recipe.adapter_name_or_path
        return loop.recipe.with_(**changes)


def with_candidate(suite: Suite, spec: CandidateSpec, like: str) -> Suite:
    """The suite with another candidate, asked as ``like`` is. UsageError where the name means another model already."""
    known = suite.candidates.get(spec.name)
    if known is not None and _place(suite, known) != _place(suite, spec):
        what = f"the suite has a candidate {spec.name}, which is what the loop calls its next one"
        raise UsageError(what, where=str(suite.path), todo="Give it another name in the suite")
    prompts = {
        (spec.name, name): suite.prompts[like, name] for name in ("", *suite.capabilities) if (like, name) in suite.prompts
    }
    return replace(suite, candidates={**suite.candidates, spec.name: spec}, prompts={**suite.prompts, **prompts})


def _place(suite: Suite, spec: CandidateSpec) -> Path:
    return (suite.root / (spec.adapter or spec.model)).resolve()


def _unanswered(store: Store, plan: Plan) -> int:
    missing, requests = 0, plan.requests()
    while batch := [request.key for request in islice(requests, 2_000)]:
        known = store.answered(batch)
        missing += sum(key not in known for key in batch)
    return missing


def _blocking(verdict: Verdict) -> tuple[str, ...]:
    found = (reason.capability or reason.code for reason in verdict.reasons if reason.blocks not in (None, Outcome.SHIP))
    return tuple(dict.fromkeys(found))


def _standing(c: CapabilityComparison) -> Standing:
    found = Standing(c.capability, str(c.role), c.margin, c.baseline_mean, c.candidate_mean, None, None, None)
    if c.paired is None:
        return found
    return replace(found, delta=c.paired.delta, low=c.paired.low, high=c.paired.high, claims=tuple(map(str, c.claims)))


def _apart(before: Sequence[Standing], now: Sequence[Standing], names: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Capabilities whose intervals against the baseline lie apart: above, below."""
    then, above, below = {one.capability: one for one in before}, list[str](), list[str]()
    for one in now:
        old = then.get(one.capability)
        if one.capability not in names or old is None or None in (one.low, one.high, old.low, old.high):
            continue
        above += [one.capability] if one.low > old.high else []  # type: ignore[operator]
        below += [one.capability] if one.high < old.low else []  # type: ignore[operator]
    return tuple(above), tuple(below)


def weaknesses(store: Store, suite: Suite, run: RunRecord, other: RunRecord | None, look: Look | None) -> tuple[Weakness, ...]:
    """Why the dev cases of a run fail, capability by capability, as the report tells of a gate run."""
    greedy = frozenset(name for name, c in suite.capabilities.items() if c.sampling.temperature == 0)
    cases = diagnosis.diagnose(store.score_rows(run.id), greedy=greedy)
    failing = diagnosis.always_failing(cases)
    read = sorted({case_id for _, case_id in failing[:READ]})
    if read:
        cases = diagnosis.with_format(cases, diagnosis.format_only(store.items(run.id, case_ids=read)))
    before = diagnosis.passing(store.score_rows(other.id)) if other else None
    lost = {str(Claim.REGRESSED), str(Claim.HARMED)}
    regressed = [s.capability for s in look.standings if lost & set(s.claims)] if look else []
    told = diagnosis.summarise(cases, greedy=greedy, passing_before=before, regressed=regressed, unread=failing[READ:])
    return tuple(Weakness(one.capability, one.n, one.failing, one.sentence) for one in told)


def _curated(card: Card, stage: str) -> Curated:
    return Curated(
        learn=card.pairs if stage == "dpo" else card.lessons,
        pairs=card.pairs,
        lessons=card.lessons,
        replay=card.replay,
        left=sum(card.left.values()),
        by_capability=card.by_capability,
    )


def own_rows(recipe: Recipe, path: Path) -> Path:
    """The recipe's own rows in the shape of the curated ones, so that both can be in one training."""
    from harness.quality.writers import open_writer
    from training.data import load_rows

    with open_writer(path, kind=".jsonl") as writer:
        for row in load_rows(recipe.dataset, recipe.stage, limit=recipe.max_samples):
            turns = row.get("messages")
            writer.write(dict(row) if turns is None else {"prompt": turns[:-1], "completion": turns[-1:]})
    return path


def _write_recipe(path: Path, recipe: Recipe) -> None:
    """As JSON, which is YAML, one key a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = recipe.model_dump(mode="json", exclude_unset=True)
    path.write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def run_training(command: Sequence[str]) -> int:
    """The command's exit code. It runs under the watchdog that model servers have, and ends with us whatever ends us.

    What it says goes to stderr: stdout is for the loop's own results.
    """
    guard = [sys.executable, "-I", str(watchdog.__file__), str(os.getpid()), str(GRACE_S)]
    process = subprocess.Popen([*guard, *command], stdin=subprocess.PIPE, stdout=2, start_new_session=True)
    assert process.stdin is not None
    try:
        return process.wait()
    except BaseException:
        click.echo("stopping the training ...", err=True)
        process.stdin.close()
        process.wait()
        raise
    finally:
        process.stdin.close()
