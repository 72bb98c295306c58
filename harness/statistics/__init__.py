"""Pure numbers: arrays in, frozen results out. No store, no suite, no randomness of its own.

compare_paired   candidate against baseline on the same cases -> PairedComparison
claims_of        what such a comparison shows
sequential       PairedSequence: the same question with evidence that may be looked at after every case
holm, benjamini_hochberg, mean_bounds, cases_needed, smallest_effect, cases_to_decide ...
pass_rates, flip_rates   several samples of a case, two runs of it; movements: capabilities over checkpoints
corrected_paired a judge's comparison corrected by people's labels (Labels); cohen_kappa, krippendorff_alpha: do raters agree
bradley_terry, win_rate, win_rates   who wins, from comparisons in pairs, and at equal length

Each name is fetched from its module when it is first asked for: planning (power) needs no scipy, and a run asks before it judges.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.statistics.agreement import cohen_kappa, krippendorff_alpha
    from harness.statistics.correction import Labels, corrected_paired
    from harness.statistics.history import movements
    from harness.statistics.intervals import clopper_pearson_lower, clopper_pearson_upper, mean_bounds, wilson_lower
    from harness.statistics.multiplicity import benjamini_hochberg, holm
    from harness.statistics.paired import claims_of, compare_paired
    from harness.statistics.power import cases_for, cases_needed, cases_to_decide, effect_measured, smallest_effect
    from harness.statistics.ranking import bradley_terry, outcomes_of_ranking, win_rate, win_rates
    from harness.statistics.sampling import flip_rates, pass_all_k, pass_at_k, pass_rates, samples_to_tell

__all__ = [
    "Labels",
    "benjamini_hochberg",
    "bradley_terry",
    "cases_for",
    "cases_needed",
    "cases_to_decide",
    "claims_of",
    "clopper_pearson_lower",
    "clopper_pearson_upper",
    "cohen_kappa",
    "compare_paired",
    "corrected_paired",
    "effect_measured",
    "flip_rates",
    "holm",
    "krippendorff_alpha",
    "mean_bounds",
    "movements",
    "outcomes_of_ranking",
    "pass_all_k",
    "pass_at_k",
    "pass_rates",
    "samples_to_tell",
    "smallest_effect",
    "wilson_lower",
    "win_rate",
    "win_rates",
]

_HOME = {
    "agreement": ("cohen_kappa", "krippendorff_alpha"),
    "correction": ("Labels", "corrected_paired"),
    "history": ("movements",),
    "intervals": ("clopper_pearson_lower", "clopper_pearson_upper", "mean_bounds", "wilson_lower"),
    "multiplicity": ("benjamini_hochberg", "holm"),
    "paired": ("claims_of", "compare_paired"),
    "ranking": ("bradley_terry", "outcomes_of_ranking", "win_rate", "win_rates"),
    "sampling": ("flip_rates", "pass_all_k", "pass_at_k", "pass_rates", "samples_to_tell"),
    "power": ("cases_for", "cases_needed", "cases_to_decide", "effect_measured", "smallest_effect"),
}


def __getattr__(name: str) -> Any:
    home = next((module for module, names in _HOME.items() if name in names), None)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)
