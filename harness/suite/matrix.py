"""``matrix:`` of a suite -> every combination of prompt, examples and candidate, each with its complete prompts, and the faults.

A matrix prompt is what is being tried, so it lies over the suite's, the capability's and the candidate's, key by key; examples
drawn from a pool lie over all of them and are rendered with the template that wins. The same examples are shown to every case (a
shared prefix costs a server little), the smaller number is part of the larger one, and the draw is by hash: no order of rows and
no host changes it (harness.suite.pool).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

from pydantic import ValidationError

from harness.errors import Fault
from harness.model import Prompt, Role
from harness.plugs import nearest
from harness.suite.document import Document, Location
from harness.suite.layers import Layer, LayeredPrompt, unfit
from harness.suite.nouns import DEFAULT_PROMPT, Capability, Combination, Matrix, Suite
from harness.suite.pool import Source, draw
from harness.suite.spec import ExampleFile, MatrixFile, PromptFile, SuiteFile

MOST = 64  # combinations: each is a run of its own, and alpha is split among them
_AT: Location = ("matrix",)

Layered = Callable[..., LayeredPrompt]  # (suite, candidate, capability, *layers above)


def load_matrix(
    spec: SuiteFile, data: Mapping[str, Any], capabilities: Mapping[str, Capability], document: Document, layered: Layered
) -> tuple[Matrix | None, list[Fault]]:
    """spec: the suite without its faulty parts, with a matrix. data: as written. None with faults, or a Matrix without any."""
    assert spec.matrix is not None
    loading = _Loading(spec, spec.matrix, data, capabilities, document, layered)
    goals = loading.goals()
    combinations = loading.combinations()
    examples = loading.examples()
    if loading.faults:
        return None, loading.faults
    prompts = loading.prompts(combinations, examples)
    return (None if loading.faults else Matrix(tuple(combinations), goals, prompts)), loading.faults


def expanded(suite: Suite) -> Suite:
    """The suite with a candidate for each combination of its matrix: what its runs are planned with. The hash is the same."""
    assert suite.matrix is not None
    candidates = {
        c.name: replace(suite.candidates[c.candidate], name=c.name, prompt=_own_prompt(suite.matrix, c))
        for c in suite.matrix.combinations
    }
    shared = {key: prompt for key, prompt in suite.prompts.items() if not key[0]}
    return replace(suite, candidates=candidates, baseline=None, prompts=shared | dict(suite.matrix.prompts))


def _own_prompt(matrix: Matrix, c: Combination) -> Prompt:
    """What tells a combination's candidate from its others: its prompt, with the examples that some capability gets."""
    shown = (prompt.few_shot for (name, _), prompt in matrix.prompts.items() if name == c.name and prompt.few_shot)
    return replace(matrix.prompts[c.name, ""], few_shot=next(shown, ()))


@dataclass
class _Loading:
    spec: SuiteFile
    matrix: MatrixFile
    data: Mapping[str, Any]
    capabilities: Mapping[str, Capability]
    document: Document
    layered: Layered
    faults: list[Fault] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        """Nothing faulty was taken out of it: what looks missing is missing, and what looks equal is."""
        try:
            MatrixFile.model_validate(self.data["matrix"])
        except ValidationError:
            return False
        return True

    def fault(self, location: Location, what: str, todo: str = "") -> None:
        self.faults.append(Fault(self.document.where((*_AT, *location)), what, todo))

    def names(self, key: str) -> list[str]:
        """What is written there, faulty or not."""
        written = self.data.get(key)
        return list(written) if isinstance(written, dict) else []

    # -- what must be reached ----------------------------------------------------------------------------------------------------

    def goals(self) -> dict[str, float]:
        """Every target's goal: of the matrix, else of gate.floors."""
        targets = [name for name, c in self.capabilities.items() if c.role is Role.TARGET]
        if not targets and len(self.spec.capabilities) == len(self.names("capabilities")) > 0:
            self.fault((), "a matrix asks whether a target is reached, and no capability is one", "give one `role: target`")
        given = self.matrix.goal
        written = self.data["matrix"].get("goal")
        unknown = [name for name in written if name not in targets] if isinstance(written, dict) else []
        for name in unknown:
            self.fault(("goal", name), f"a goal for {name!r}, which is no target", nearest(str(name), targets))
        floors = {name: floor.minimum for name, floor in self.spec.gate.floors.items()}
        found = {}
        for name in targets:
            own = given.get(name) if isinstance(given, dict) else given
            goal = floors.get(name) if own is None else own
            if goal is not None:
                found[name] = float(goal)
            elif written is None or (isinstance(written, dict) and name not in written and not unknown):
                todo = "set matrix.goal to the score that would be good enough"
                self.fault(("goal",), f"the target {name!r} has no goal", todo)
        return found

    # -- what is combined --------------------------------------------------------------------------------------------------------

    def combinations(self) -> list[Combination]:
        """Candidate by candidate: as it is first, then prompt by prompt, from few examples to many."""
        candidates = self.candidates("candidates", list(self.spec.candidates))
        tuned = self.candidates("tuned", [name for name in candidates if self.spec.candidates[name].adapter is not None])
        plain = [name for name in candidates if self.spec.candidates[name].adapter is None]
        if len(plain) > 1 and "tuned" not in self.data["matrix"] and self.is_whole:
            what = f"{', '.join(plain)}: nothing says which of them tuning made, and so whether tuning is needed"
            self.fault(("candidates",), what, "add `tuned: [NAMES]`, or `tuned: []` where all are base models")
        for name in tuned:
            if name not in candidates:
                self.fault(("tuned",), f"{name!r} is not tried, so it cannot be the tuned one", "add it to matrix.candidates")
        if DEFAULT_PROMPT in self.matrix.prompts:
            what = f"the name {DEFAULT_PROMPT!r} is taken by the suite's own prompt, which is always tried"
            self.fault(("prompts", DEFAULT_PROMPT), what, "name the prompt otherwise")
        tried = product((DEFAULT_PROMPT, *self.matrix.prompts), sorted(set(self.matrix.few_shot)))
        ways = list(dict.fromkeys([(DEFAULT_PROMPT, 0), *tried]))
        found = [_combination(name, *way, name in tuned) for name, way in product(candidates, ways)]
        if len(found) > MOST:
            what = f"{len(found)} combinations, and at most {MOST} can be told apart"
            self.fault((), what, "leave some prompts, numbers of examples or candidates out")
        if len(found) == 1 and self.is_whole and not self.faults:
            self.fault((), "there is nothing to choose from: one candidate with one prompt", "add `prompts:` or `few_shot:`")
        return found

    def candidates(self, key: str, default: list[str]) -> list[str]:
        names = getattr(self.matrix, key)
        if names is None:
            return default
        known = self.names("candidates")
        for number, name in enumerate(names):
            if name not in known:
                self.fault((key, number), f"{name!r} is no candidate", nearest(name, known))
        return [name for name in dict.fromkeys(names) if name in self.spec.candidates]

    # -- examples ----------------------------------------------------------------------------------------------------------------

    def examples(self) -> dict[str, tuple[ExampleFile, ...]]:
        """As many examples of each pool as the largest number asks for, in the order they are shown in."""
        most, at = max(self.matrix.few_shot), self.data["matrix"]
        if most and not self.matrix.pool and "pool" not in at:
            self.fault(("few_shot",), f"{most} examples are wanted, and there is no pool", "add `pool: {CAPABILITY: FILE}`")
        if not most and self.matrix.pool and self.is_whole:
            self.fault(("pool",), "the pool has no effect: no examples are asked for", "add e.g. `few_shot: [0, 2]`")
        for name in self.matrix.pool:
            self.known(name, ("pool", name))
        for prompt, item in self.matrix.prompts.items():
            for number, name in enumerate(item.capabilities or ()):
                self.known(name, ("prompts", prompt, "capabilities", number))
        return {
            name: self.drawn(name, source, most)
            for name, source in self.matrix.pool.items()
            if most and name in self.capabilities
        }

    def known(self, name: str, at: Location) -> None:
        names = self.names("capabilities")
        if name not in names:
            self.fault(at, f"{name!r} is no capability", nearest(name, names))

    def drawn(self, name: str, source: Source, most: int) -> tuple[ExampleFile, ...]:
        cases, at = self.capabilities[name].all_cases, ("pool", name)
        if cases and all("messages" in case.vars for case in cases):
            self.fault(at, f"the cases of {name!r} are chats, which are asked as they stand", "remove its pool")
            return ()

        def where(line: int) -> str:
            if isinstance(source, str) and line:
                return f"{self.document.path.parent / source}:{line}"
            return self.document.where((*_AT, *at, *((line - 1,) if line else ())))

        found, faults = draw(source, cases, most, self.matrix.seed, self.document.path.parent, where)
        self.faults += faults
        if not faults and len(found) < most:
            what = f"{most} examples are wanted, and the pool of {name!r} has {len(found)}"
            self.fault(at, what, "add examples, or ask for fewer")
        return found

    # -- prompts -----------------------------------------------------------------------------------------------------------------

    def prompts(
        self, combinations: Iterable[Combination], examples: Mapping[str, tuple[ExampleFile, ...]]
    ) -> dict[tuple[str, str], Prompt]:
        out: dict[tuple[str, str], Prompt] = {}
        told: set[tuple[str, str]] = set()
        tried: set[tuple[str, str | None, str]] = set()
        twins: dict[tuple[str, ...], Combination] = {}
        for c in combinations:
            for name in ("", *self.capabilities):
                found = self.layered(self.spec, c.candidate, name, *self.above(c, name, examples.get(name, ())))
                out[c.name, name] = found.prompt
                self.tell(found.faults, told)
                shape = (found.prompt.template, found.prompt.system, name)
                if name and not found.faults and shape not in tried:
                    tried.add(shape)
                    self.faults += unfit(found, self.capabilities[name].all_cases, self.document.where, told)
            self.refuse_twin(c, tuple(out[c.name, name].digest for name in self.capabilities), twins)
        return out

    def above(self, c: Combination, capability: str, examples: tuple[ExampleFile, ...]) -> Iterator[Layer]:
        if c.prompt != DEFAULT_PROMPT:
            prompt = self.matrix.prompts[c.prompt]
            if not capability or prompt.capabilities is None or capability in prompt.capabilities:
                keys = prompt.model_fields_set - {"capabilities"}
                yield (*_AT, "prompts", c.prompt), PromptFile(**{key: getattr(prompt, key) for key in keys})
        if c.shots and examples:
            yield (*_AT, "pool", capability), PromptFile(few_shot=examples[: c.shots])

    def tell(self, faults: Iterable[Fault], told: set[tuple[str, str]]) -> None:
        for fault in faults:
            if (fault.where, fault.what) not in told:
                told.add((fault.where, fault.what))
                self.faults.append(fault)

    def refuse_twin(self, c: Combination, digests: tuple[str, ...], twins: dict[tuple[str, ...], Combination]) -> None:
        """Two names for one way of asking would be one run, and share alpha for nothing."""
        twin = twins.setdefault((c.candidate, *digests), c)
        if twin is c or self.faults or not self.is_whole:
            return
        what = f"{_words(twin)} and {_words(c)} ask {c.candidate} the same"
        place: Location = ("prompts", c.prompt) if c.prompt != DEFAULT_PROMPT else ("few_shot",)
        self.fault(place, what, "leave one out; a prompt needs something to say to the capabilities it is for")


def _combination(candidate: str, prompt: str, shots: int, tuned: bool) -> Combination:
    parts = [candidate, *([prompt] if prompt != DEFAULT_PROMPT else []), *([f"{shots}-shot"] if shots else [])]
    return Combination("+".join(parts), candidate, prompt, shots, tuned)


def _words(c: Combination) -> str:
    return f"prompt {c.prompt}" + (f" with {c.shots} examples" if c.shots else "")
