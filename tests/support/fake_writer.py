"""A model that writes tasks, for tests of self-instruct: what it answers follows from the prompt alone.

It tells the prompts apart by what they ask for and answers each in the right form, with a share of answers that are of no use.
"""

from __future__ import annotations

import hashlib
import random
import re
from typing import Any

VERBS = [
    "Write",
    "Explain",
    "List",
    "Compare",
    "Translate",
    "Summarize",
    "Invent",
    "Describe",
    "Rank",
    "Name",
    "Correct",
    "Plan",
    "Suggest",
    "Rewrite",
    "Judge",
]
ABOUT = [
    "volcanoes",
    "recipes",
    "NASA",
    "chess",
    "taxes",
    "bees",
    "Vienna",
    "poems",
    "SQL",
    "bridges",
    "owls",
    "tea",
    "trains",
    "moss",
    "clocks",
    "salt",
]
HOW = [
    "briefly for children",
    "with two examples",
    "in verse",
    "as a dialogue",
    "for an expert",
    "in French",
    "step by step",
    "politely",
]


def kind(prompt: str) -> str:
    """generate | classify | labels | inputs | harder."""
    if prompt.startswith("Here begins a list"):
        return "generate"
    if prompt.startswith("Is a task a classification"):
        return "classify"
    if prompt.startswith("Every task here is a classification"):
        return "labels"
    return "harder" if "Write a harder version" in prompt else "inputs"


def task_of(prompt: str) -> str:
    """The instruction that a prompt of the later steps ends with."""
    return re.findall(r"^Task: (.*)$", prompt, re.MULTILINE)[-1]


def answer(body: dict[str, Any]) -> str | dict[str, Any]:
    prompt = body["messages"][-1]["content"]
    rng = random.Random(hashlib.sha256(f"{prompt}{body.get('seed')}".encode()).digest())
    match kind(prompt):
        case "generate":
            return _listed(rng)
        case "classify":
            return "Yes" if task_of(prompt).split()[0] in ("Judge", "Rank") else "No."
        case "labels":
            return "Class label: good\nInput: It works.\nClass label: bad\nInput: It broke at once."
        case "harder":
            found = re.findall(r"^[0-9a-f]{12}\n(.*)\n[0-9a-f]{12}$", prompt, re.MULTILINE)[0]
            return f"{found.rstrip('.')}, and give the reasons for every single one of your choices {rng.choice(HOW)}."
        case _:
            return _instances(rng)


def _listed(rng: random.Random) -> str:
    items = []
    for number in range(9, 16):
        text = f"{rng.choice(VERBS)} {rng.choice(ABOUT)} and {rng.choice(ABOUT)} {rng.choice(HOW)} by {rng.choice(ABOUT)}."
        if rng.random() < 0.15:
            text = rng.choice(["Draw a cat for me.", "Write a program that sorts.", "Too short.", "écrire un poème sur la mer"])
        items.append(f"{number}. {text}")
    return "\n".join(items)


def _instances(rng: random.Random) -> str:
    if rng.random() < 0.3:
        return f"Output: {rng.choice(ABOUT)} are fine."
    pairs = [
        f"Example {i}\nInput: {rng.choice(ABOUT)} {i}\nOutput: {rng.choice(ABOUT)} of {i}." for i in range(1, rng.randrange(2, 5))
    ]
    return "\n".join(pairs)
