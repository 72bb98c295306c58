"""language: the answer is written as the question is, or in the language that was asked for, by the script of its letters.

Scripts tell Chinese from Russian from English, not English from French (see harness.checks.language, whose table this uses). A
question that asks for another language (translation) is left alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import lru_cache

import regex

from harness.checks.language import LANGUAGES
from harness.errors import UsageError
from harness.plugs import nearest
from harness.quality.checks.base import DataCheckType, Found, Level, Sample, Settings, each_row
from harness.quality.examples import Example, Turns

MIN_LETTERS = 12  # fewer say nothing about a language
MIN_SHARE = 0.6
MOST_CHARS = 4000  # so much of a text is looked at
_CODE = regex.compile(r"```.*?(?:```|\Z)", regex.DOTALL)
_SCRIPTS = ("Latin", "Han", "Hiragana", "Katakana", "Hangul", "Cyrillic", "Arabic", "Devanagari", "Greek", "Hebrew", "Thai")
_NO_LETTERS = bytes(code for code in range(128) if not chr(code).isalpha())
_LETTERS_A_WORD = {"Han": 1.5, "Hiragana": 2, "Katakana": 3, "Hangul": 2.5}  # about; alphabets 4
_ABOUT = regex.compile(
    r"(?i)translat|in (?:english|chinese|french|german|spanish|japanese|korean|russian|arabic|hindi)"
    r"|翻译|译成|译为|英文|英语|中文|汉语|日语|韩语|переве|traduc|tradui|übersetz|pinyin|拼音"
)


@lru_cache(maxsize=100_000)
def _script_of(letter: str) -> str | None:
    """The script of a letter; None for other characters, and for letters of other scripts."""
    return next((name for name in _SCRIPTS if regex.match(rf"[\p{{L}}&&\p{{Script={name}}}]", letter, regex.V1)), None)


def main_script(text: str) -> str | None:
    """The script most words are of, reckoned from letters outside code; None when there are few letters or none prevails.

    Kana make a text Japanese whatever its share of Han.
    """
    text = text[:MOST_CHARS]
    text = _CODE.sub(" ", text) if "```" in text else text
    if text.isascii():
        return "Latin" if len(text.encode("ascii").translate(None, _NO_LETTERS)) >= MIN_LETTERS else None
    letters, found = 0, dict.fromkeys(_SCRIPTS, 0)
    for letter, count in Counter(text).items():
        if letter.isalpha():
            letters += count
            if script := _script_of(letter):
                found[script] += count
    if letters < MIN_LETTERS:
        return None
    words = {name: count / _LETTERS_A_WORD.get(name, 4) for name, count in found.items()}
    total = sum(words.values())
    if not total:
        return None
    shares = {name: count / total for name, count in words.items()}
    kana = shares.pop("Hiragana") + shares.pop("Katakana")
    if kana > 0.1:
        shares["Kana"] = kana + shares.pop("Han")
    name = max(shares, key=lambda key: shares[key])
    return name if shares[name] >= MIN_SHARE else None


def _look(example: Example, settings: Settings) -> Iterator[Found]:
    question = example.instruction
    for name, turns in (("the answer", example.answer), ("the rejected answer", example.refused)):
        said = main_script(_words(turns))
        if said is None:
            continue
        if settings.language is not None:
            if said not in _expected(settings.language) and name == "the answer":
                start = _words(turns).strip()[:30]
                yield Found("wrong-language", f"{name} is written in {said}, not in {settings.language}: {start!r}...")
        elif (asked := main_script(question)) and asked != said and not _ABOUT.search(question):
            yield Found("other-script", f"the question is written in {asked}, {name} in {said}")


def _words(turns: Turns) -> str:
    return "\n".join(turn.content for turn in turns if turn.role in ("assistant", "text"))


def known_language(name: str) -> None:
    """UsageError when no script is known by that name: a language code, or a script."""
    valid = [*LANGUAGES, *_SCRIPTS]
    if name not in valid:
        raise UsageError(f"--language {name!r} is not told by its script", todo=nearest(name, valid))


def _expected(language: str) -> tuple[str, ...]:
    if language == "ja":
        return ("Kana",)
    return LANGUAGES.get(language, (language,))


def _row(prompt: str, completion: str) -> dict[str, object]:
    return {"prompt": [{"role": "user", "content": prompt}], "completion": [{"role": "assistant", "content": completion}]}


_EN, _ZH = "Please tell me how the weather will be today.", "今天的天气很好，适合出门散步，也适合在家看书。"
_JA = "今日は天気がいいので、散歩に行きましょう。"

DATA_CHECKS = (
    DataCheckType(
        name="language",
        version=1,
        summary="The answer is in the script of the question, or of --language (zh, ja, ko, ...; Latin, Cyrillic, ...).",
        codes={
            "other-script": (Level.WARNING, "check that the answer belongs to the question"),
            "wrong-language": (Level.ERROR, "leave the row out, or have it translated"),
        },
        start=each_row(_look),
        examples=(
            Sample((_row(_EN, _EN), _row(_ZH, _ZH), _row(_JA, _JA), _row(_ZH, "42"))),
            Sample((_row(_EN, _ZH), _row(_ZH, _EN), _row(_ZH, _JA)), tuple((i, "other-script") for i in (1, 2, 3))),
            Sample(
                (_row(f"Translate into Chinese: {_EN}", _ZH), _row("请把下面这句话翻译成英文，并且说明理由：今天天气很好。", _EN))
            ),
            Sample((_row(_ZH, f"好的，代码如下，请查看说明并运行它：\n```python\n{_EN * 5}\n```"),)),
            Sample((_row(_EN, _EN), _row(_EN, _ZH)), ((1, "wrong-language"),), Settings(language="zh")),
            Sample((_row(_JA, _JA), _row(_JA, _ZH)), ((2, "wrong-language"),), Settings(language="ja")),
        ),
    ),
)
