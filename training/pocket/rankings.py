"""Rankings of several answers to one request to be polite, and ratings of real answers: the reward model's data, and its judge's.

Both come from a rule and say so (rater ``generator``); they stand in for people. A polite answer that asks for just what was to
be asked is the best; then comes a polite one with a detail wrong or left out, then a blunt one, and last what is no sentence, as
the half JSON of a model that was tuned on orders alone. Entities belong to train, dev or gate as everywhere here.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from training.pocket import words
from training.pocket.generate import POLITE, SEED, VERBS, Polite, Row, polite_request
from training.pocket.words import Part

CAPABILITY = "polite"
RATER = "generator"
WRONG = "~"
LEVELS = ("right", "detail", "blunt", "broken")  # the groups of a ranking, best first
RATINGS = {"right": 5, "detail": 3, "blunt": 2, "broken": 1}
PASSING = 4  # the least rating of an answer that will do

_POLITE = (POLITE, "Would you please {}?", "Could you kindly {}?", "Please {}, if you can.")
_BLUNT = ("{}!", "{} now!", "You must {}.", "{}.")
_POLITE_FORM = re.compile(r"(?:(?:Could|Would) you (?:please|kindly) ([A-Za-z ]+)\?|Please ([A-Za-z ]+), if you can\.)")


@dataclass(frozen=True, slots=True)
class Ranking:
    """Answers to one prompt, best group first (LEVELS); those in one group are as good as each other."""

    prompt: str
    groups: tuple[tuple[str, ...], ...]
    entities: tuple[str, ...]


def rankings(part: Part, count: int, *, seed: int = SEED) -> list[Ranking]:
    """``count`` rankings about entities of one part, no prompt twice."""
    rng = random.Random(f"{seed}/rankings/{part}")
    seen, found = set[str](), list[Ranking]()
    while len(found) < count:
        asked = polite_request(rng, part)
        if asked.prompt not in seen:
            seen.add(asked.prompt)
            found.append(_ranking(rng, asked, part))
    return found


def _ranking(rng: random.Random, asked: Polite, part: Part) -> Ranking:
    right = [POLITE.format(asked.ask)]
    if rng.random() < 0.3:
        right.append(rng.choice(_POLITE[1:]).format(asked.ask))
    details = [_wrong(rng, asked, part) for _ in range(3)]
    blunt = [_capital(rng.choice(_BLUNT).format(asked.ask))]
    groups = tuple(tuple(dict.fromkeys(group)) for group in (right, details, blunt, [_broken(rng, asked)]))
    return Ranking(asked.prompt, groups, (asked.thing, asked.name))


def _wrong(rng: random.Random, asked: Polite, part: Part) -> str:
    """A polite sentence with one thing wrong: a thing or person (another of the same part, or half another), the verb, nobody."""
    verb = asked.ask.split()[0]
    thing, name = _instead(rng, asked.thing, words.things(part)), _instead(rng, asked.name, words.names(part))
    asks = [
        *(asked.ask.replace(asked.thing, other) for other in thing),
        *(asked.ask.replace(asked.name, other) for other in name),
        asked.ask.removesuffix(f" {asked.name}").rsplit(" ", 1)[0],
        asked.ask.replace(verb, rng.choice([other for other in VERBS if other != verb]), 1),
    ]
    return POLITE.format(rng.choice(asks))


def _instead(rng: random.Random, two: str, known: Sequence[str]) -> list[str]:
    """Others of ``known``: with the same first word, with the same second, and any."""
    first, second = two.split()
    alike = [[other for other in known if other.split()[at] == word and other != two] for at, word in ((0, first), (1, second))]
    return [rng.choice(others) for others in (*alike, [other for other in known if other != two]) if others]


def _broken(rng: random.Random, asked: Polite) -> str:
    """What models that were damaged, or cut, say."""
    said, count = POLITE.format(asked.ask).split(), rng.randint(2, 12)
    place = rng.randint(2, len(said) - 2)
    half = " ".join(said[:place])
    order = {"item": asked.thing, "qty": count, "name": asked.name}
    return rng.choice(
        [
            json.dumps(order, separators=(",", ":")),
            " ".join(said).removesuffix("?") + '"}',
            f'{half}","qty":{count},"name":"{asked.name}"}}',
            f'{half}qtyname":"{asked.name}"}}',
            " ".join([half, *[said[place]] * rng.randint(4, 9)]),
            half,
            rng.choice("ABCD"),
        ]
    )


def reader_rows(count: int, *, seed: int = SEED) -> list[Row]:
    """What the model learns before the rankings: to answer, and to mark each wrong word of an answer with WRONG. So it looks up
    what was asked at every word, which rankings alone, one bit of news a pair, teach a model of this size much too slowly."""
    rng = random.Random(f"{seed}/reader")
    return [_marked(rng, polite_request(rng, "train")) for _ in range(count)]


def _marked(rng: random.Random, asked: Polite) -> Row:
    ask = asked.ask
    for two, known in ((asked.thing, words.things("train")), (asked.name, words.names("train"))):
        if rng.random() < 0.4:
            other = rng.choice(_instead(rng, two, known))
            ask = ask.replace(two, " ".join(a if a == b else a + WRONG for a, b in zip(other.split(), two.split(), strict=True)))
    verb = ask.split()[0]
    if rng.random() < 0.2:
        ask = ask.replace(verb, rng.choice([other for other in VERBS if other != verb]) + WRONG, 1)
    return Row(CAPABILITY, asked.prompt, POLITE.format(ask), (asked.thing, asked.name))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def level(row: Row, answer: str) -> str:
    """The rule: which of LEVELS an answer to a polite request belongs to."""
    ask = row.answer.removeprefix("Could you please ").removesuffix("?")
    if answer in [form.format(ask) for form in _POLITE]:
        return "right"
    if _POLITE_FORM.fullmatch(answer):
        return "detail"
    return "blunt" if answer in [_capital(form.format(ask)) for form in _BLUNT] else "broken"


def ranking_line(ranking: Ranking) -> dict[str, Any]:
    """A row of a file of rankings, as stages rm and dpo read it."""
    return {"prompt": ranking.prompt, "ranking": [list(group) for group in ranking.groups], "rater": RATER}


def label_lines(
    rows: Sequence[Row], case_ids: Mapping[str, str], answers: Mapping[str, Sequence[str]]
) -> Iterator[dict[str, Any]]:
    """Rated answers as `harness judge calibrate --suite` reads them, each different answer to a row once.

    case_ids: prompt -> the suite's case. answers: who answered -> what, in the order of rows. Answers to one case are a cluster.
    """
    for number, row in enumerate(rows):
        who: dict[str, list[str]] = {}
        for name, said in answers.items():
            who.setdefault(said[number], []).append(name)
        for answer, names in who.items():
            rating = RATINGS[level(row, answer)]
            case = case_ids[row.prompt]
            yield {
                "case_id": case,
                "candidate": names[0],
                "input": row.prompt,
                "response": answer,
                "passed": rating >= PASSING,
                "rating": rating,
                "rater": RATER,
                "cluster": case,
            }


def conversations(rankings: Iterable[Ranking]) -> list[list[dict[str, str]]]:
    """Every answer of every ranking, in order, behind its question."""
    return [
        [{"role": "user", "content": ranking.prompt}, {"role": "assistant", "content": answer}]
        for ranking in rankings
        for group in ranking.groups
        for answer in group
    ]
