"""Rule checks: what they are called follows promptfoo, each also as ``not-`` its name.

A check is one module of this folder (or one of a close family) that names its CheckTypes in ``CHECKS``; modules without it hold
what they share. See base.py for the parts of a check, spec.py for how a suite writes them, composite.py for how they make a
score.
"""

from __future__ import annotations

from harness.checks.base import CheckType, Example, Options, Outcome
from harness.checks.composite import CheckScorer, compile_checks
from harness.checks.spec import CheckGroup, CheckSpec, JudgeCheck, Spec, SpecFault, judges_of, parse_checks, validate_spec

__all__ = [
    "CheckGroup",
    "CheckScorer",
    "CheckSpec",
    "CheckType",
    "Example",
    "JudgeCheck",
    "Options",
    "Outcome",
    "Spec",
    "SpecFault",
    "compile_checks",
    "judges_of",
    "parse_checks",
    "validate_spec",
]
