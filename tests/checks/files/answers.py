"""Functions as a user's suite would bring them; the examples of the python check call them."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any


@dataclass
class Mark:
    value: float
    explanation: str = "by hand"


def polite(text: str, case: Any) -> bool:
    return "please" in text


def length_of_ten(text: str, case: Any) -> float:
    return len(text) / 10


def mapping(text: str, case: Any) -> dict[str, Any]:
    return {"score": 0.25, "explanation": "a quarter"}


def abstains(text: str, case: Any) -> dict[str, Any]:
    return {"score": 1.0, "unscored": "Needs a human"}


def crashes(text: str, case: Any) -> float:
    return 1 / 0


def exits(text: str, case: Any) -> float:
    sys.exit(1)


def forgets(text: str, case: Any) -> None:
    text.strip()


def nan(text: str, case: Any) -> float:
    return float("nan")


def as_score(text: str, case: Any) -> Mark:
    return Mark(float(text == case.reference))


async def waits(text: str, case: Any) -> bool:
    return True


def lonely() -> bool:
    return True
