"""The suite's hash: equal when the same questions are put the same way and judged by the same rules, whatever the host."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from harness.model import Case, Gate, Prompt, digest_of
from harness.suite.environment import is_secret
from harness.suite.nouns import Capability
from harness.suite.spec import SuiteFile

FORMAT = 1  # raised when what goes into the hash changes


def suite_hash(spec: SuiteFile, capabilities: Mapping[str, Capability], prompts: Mapping[str, Prompt], gate: Gate) -> str:
    """64 hex digits. Left out on purpose: candidates and baseline (the examined, not the exam: a stored baseline stays comparable
    when a candidate is added), serving, concurrency, paths, descriptions, secrets, the order of keys and of rows."""
    content = {
        "format": FORMAT,
        "suite": spec.suite,
        "version": spec.version,
        "gate": _gate(gate),
        "judges": _public(spec.judges),
        "capabilities": {name: _capability(item, prompts[name]) for name, item in capabilities.items()},
    }
    return digest_of(content)


def _gate(gate: Gate) -> dict[str, Any]:
    """All of it; what was added later counts only where it is used, so that older suites keep their hash."""
    content = asdict(gate)
    for key in ("sequential", "max_tpot_p95_s", "waivers", "slices", "trust_uncalibrated"):
        if not content[key]:
            del content[key]
    for key in ("min_kappa", "max_memory_gb", "min_requests_per_s", "at_concurrency"):
        if content[key] is None:
            del content[key]
    return content


def _capability(item: Capability, prompt: Prompt) -> dict[str, Any]:
    return {
        "role": item.role,
        "margin": item.margin,
        "score": item.score,
        "split": item.split,
        "sampling": item.sampling.as_dict(),
        "samples": item.samples,
        "thinking": item.thinking,
        "on_truncated": item.on_truncated,
        "on_empty": item.on_empty,
        "prompt": prompt.digest,
        "checks": [check.model_dump(mode="json", exclude_unset=True) for check in item.checks],
        "cases": cases_digest(item.all_cases),
    }


def cases_digest(cases: Iterable[Case]) -> str:
    """sha256 over what is known of each case beside its content, which its id stands for; row order does not matter."""
    digest = hashlib.sha256()
    for _, line in sorted((case.id, _line(case)) for case in cases):
        digest.update(line.encode())
    return digest.hexdigest()


def _line(case: Case) -> str:
    line = f"{case.id} {case.split} {case.must_pass:d} {case.cluster!r}"
    return f"{line} {digest_of(case.metadata)}\n" if case.metadata else f"{line}\n"


def _public(value: Any) -> Any:
    """The same without secrets and addresses."""
    if isinstance(value, Mapping):
        hidden = ("endpoint", "base_url")
        return {key: _public(item) for key, item in value.items() if not is_secret((str(key),)) and key not in hidden}
    return [_public(item) for item in value] if isinstance(value, list | tuple) else value
