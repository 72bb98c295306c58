"""The Python surface that other tools call: names, parameters and fields as promised. Adding is fine, changing is not."""

from __future__ import annotations

import inspect
from dataclasses import fields

import numpy as np
import pytest

import harness.statistics
from harness.decision import decide
from harness.model import CapabilityComparison, Gate, Outcome, PairedComparison, Role, Verdict
from harness.statistics import benjamini_hochberg, claims_of, compare_paired, holm
from harness.statistics.sequential import PairedSequence


def test_compare_paired() -> None:
    parameters = inspect.signature(compare_paired).parameters
    assert list(parameters)[:2] == ["candidate", "baseline"]
    keywords = {name: p.default for name, p in parameters.items() if p.kind is p.KEYWORD_ONLY}
    assert keywords["margin"] is inspect.Parameter.empty
    assert (keywords["alpha"], keywords["clusters"], keywords["binary"]) == (0.05, None, None)
    assert all(default is not inspect.Parameter.empty for name, default in keywords.items() if name != "margin")
    promised = {"delta", "low", "high", "n", "n_clusters", "method", "p_improved", "p_not_worse", "p_regressed", "p_harmed"}
    assert promised <= {field.name for field in fields(PairedComparison)}
    result = compare_paired([1, 1, 0, 1], [1, 0, 0, 1], margin=0.05)
    assert isinstance(result, PairedComparison)
    assert (result.delta, result.n) == (0.25, 4)


def test_a_sequence_says_one_of_three_things() -> None:
    assert list(inspect.signature(PairedSequence).parameters) == ["margin", "alpha"]
    assert PairedSequence(0.05).update([0.0]) is None
    assert PairedSequence(0.05, alpha=0.05).update(np.zeros(500)) == "not_worse"
    assert PairedSequence(0.05).update(np.full(200, -1.0)) == "harmed"


def test_adjusted_p_values() -> None:
    assert holm([0.01, 0.04]).tolist() == pytest.approx([0.02, 0.04])
    assert benjamini_hochberg([0.01, 0.04]).tolist() == pytest.approx([0.02, 0.04])


def test_decide_from_comparisons_and_gate_alone() -> None:
    scores = np.ones(300)
    paired = compare_paired(scores, scores, margin=0.05)
    row = CapabilityComparison(
        "dates", Role.PROTECTED, 0.05, 1.0, 1.0, paired, paired, claims_of(paired), n_planned=300, n_paired=300
    )
    verdict = decide([row], Gate())
    assert isinstance(verdict, Verdict)
    assert verdict.outcome is Outcome.SHIP
    assert verdict.reasons
    assert verdict.claims["dates"]
    assert verdict.seesaws == ()


def test_every_listed_name_is_there() -> None:
    for name in harness.statistics.__all__:
        assert callable(getattr(harness.statistics, name)), name
    with pytest.raises(AttributeError, match="no attribute 'compare_unpaired'"):
        harness.statistics.compare_unpaired  # noqa: B018
