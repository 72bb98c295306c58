"""Entities of the quickstart, and which split each of them belongs to.

Every generated row is about one or two entities: a person, a thing, a date, a Chinese good. An entity belongs to train, dev or
gate by a hash of its text, for ever and everywhere, so a gate case never shares its entity with a row that was trained on,
whatever the seed or the number of rows. The sentences around the entities are shared: they are the skill.
"""

from __future__ import annotations

import datetime
import hashlib
from functools import cache
from typing import Literal

Part = Literal["train", "dev", "gate"]
PARTS: tuple[Part, ...] = ("train", "dev", "gate")


def _listed(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_TRAIN, _DEV = 60, 12  # per cent of the entities; the rest (28) is the gate's

_FIRST_NAMES = _listed(
    """Anna Omar Lena Ivan Mina Paul Rosa Hugo Nina Karl Sara Tom Eva Max Lucy Finn Maya Jan Ella Noah Olga Ben Ida Leo
    Alma Cora Dina Emil Gina Igor Jade Kira"""
)
_LAST_NAMES = _listed(
    """Berg Costa Diaz Evans Fox Gray Hall Ito Jones Klein Lopez Moss Novak Ortiz Price Quinn Reed Silva Tran Unger Vega
    Wolf Young Zhao Adler Bauer Cruz Dunn Engel Frost Grant"""
)

_LOOKS = _listed(
    "red blue green black white small large round square plain striped soft heavy light wide narrow short long warm thin"
)
_THINGS = _listed(
    """mug lamp chair table jacket shirt pillow basket kettle bottle candle blanket towel mirror carpet teapot helmet wallet
    ladder hammer pencil marker folder printer monitor speaker charger camera tripod drone rug vase tray bowl spoon ladle
    bucket broom tent hammock cap coat glove sock belt scarf boot sandal ring clock"""
)

# Goods with their measure word, by family: a look, a kind, the word they are counted in.
_ZH_LOOKS = _listed("红 绿 黑 白 黄 紫 大 小 新 老 干 鲜 甜 香 冰 热 山 海 野 土 长 短 厚 薄")
_ZH_KINDS: dict[str, str] = {
    "茶": "杯",
    "豆浆": "杯",
    "咖啡": "杯",
    "苹果": "箱",
    "桃子": "箱",
    "葡萄": "箱",
    "梨": "箱",
    "橙子": "箱",
    "大米": "袋",
    "面粉": "袋",
    "花生": "袋",
    "豆子": "袋",
    "木耳": "袋",
    "糖果": "袋",
    "酒": "瓶",
    "油": "瓶",
    "醋": "瓶",
    "酱": "瓶",
    "果汁": "瓶",
    "鱼": "条",
    "毛巾": "条",
    "裤子": "条",
    "围巾": "条",
    "毛衣": "件",
    "外套": "件",
    "衬衫": "件",
    "书包": "个",
    "杯子": "个",
    "盘子": "个",
    "枕头": "个",
    "南瓜": "个",
    "面包": "个",
    "纸": "张",
    "地毯": "张",
    "桌子": "张",
    "椅子": "把",
    "雨伞": "把",
    "扇子": "把",
    "刀": "把",
    "笔": "支",
    "蜡烛": "支",
}


def part_of(entity: str) -> Part:
    """The split an entity belongs to: a fixed function of its text."""
    share = int.from_bytes(hashlib.sha256(entity.encode()).digest()[:4], "big") % 100
    if share < _TRAIN:
        return "train"
    return "dev" if share < _TRAIN + _DEV else "gate"


def _of(part: Part, entities: list[str]) -> tuple[str, ...]:
    return tuple(entity for entity in entities if part_of(entity) == part)


@cache
def names(part: Part) -> tuple[str, ...]:
    """People ("Anna Berg"): the names are known, which of them go together has to be copied."""
    return _of(part, [f"{first} {last}" for first in _FIRST_NAMES for last in _LAST_NAMES])


@cache
def things(part: Part) -> tuple[str, ...]:
    """Things a shop sells, in the singular ("striped mug")."""
    return _of(part, [f"{look} {thing}" for look in _LOOKS for thing in _THINGS])


@cache
def dates(part: Part) -> tuple[str, ...]:
    """Days of 1990-2039, ISO written; days after the 28th are left out so that every month is alike."""
    days = (datetime.date(y, m, d) for y in range(1990, 2040) for m in range(1, 13) for d in range(1, 29))
    return _of(part, [day.isoformat() for day in days])


@cache
def zh_goods(part: Part) -> tuple[tuple[str, str], ...]:
    """Chinese goods with the measure word they are counted in: ("绿茶", "杯")."""
    goods = [(look + kind, measure) for kind, measure in _ZH_KINDS.items() for look in _ZH_LOOKS]
    return tuple((good, measure) for good, measure in goods if part_of(good) == part)


def zh_number(n: int) -> str:
    """1-99 in Chinese numerals: 12 -> 十二, 20 -> 二十, 35 -> 三十五."""
    digits = "零一二三四五六七八九"
    tens, units = divmod(n, 10)
    head = "" if tens == 0 else "十" if tens == 1 else digits[tens] + "十"
    return head + (digits[units] if units or not tens else "")
