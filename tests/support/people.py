"""Labels and stores for tests of what people say."""

from __future__ import annotations

import itertools
from typing import Any

from harness.model import Candidate, Label, Split, digest_of
from harness.store import Store
from support.runs import CANDIDATE, make_record, make_request, make_response, make_score

_numbers = itertools.count(1)


def make_label(kind: str = "rate", **changes: Any) -> Label:
    """A label on case 1 of run1 by Ann; each later one is a little younger."""
    number = next(_numbers)
    values: dict[str, Any] = {
        "id": f"{number:032x}",
        "run_id": "run1",
        "capability": "math",
        "case_id": f"{1:016x}",
        "split": Split.GATE,
        "kind": kind,
        "rater": "Ann",
        "created_at": 1_000.0 + number,
    }
    values |= {"rate": {"responses": ("a",), "passed": True}, "pair": {"responses": ("a", "b"), "preference": "tie"}}.get(
        kind, {}
    )
    return Label(**values | changes)


def two_runs(
    store: Store,
    before: dict[int, str],
    now: dict[int, str],
    *,
    good: str = "right",
    capability: str = "math",
    names: tuple[str, str] = ("base1", "cand1"),
    **case: Any,
) -> None:
    """Two runs (by default base1 and cand1) that answered so (case number -> text); what starts with ``good`` passes.

    A run without answers is not made.
    """
    for run_id, texts in zip(names, (before, now), strict=True):
        if not texts:
            continue
        name = {"base1": "base", "cand1": "tuned"}.get(run_id, run_id)
        candidate = Candidate(name, name, digest_of(name), prompt=CANDIDATE.prompt)
        requests = [make_request(number, candidate=candidate, capability=capability, **case) for number in texts]
        record = make_record(run_id, candidate=candidate)
        suite = {"capabilities": {capability: {"role": "protected", "margin": 0.05}}, "gate": {}}
        with store.begin_run(record, "name: demo", suite, requests) as writer:
            for request, text in zip(requests, texts.values(), strict=True):
                response = make_response(request, text)
                writer.add_response(request, response)
                writer.add_score(request, response, make_score(float(text.startswith(good))), "v1")
            writer.finish("complete")
