"""Failures of stored runs become training data: preference pairs and SFT rows, guarded, each knowing where it came from.

    nouns      Answer, Pair, Lesson (an SFT row), Left (what was not taken, and why)
    choosing   one case with its answers -> the better and the worse one, or the reason why there is no pair
    guards     pairs -> pairs: no ties, lengths alike, nothing twice, no capability that drowns the others, nothing of the gate
    people     what people said of answers -> which of them they prefer
    writing    trl's rows with provenance; the data card

Only the dev split is ever looked at. The gate's cases come in as what must not be repeated (harness.quality.leaks).
"""

from harness.curation.choosing import Rules, Scoring, curate_case
from harness.curation.guards import Guarded, Limits, guard
from harness.curation.nouns import Answer, CaseAnswers, Left, Lesson, Pair
from harness.curation.writing import Card, card_text, lesson_row, pair_row

__all__ = [
    "Answer",
    "Card",
    "CaseAnswers",
    "Guarded",
    "Left",
    "Lesson",
    "Limits",
    "Pair",
    "Rules",
    "Scoring",
    "card_text",
    "curate_case",
    "guard",
    "lesson_row",
    "pair_row",
]
