"""Which class labels look wrong: rows whose label a classifier trained on the other rows would not give (confident learning).

C. Northcutt, L. Jiang, I. Chuang, Confident Learning: Estimating Uncertainty in Dataset Labels, JAIR 70 (2021) 1373-1411, as
cleanlab implements it. The probabilities come from logistic regression on character n-grams of the text, each row's from a model
that was trained on other rows (stratified folds): no network, any language, shallow. So these are hints where to look, not
verdicts: what takes reading rather than words is beyond such a model, and where it is often wrong itself its hints are worth
little, which is why its own accuracy is told with them.

The only module that imports cleanlab and scikit-learn: the extra ``labels``.
"""

from __future__ import annotations

import importlib.util
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import islice

import numpy as np

from harness.errors import DataError, UsageError
from harness.quality.examples import Dropped, Example, Kind, Turns, Unread, joined

FOLDS = 5
MOST_ROWS = 50_000
MOST_CLASSES = 50
MOST_CHARS = 1_000  # of a text that are looked at
_LABEL_CHARS = 60
_FEATURES = 30_000


@dataclass(frozen=True, slots=True)
class LabelHint:
    """A label that looks wrong. given, likelier: classes, with the probability of each by a model that never saw the row."""

    line: int
    given: str
    likelier: str
    p_given: float
    p_likelier: float
    text: str

    def as_dict(self) -> dict[str, object]:
        return {
            "line": self.line, "given": self.given, "likelier": self.likelier,
            "p_given": round(self.p_given, 4), "p_likelier": round(self.p_likelier, 4), "text": self.text,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class LabelHints:
    """rows: looked at. classes: name -> rows. left: rows without a label, or of a class with fewer rows than FOLDS. unread: rows
    that could not be read.

    more: whether the file has more rows than were read. accuracy: how often the models give the label that stands there, in
    [0, 1]. hints: the surest first.
    """

    rows: int
    classes: dict[str, int]
    left: int
    more: bool
    accuracy: float
    hints: tuple[LabelHint, ...]
    unread: Unread = field(default_factory=Unread)


def label_hints(rows: Iterable[Example | Dropped], *, column: str | None = None, seed: int = 0) -> LabelHints:
    """column: where the class stands. None: the label of unpaired (KTO) rows, else the answer itself, as in classification tasks.

    UsageError without cleanlab. DataError for rows that have no classes: fewer than two, or more than MOST_CLASSES.
    """
    missing = [name for name in ("cleanlab", "sklearn") if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(
            f"hints at wrong labels need {missing[0]}, which is not installed", todo="pip install 'seesaw-harness[labels]'"
        )
    kept: list[tuple[int, str, str]] = []
    stream, unread = iter(rows), Unread()
    left = 0
    for example in islice(stream, MOST_ROWS):
        if isinstance(example, Dropped):
            unread.add(example)
            continue
        label = _label(example, column)
        if label is None:
            left += 1
        else:
            kept.append((example.line, label, _text(example, column)))
    more = next(stream, None) is not None
    counts = Counter(label for _, label, _ in kept)
    classes = {name: n for name, n in sorted(counts.items()) if n >= FOLDS}
    if not 2 <= len(classes) <= MOST_CLASSES:
        seen = f"{len(classes)} classes of at least {FOLDS} rows ({len(counts):,} different labels)"
        what = f"{seen}, where 2 to {MOST_CLASSES} are needed"
        raise DataError(what, todo="Name the column that holds the class: --label COLUMN")
    used = [row for row in kept if row[1] in classes]
    return replace(_hints(used, classes, left + len(kept) - len(used), more, seed), unread=unread)


def _label(example: Example, column: str | None) -> str | None:
    """A row's class, None for what is none."""
    if column is not None:
        value = example.raw.get(column)
        value = str(value).strip() if isinstance(value, str | int) else ""
    elif example.kind is Kind.UNPAIRED:
        value = "good" if example.label else "bad"
    else:
        value = example.output_text.strip() if example.kind in (Kind.COMPLETION, Kind.MESSAGES) else ""
    return value if 0 < len(value) <= _LABEL_CHARS else None


def _text(example: Example, column: str | None) -> str:
    """What the class is about: the question; of a row with a label beside it the answer, too."""
    asked = _end(example.asked)
    if column is None and example.kind is not Kind.UNPAIRED:
        return asked
    return f"{asked}\n{joined(example.answer)[:MOST_CHARS]}"


def _end(turns: Turns) -> str:
    return joined(tuple(turn for turn in turns if turn.role != "system"))[-MOST_CHARS:]


def _hints(rows: list[tuple[int, str, str]], classes: dict[str, int], left: int, more: bool, seed: int) -> LabelHints:
    from cleanlab.filter import find_label_issues

    names = list(classes)
    labels = np.array([names.index(label) for _, label, _ in rows])
    chances = _out_of_sample([text for _, _, text in rows], labels, seed)
    found = find_label_issues(labels, chances, return_indices_ranked_by="self_confidence", n_jobs=1)
    likelier = chances.argmax(axis=1)
    hints = tuple(
        LabelHint(line, given, names[likelier[i]], float(chances[i, labels[i]]), float(chances[i].max()), text[-200:].strip())
        for i in found
        for line, given, text in [rows[i]]
        if likelier[i] != labels[i]
    )
    return LabelHints(len(rows), classes, left, more, float((likelier == labels).mean()), hints)


def _out_of_sample(texts: list[str], labels: np.ndarray, seed: int) -> np.ndarray:
    """Class probabilities (rows, classes), each row's by a model trained without its fold."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline

    words = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True, max_features=_FEATURES)
    model = make_pipeline(words, LogisticRegression(C=10.0, max_iter=300))
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    found: np.ndarray = cross_val_predict(model, texts, labels, cv=folds, method="predict_proba")
    return found
