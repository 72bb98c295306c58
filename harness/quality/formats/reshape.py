"""An Example as another kind of Example, where that says the same or less: what a trainer asks for."""

from __future__ import annotations

from harness.quality.examples import Example, Kind
from harness.quality.formats.base import Unfit

SHAPES = (Kind.MESSAGES, Kind.COMPLETION, Kind.PREFERENCE, Kind.UNPAIRED, Kind.PROMPT)


def reshape(example: Example, kind: Kind) -> tuple[Example, ...]:
    """The row as rows of that kind. A preference gives two unpaired ones, or the chosen side; an implicit prompt becomes an
    explicit one. Unfit where something would have to be invented."""
    asked, answer = example.asked, example.answer
    bare = example.with_(messages=(), prompt=(), completion=(), chosen=(), rejected=(), label=None, kind=kind)
    if example.kind is Kind.TEXT:
        raise Unfit("cannot-say", f"a document is no {kind}")
    if kind is Kind.PROMPT:
        return (bare.with_(prompt=asked),)
    if not answer:
        raise Unfit("no-answer", f"there is no answer of the assistant to make a {kind} of")
    if kind is Kind.PREFERENCE:
        if example.kind is not Kind.PREFERENCE:
            raise Unfit("cannot-say", f"a {example.kind} has no rejected answer")
        return (bare.with_(prompt=asked, chosen=answer, rejected=example.refused),)
    if kind is Kind.UNPAIRED:
        good = bare.with_(prompt=asked, completion=answer, label=True if example.label is None else example.label)
        if example.kind is not Kind.PREFERENCE:
            return (good,)
        return (good, bare.with_(prompt=asked, completion=example.refused, label=False))
    if example.label is False:
        raise Unfit("bad-answer", "the answer is labelled as a bad one: it is not to be learnt")
    if kind is Kind.COMPLETION:
        return (bare.with_(prompt=asked, completion=answer),)
    return (bare.with_(messages=asked + answer),)
