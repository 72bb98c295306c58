"""Pure numbers: arrays in, frozen results out. No store, no suite, no randomness of its own.

compare_paired   candidate against baseline on the same cases -> PairedComparison
claims_of        what such a comparison shows
sequential       PairedSequence: the same question with evidence that may be looked at after every case
holm, benjamini_hochberg, mean_bounds, cases_needed, smallest_effect, cases_to_decide ...
"""

from harness.statistics.intervals import clopper_pearson_lower, clopper_pearson_upper, mean_bounds, wilson_lower
from harness.statistics.multiplicity import benjamini_hochberg, holm
from harness.statistics.paired import claims_of, compare_paired
from harness.statistics.power import cases_needed, cases_to_decide, smallest_effect

__all__ = [
    "benjamini_hochberg",
    "cases_needed",
    "cases_to_decide",
    "claims_of",
    "clopper_pearson_lower",
    "clopper_pearson_upper",
    "compare_paired",
    "holm",
    "mean_bounds",
    "smallest_effect",
    "wilson_lower",
]
