"""Several judges asked about the same answer; what each said is kept, the panel's word is their mean or their majority.

Judges of different families have different biases, so a panel of small ones can beat one large one (Verga et al. 2024,
https://arxiv.org/abs/2404.18796). How far its members agree is for harness.statistics: Krippendorff's alpha over ``members``.
"""

from __future__ import annotations

import asyncio
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from pydantic import Field

from harness.checks.spec import SpecFault
from harness.model import Candidate, Case, Client, Judgment, Message, Request, Response, digest_of
from judges.base import Judge, JudgeOptions, JudgeSpec, JudgeType, Setting
from judges.preparing import prepare
from judges.verdicts import EXPLANATION, passes, spread_of


class PanelOptions(JudgeOptions):
    """Judges that decide together."""

    members: tuple[str | dict[str, Any], ...] = Field(
        min_length=2, max_length=16, description="Judges of the suite by name, or written out in place."
    )
    combine: Literal["mean", "majority"] = Field(
        default="mean",
        description="mean of the values, or the vote: 1 where most pass, 0 where most fail, 0.5 between.",
    )
    quorum: int | None = Field(default=None, ge=1, description="Members that must give a verdict. Default: more than half.")


class Panel:
    """See judges.base.Judge."""

    def __init__(self, spec: JudgeSpec, candidates: Mapping[str, Candidate]) -> None:
        assert isinstance(spec.options, PanelOptions)
        self.spec, self._options = spec, spec.options
        self.members: tuple[Judge, ...] = tuple(member.bind(candidates) for member in spec.members)
        self.digest = digest_of([spec.digest(None), [member.digest for member in self.members]])[:32]
        self._quorum = self._options.quorum or len(self.members) // 2 + 1

    def questions(
        self, case: Case, response: Response, *, baseline: Response | None = None, messages: Sequence[Message] | None = None
    ) -> tuple[Request, ...]:
        asked = [member.questions(case, response, baseline=baseline, messages=messages) for member in self.members]
        return tuple(request for requests in asked for request in requests)

    async def judge(
        self,
        case: Case,
        response: Response,
        asker: Client,
        *,
        baseline: Response | None = None,
        messages: Sequence[Message] | None = None,
    ) -> Judgment:
        asked = [member.judge(case, response, asker, baseline=baseline, messages=messages) for member in self.members]
        said = tuple(await asyncio.gather(*asked))
        scored = [judgment for judgment in said if judgment.value is not None]
        common = self._common(case, said)
        if len(scored) < self._quorum:
            missing = [judgment for judgment in said if judgment.value is None]
            reason, _ = Counter(judgment.unscored or "judge-no-verdict" for judgment in missing).most_common(1)[0]
            errored = any(judgment.errored for judgment in missing if judgment.unscored == reason)
            return replace(common, unscored=reason, errored=errored)
        values = tuple(judgment.value for judgment in scored if judgment.value is not None)
        value = statistics.fmean(values) if self._options.combine == "mean" else _vote(scored, pairwise=self.spec.pairwise)
        flags = list(common.flags)
        if len({judgment.preference if self.spec.pairwise else judgment.passed for judgment in scored}) > 1:
            flags.append("panel-split")
        if len(scored) < len(said):
            flags.append("members-missing")
        return replace(
            common,
            value=value,
            passed=passes(value, self.spec.threshold),
            preference=_side(value) if self.spec.pairwise else None,
            values=values,
            spread=spread_of(values),
            flags=tuple(flags),
        )

    def _common(self, case: Case, said: tuple[Judgment, ...]) -> Judgment:
        """What does not depend on the outcome: words, costs, members."""
        lines = [f"{judgment.judge}: {judgment.explanation}" for judgment in said if judgment.explanation]
        return Judgment(
            self.spec.name,
            self.digest,
            case.id,
            None,
            None,
            explanation="\n\n".join(lines)[:EXPLANATION],
            choice=", ".join(judgment.choice or "-" for judgment in said)[:200],
            mode="panel",
            members=said,
            attempts=sum(judgment.attempts for judgment in said),
            prompt_tokens=sum(judgment.prompt_tokens for judgment in said),
            completion_tokens=sum(judgment.completion_tokens for judgment in said),
            keys=tuple(key for judgment in said for key in judgment.keys),
            flags=tuple(dict.fromkeys(flag for judgment in said for flag in judgment.flags)),
        )


def _vote(scored: Sequence[Judgment], *, pairwise: bool) -> float:
    """1 where more members are for it than against, 0 where fewer are, 0.5 between. A tie of a pair is for neither."""
    if pairwise:
        votes = [{"candidate": 1, "baseline": -1}.get(judgment.preference or "", 0) for judgment in scored]
    else:
        votes = [1 if judgment.passed else -1 for judgment in scored]
    balance = sum(votes)
    return 1.0 if balance > 0 else 0.0 if balance < 0 else 0.5


def _side(value: float) -> str:
    return "candidate" if value > 0.5 else "baseline" if value < 0.5 else "tie"


def _prepare(name: str, options: PanelOptions, setting: Setting) -> tuple[JudgeSpec | None, list[SpecFault]]:
    faults: list[SpecFault] = []
    members: list[JudgeSpec] = []
    for index, written in enumerate(options.members):
        spec, found = _member(name, index, written, setting)
        faults += found
        if spec is not None:
            members.append(spec)
    if len({member.pairwise for member in members}) > 1:
        faults.append(SpecFault(("members",), "pairwise and other judges cannot sit on one panel", "make two panels"))
    if options.quorum is not None and options.quorum > len(options.members):
        faults.append(SpecFault(("quorum",), f"there are only {len(options.members)} members", "lower the quorum"))
    if faults:
        return None, faults
    pairwise = members[0].pairwise
    default = 0.5 if pairwise else max(member.threshold for member in members) if options.combine == "mean" else 1.0
    threshold = options.threshold if options.threshold is not None else default
    identity = [options.combine, options.quorum]
    return JudgeSpec(name, PANEL, options, None, tuple(members), None, identity, pairwise, threshold), []


def _member(name: str, index: int, written: Any, setting: Setting) -> tuple[JudgeSpec | None, list[SpecFault]]:
    here = ("members", index)
    if not isinstance(written, str):
        spec, faults = prepare(f"{name}/{index + 1}", written, replace(setting, within=(*setting.within, name)))
        return spec, [SpecFault((*here, *fault.path), fault.what, fault.todo) for fault in faults]
    if written in (name, *setting.within):
        return None, [SpecFault(here, f"the panel {written!r} would sit on itself", "remove it")]
    if written not in setting.others:
        todo = f"judges of the suite: {', '.join(sorted(set(setting.others) - {name})) or 'none'}"
        return None, [SpecFault(here, f"there is no judge named {written!r}", todo)]
    spec, faults = prepare(written, setting.others[written], replace(setting, within=(*setting.within, name)))
    if spec is None:
        return None, [SpecFault(here, f"the judge {written!r} cannot be used: {faults[0].what}", "mend it first")]
    return spec, []


PANEL = JudgeType(
    name="panel",
    version=1,
    summary="Several judges decide together; each one's word is kept.",
    options=PanelOptions,
    prepare=_prepare,
    bind=Panel,
)
JUDGES = (PANEL,)
