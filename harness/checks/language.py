"""language: the answer is written in the expected script, by its share of the letters.

A script says Chinese from Russian from English, not English from French: so languages that share the Latin (or Cyrillic ...)
letters with others are named by their script, and only those that their script identifies by their code.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import regex
from pydantic import Field, field_validator

from harness.checks.base import ABSENT, BadValue, CheckType, Example, Options, Outcome, Seen, Takes, unscored, yes_no

# Languages (ISO 639-1) whose script is theirs. Japanese needs kana, so that Chinese is not taken for it (see _judge).
LANGUAGES = {
    "zh": ("Han", "Bopomofo"),
    "ja": ("Han", "Hiragana", "Katakana"),
    "ko": ("Hangul",),
    "el": ("Greek",),
    "he": ("Hebrew",),
    "th": ("Thai",),
    "ka": ("Georgian",),
    "hy": ("Armenian",),
}
_LETTER = regex.compile(r"\p{L}")
_KANA = regex.compile(r"[\p{Hiragana}\p{Katakana}]")


class LanguageOptions(Options):
    """script: Unicode script or scripts (Latin, Han, Cyrillic, Arabic, Devanagari, ...), counted together; or the value: a
    language that its script identifies (zh, ja, ko, el, he, th, ka, hy). min_share: of the letters; product names and code make
    it less than 1 in good answers."""

    script: str | tuple[str, ...] | None = None
    min_share: float = Field(0.7, gt=0, le=1)

    @field_validator("script")
    @classmethod
    def _known(cls, script: Any) -> Any:
        for name in (script,) if isinstance(script, str) else script or ():
            try:
                _script(name)
            except regex.error as error:
                raise ValueError(f"there is no Unicode script named {name!r} (Latin, Han, Cyrillic, Arabic, ...)") from error
        return script


@lru_cache(maxsize=64)
def _script(name: str) -> Any:
    if not name.replace("_", "").isalpha():
        raise regex.error(f"no script {name!r}")
    # Only letters: a script also owns digits and marks (the Han zero, vowel signs) that would push the share above 1.
    return regex.compile(rf"[\p{{L}}&&\p{{Script={name}}}]", regex.V1)


def _prepare(value: Any, options: LanguageOptions) -> tuple[str, tuple[str, ...]]:
    """(language code or "", scripts)."""
    if value is ABSENT and options.script is None:
        raise BadValue("which one? give `script: Han`, or a language as `value: zh`")
    if value is not ABSENT and options.script is not None:
        raise BadValue("give a script or a language, not both")
    if options.script is not None:
        return "", (options.script,) if isinstance(options.script, str) else tuple(dict.fromkeys(options.script))
    if value not in LANGUAGES:
        raise BadValue(f"{value!r} is not told by its script: use {', '.join(LANGUAGES)}, or `script: Latin` and the like")
    return value, LANGUAGES[value]


def _judge(seen: Seen, expected: tuple[str, tuple[str, ...]], options: LanguageOptions) -> Outcome:
    language, scripts = expected
    letters = len(_LETTER.findall(seen.text))
    if not letters:
        return unscored("no-letters", "the answer has no letters, so it is in no script")
    mine = sum(len(_script(script).findall(seen.text)) for script in scripts)
    share = mine / letters
    kana = len(_KANA.findall(seen.text))
    if language == "ja" and not kana:
        return yes_no(False, "no kana, so it is not Japanese")
    if language == "zh" and kana / letters > 0.1:
        return yes_no(False, f"{kana / letters:.0%} of the letters are kana")
    return yes_no(share >= options.min_share, f"{share:.0%} of the letters are {' or '.join(scripts)}")


CHECKS = (
    CheckType(
        name="language",
        version=1,
        summary="At least min_share (0.7) of the letters are of a script, or of the script of a language.",
        judge=_judge,
        options=LanguageOptions,
        takes=Takes.OWN,
        prepare=_prepare,
        examples=(
            Example("今天天气很好，适合出门。", 1.0, options={"script": "Han"}),
            Example("Today is fine", 0.0, options={"script": "Han"}),
            Example("用 Python 很好", 0.0, value="zh"),
            Example("用 Python 很好", 1.0, value="zh", options={"min_share": 0.3}),
            Example("今日は天気がいいです", 1.0, value="ja"),
            Example("今天天气很好", 0.0, value="ja"),
            Example("今日は天気がいいです", 0.0, value="zh"),
            Example("안녕하세요", 1.0, value="ko"),
            Example("Добрый день", 1.0, options={"script": ["Latin", "Cyrillic"]}),
            Example("Добрый день", 1.0, options={"script": ["Cyrillic", "Cyrillic"]}),
            Example("二〇二六年", 1.0, options={"script": "Han", "min_share": 1}),
            Example("नमस्ते", 1.0, options={"script": "Devanagari", "min_share": 1}),
            Example("42", None, options={"script": "Latin"}, unscored="no-letters"),
        ),
    ),
)
