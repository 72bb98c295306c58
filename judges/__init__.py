"""Judges: models, records and reward models that score a response or compare it with the baseline's.

    specs, faults = build_all(suite.judges, root=...)        # every fault at once, with its place
    judge = specs["tone"].bind({key: candidate, ...})        # a Candidate for each key of spec.models
    judgment = await judge.judge(case, response, asker, baseline=..., messages=...)

``asker`` is any harness.model.Client: a judge's question is an ordinary Request, so a cache by request key works for judges as it
does for candidates. Nothing here knows the store, the runner or a report.
"""

from judges.base import Judge, JudgeOptions, JudgeSpec, JudgeType
from judges.preparing import build, build_all
from judges.rubric import Rubric, built_in, load_rubric

__all__ = ["Judge", "JudgeOptions", "JudgeSpec", "JudgeType", "Rubric", "build", "build_all", "built_in", "load_rubric"]
