"""private: personal data and secrets: e-mail, phone, card, IBAN, Chinese identity numbers, keys.

Numbers with a check digit are checked (Luhn for cards, ISO 7064 mod 97-10 for IBAN, mod 11-2 for identity numbers of GB 11643),
so that an order number is no card. What was found is told by its ends only: a report must not spread it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import regex

from harness.quality.checks.base import DataCheckType, Found, Level, Sample, Settings, each_row, hinted, parts
from harness.quality.examples import Example

_DIGIT = re.compile(r"\d")
_NUMBER = re.compile(r"\+\d|(?:\d[ .()-]{0,2}){9}\d|[A-Z]{2}\d{2}")  # nothing shorter is a number of anybody's
_KEY_HINTS = ("-----BEGIN", "sk-", "AKIA", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "hf_", "xox", "AIza")
_EMAIL = regex.compile(r"(?<![\w.+-])[\w.+-]{1,64}@(?:[\w-]{1,63}\.)+[a-zA-Z]{2,24}(?!\w)")
_EXAMPLE_HOSTS = ("example.com", "example.org", "example.net", "test.com", "domain.com", "email.com")
_PHONE = regex.compile(
    r"(?<![\d+.-])(?:\+\d{1,3}[ .-]?(?:\(\d{1,4}\)[ .-]?)?\d{2,4}(?:[ .-]?\d{2,4}){2,3}"  # international
    r"|\(\d{3}\) ?\d{3}-\d{4}|\d{3}-\d{3}-\d{4}"  # North America
    r"|1[3-9]\d{9})(?![\d.-]*\d)"  # Chinese mobile
)
_CARD = regex.compile(r"(?<![\d.-])(?:\d[ -]?){12,18}\d(?![\d-])")
_IBAN = regex.compile(r"(?<![A-Z0-9])[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?![A-Z0-9])")
_CHINESE_ID = regex.compile(r"(?<!\d)[1-9]\d{5}(?:18|19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])\d{3}[\dXx](?!\d)")
_KEY = regex.compile(
    r"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----|(?<![A-Za-z0-9])(?:sk-(?:proj-|ant-)?[A-Za-z0-9_-]{20,}|AKIA[0-9A-Z]{16}"
    r"|gh[pousr]_[A-Za-z0-9]{36,}|hf_[A-Za-z0-9]{30,}|xox[abprs]-[A-Za-z0-9-]{20,}|AIza[0-9A-Za-z_-]{35})(?![A-Za-z0-9])"
)


def luhn(digits: str) -> bool:
    """Whether the last digit checks the others (ISO/IEC 7812-1)."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def iban(text: str) -> bool:
    """Whether an IBAN's check digits fit (ISO 13616: mod 97 of the rearranged number is 1)."""
    compact = text.replace(" ", "")
    if not 15 <= len(compact) <= 34:
        return False
    return int("".join(str(int(letter, 36)) for letter in compact[4:] + compact[:4])) % 97 == 1


def chinese_id(text: str) -> bool:
    """Whether the check character of an 18-digit identity number fits (GB 11643: ISO 7064 mod 11-2)."""
    total = sum(int(digit) * pow(2, 17 - place, 11) for place, digit in enumerate(text[:17]))
    return "10X98765432"[total % 11] == text[17].upper()


def _card(text: str) -> bool:
    digits = regex.sub(r"\D", "", text)
    return digits[0] in "23456" and len(set(digits)) > 1 and luhn(digits)


def _real_email(text: str) -> bool:
    return not text.lower().endswith(_EXAMPLE_HOSTS)


def _always(text: str) -> bool:
    return True


_KINDS: tuple[tuple[str, str, regex.Pattern[str], Callable[[str], bool]], ...] = (
    ("secret", "a key or password", _KEY, _always),
    ("id-number", "an identity number", _CHINESE_ID, chinese_id),
    ("card", "a card number", _CARD, _card),
    ("iban", "an account number (IBAN)", _IBAN, iban),
    ("email", "an e-mail address", _EMAIL, _real_email),
    ("phone", "a phone number", _PHONE, _always),
)


def _look(example: Example, settings: Settings) -> Iterator[Found]:
    for name, turn in parts(example):
        text = turn.text
        digit = _DIGIT.search(text)
        number = digit is not None and _NUMBER.search(text, max(0, digit.start() - 2)) is not None
        hints = {"secret": hinted(text, _KEY_HINTS), "email": "@" in text}
        if not (number or hints["secret"] or hints["email"]):
            continue
        for code, what, pattern, holds in _KINDS:
            if not hints.get(code, number):
                continue
            match = next((match for match in pattern.finditer(text) if holds(match.group())), None)
            if match:
                yield Found(code, f"{name} has {what}: {_masked(match.group())}")
                text = pattern.sub(" ", text)  # an identity number is no phone number as well


def _masked(text: str) -> str:
    text = text.strip()
    return f"{text[:3]}...{text[-2:]} ({len(text)} characters)"


def _said(text: str) -> dict[str, object]:
    return {"prompt": "q", "completion": text}


DATA_CHECKS = (
    DataCheckType(
        name="private",
        version=1,
        summary="No personal data: e-mail, phone, card (Luhn), IBAN (checksum), Chinese identity number (checksum), keys.",
        codes={
            "secret": (Level.ERROR, "remove it, and have it revoked"),
            "id-number": (Level.ERROR, "remove or replace it"),
            "card": (Level.ERROR, "remove or replace it"),
            "iban": (Level.ERROR, "remove or replace it"),
            "email": (Level.WARNING, "remove or replace it, if it is a person's"),
            "phone": (Level.WARNING, "remove or replace it, if it is a person's"),
        },
        start=each_row(_look),
        examples=(
            Sample((_said("write to jo.doe+x@mail.acme.co.uk"), _said("see user@example.com and a@b")), ((1, "email"),)),
            Sample((_said("4111 1111 1111 1111"), _said("4111 1111 1111 1112"), _said("order 1234567890123")), ((1, "card"),)),
            Sample((_said("DE89 3704 0044 0532 0130 00"), _said("DE88 3704 0044 0532 0130 00")), ((1, "iban"),)),
            Sample((_said("身份证号11010519491231002X。"), _said("号码110105194912310021")), ((1, "id-number"),)),
            Sample(
                (
                    _said("+49 170 1234567"),
                    _said("(555) 123-4567"),
                    _said("电话13812345678"),
                    _said("2024-01-15, 3.14159, 1,234,567"),
                ),
                ((1, "phone"), (2, "phone"), (3, "phone")),
            ),
            Sample(
                (_said("AKIA" + "ABCDEFGHIJKLMNOP"), _said("sk-" + "a1" * 20), _said("-----BEGIN RSA " + "PRIVATE KEY-----")),
                tuple((i, "secret") for i in (1, 2, 3)),
            ),
            Sample(
                ({"prompt": "Chapter 3, 2024-01-15, 1,234,567.89, room 12-34", "completion": "version 1.2.3.4, 10:30-11:45"},)
            ),
            Sample(({"prompt": "mail me: a.b@c-d.org", "completion": "ok"},), ((1, "email"),)),
        ),
    ),
)
