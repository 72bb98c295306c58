"""The quickstart's tasks: prompt and reference answer of each capability, from a seeded generator.

A capability is one function ``(rng, part) -> Row``; everything else (splits, counts, files) is common to all.
The same seed gives the same bytes on every host: ``random.Random`` and sorted entity lists only.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.pocket import words
from training.pocket.words import Part

SEED = 20_261
GATE_CASES, DEV_CASES = 250, 80


@dataclass(frozen=True, slots=True)
class Row:
    """One generated question. entities: what it is about; all of them belong to the row's part."""

    capability: str
    prompt: str
    answer: str
    entities: tuple[str, ...]


_COUNTS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)


def _order(rng: random.Random, part: Part) -> tuple[str, int, str, str]:
    """(thing, count, name, the order in plain English)."""
    thing, name, count = rng.choice(words.things(part)), rng.choice(words.names(part)), rng.randint(2, 12)
    said = rng.choice([str(count), _COUNTS[count]])
    order = rng.choice(
        [
            f"{name} wants {said} {thing}s.",
            f"Please send {said} {thing}s to {name}.",
            f"{said.capitalize()} {thing}s for {name}, please.",
            f"This is {name}, I need {said} {thing}s.",
        ]
    )
    return thing, count, name, f"Order to JSON: {order}"


def _order_json(rng: random.Random, part: Part) -> Row:
    thing, count, name, prompt = _order(rng, part)
    return Row("order-json", prompt, _compact({"item": thing, "qty": count, "name": name}), (thing, name))


def _order_legacy(rng: random.Random, part: Part) -> Row:
    """The same orders in the schema that was used before: what the base has learnt, and what the target must replace."""
    thing, count, name, prompt = _order(rng, part)
    return Row("order-legacy", prompt, _compact({"client": name, "product": thing, "count": count}), (thing, name))


def _compact(value: dict[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":"))


def _date(rng: random.Random, part: Part) -> Row:
    iso = rng.choice(words.dates(part))
    year, month, day = iso.split("-")
    name, plain = _MONTHS[int(month) - 1], int(day)
    said = rng.choice(
        [
            f"{name} {plain}, {year}",
            f"{plain} {name} {year}",
            f"{name[:3]} {plain}, {year}",
            f"{plain} {name[:3]} {year}",
            f"{day}.{month}.{year}",
            f"{year}/{int(month)}/{plain}",
        ]
    )
    return Row("date", f"ISO date: {said}", iso, (iso,))


_INTENTS: dict[str, tuple[str, ...]] = {
    "A": (
        "I was charged twice for the {}.",
        "The invoice for the {} is wrong.",
        "Why did the price of the {} go up on my card?",
        "My payment for the {} failed.",
    ),
    "B": (
        "Where is my {}?",
        "The {} has not arrived yet.",
        "When will you ship the {}?",
        "The courier lost my {}.",
    ),
    "C": (
        "I want my money back for the {}.",
        "How do I return the {}?",
        "The {} is broken, please take it back.",
        "Send a return label for the {}.",
    ),
    "D": (
        "I cannot log in to see my {}.",
        "Reset my password, I want to order the {}.",
        "Change the email of the account that bought the {}.",
        "My account with the {} order is locked.",
    ),
}


def _intent(rng: random.Random, part: Part) -> Row:
    thing, label = rng.choice(words.things(part)), rng.choice(sorted(_INTENTS))
    text = rng.choice(_INTENTS[label]).format(thing)
    return Row("intent", f"{text}\nA billing B delivery C return D account", label, (thing,))


_ASKS = (
    "send the {} to {}",
    "give the {} to {}",
    "show the {} to {}",
    "take the {} from {}",
    "bring the {} to {}",
    "hide the {} from {}",
)
VERBS = tuple(ask.split()[0] for ask in _ASKS)


POLITE = "Could you please {}?"


@dataclass(frozen=True, slots=True)
class Polite:
    """A request to be made polite. ask: what is asked for, "send the red mug to Anna Berg"."""

    prompt: str
    ask: str
    thing: str
    name: str


def polite_request(rng: random.Random, part: Part) -> Polite:
    thing, name = rng.choice(words.things(part)), rng.choice(words.names(part))
    ask = rng.choice(_ASKS).format(thing, name)
    prompt = rng.choice([f"Say politely: {ask}!", f"Say politely: {ask} now!", f"Say politely: you must {ask}."])
    return Polite(prompt, ask, thing, name)


def _polite(rng: random.Random, part: Part) -> Row:
    asked = polite_request(rng, part)
    return Row("polite", asked.prompt, POLITE.format(asked.ask), (asked.thing, asked.name))


def _zh_quantity(rng: random.Random, part: Part) -> Row:
    good, measure = rng.choice(words.zh_goods(part))
    count = rng.randint(1, 99)
    number = "两" if count == 2 else words.zh_number(count)
    said = f"{number}{measure}{good}"
    prompt = rng.choice([f"提取数量：我要{said}。", f"提取数量：请送{said}来。", f"提取数量：昨天买了{said}。"])
    return Row("zh-quantity", prompt, f"{good} {count} {measure}", (good,))


CAPABILITIES: dict[str, Callable[[random.Random, Part], Row]] = {
    "order-json": _order_json,
    "date": _date,
    "intent": _intent,
    "polite": _polite,
    "zh-quantity": _zh_quantity,
}
LEGACY = "order-legacy"  # taught to the base only; no capability of the suite
TARGET = "order-json"


def rows(capability: str, part: Part, count: int, *, seed: int = SEED, unique: bool = True) -> list[Row]:
    """``count`` rows of one capability. unique: no prompt twice; in dev and gate no first entity twice (independent cases)."""
    rng = random.Random(f"{seed}/{capability}/{part}")
    make = _order_legacy if capability == LEGACY else CAPABILITIES[capability]
    seen, out = set[str](), list[Row]()
    for _ in range(200 * count):
        row = make(rng, part)
        mark = row.prompt if part == "train" else row.entities[0]
        if unique and mark in seen:
            continue
        seen.add(mark)
        out.append(row)
        if len(out) == count:
            return out
    raise ValueError(f"{capability}/{part} has fewer than {count} different rows")


def case_lines(capability: str) -> Iterator[dict[str, Any]]:
    """The suite's cases of one capability: dev, then gate."""
    counts: tuple[tuple[Part, int], ...] = (("dev", DEV_CASES), ("gate", GATE_CASES))
    for part, count in counts:
        for row in rows(capability, part, count):
            # The target's reference is a JSON value (compared by json-equals), the others' is text.
            reference = json.loads(row.answer) if capability == TARGET else row.answer
            yield {"input": row.prompt, "reference": reference, "split": part, "metadata": {"entities": list(row.entities)}}


def training_line(row: Row) -> dict[str, Any]:
    """A row in trl's conversational shape."""
    return {"messages": [{"role": "user", "content": row.prompt}, {"role": "assistant", "content": row.answer}]}


def write_jsonl(path: Path, lines: Iterator[dict[str, Any]] | list[dict[str, Any]]) -> None:
    """One JSON object a line, UTF-8, ``\\n``: the same bytes on every host."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8", newline="\n")
