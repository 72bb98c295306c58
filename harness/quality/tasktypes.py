"""What kind of task a row is, by rules: words that ask for it and the structure of the answer. English and Chinese.

Rules are tried in order, the most particular first, and the first that fits names the row; what none fits is ``other``. They are
rough on purpose: a distribution needs shares, and a row that is both translation and code is one of them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

import regex

from harness.quality.examples import Example, Kind

OTHER = "other"
MOST_CHARS = 2000  # so much of a question and of an answer is looked at


@dataclass(frozen=True, slots=True)
class Seen:
    """A row as the rules see it: the last question and the answer, lower-cased questions, both cut."""

    example: Example
    asked: str
    answer: str


@dataclass(frozen=True, slots=True)
class Rule:
    """name: the task type. what: what it is in words. fits: whether a row is of it."""

    name: str
    what: str
    fits: Callable[[Seen], bool]


def _words(pattern: str, *, start: bool = False) -> Callable[[Seen], bool]:
    """Whether the question has one of these (start: within its first 120 characters, where tasks are named)."""
    found = regex.compile(pattern)
    return lambda seen: found.search(seen.asked[:120] if start else seen.asked) is not None


def _either(*tests: Callable[[Seen], bool]) -> Callable[[Seen], bool]:
    return lambda seen: any(test(seen) for test in tests)


def _tools(seen: Seen) -> bool:
    return bool(seen.example.tools) or any(turn.tool_calls or turn.role == "tool" for turn in seen.example.turns)


def _json(seen: Seen) -> bool:
    text = seen.answer.strip()
    if text[:1] not in "{[" or not text:
        return False
    try:
        return isinstance(json.loads(seen.example.output_text), dict | list)
    except (ValueError, RecursionError):
        return False


def _code(seen: Seen) -> bool:
    return "```" in seen.answer and regex.search(r"```\s*(?:\w+\s*)?\n[^`]*[({;=]", seen.answer) is not None


def _formula(seen: Seen) -> bool:
    return regex.search(r"\d\s*[-+*/×÷=^]\s*\d", seen.asked) is not None


_ASKS_CODE = _words(
    r"\b(?:python|javascript|typescript|java|c\+\+|sql|html|css|regex|bash|code|function|program|script"
    r"|algorithm|debug|compile)\b"
    r"|代码|编程|程序|函数|算法|脚本"
)
_ASKS_MATH = _words(
    r"\b(?:calculate|compute|solve|equation|how (?:many|much)|sum of|average|probability|percent|integral"
    r"|derivative|multiply|divide)\b"
    r"|计算|求解|方程|多少|概率|平均|积分|导数|乘以|除以"
)

RULES: tuple[Rule, ...] = (
    Rule("document", "plain text without a question", lambda seen: seen.example.kind is Kind.TEXT),
    Rule("tool use", "functions are offered or called", _tools),
    Rule(
        "identity",
        "asks the assistant about itself",
        _words(
            r"\bwho (?:are|made|created|developed|trained) you|your name|are you (?:an? )?(?:ai|chatgpt|human|robot"
            r"|bot)|introduce yourself|你是谁|你叫什么|介绍.{0,4}你自己|谁(?:开发|创造|训练)了?你"
            r"|about yourself|your (?:creator|developer|maker)|你的?(?:名字|作者|开发者|创造者|身份)|是真人|是机器人",
            start=True,
        ),
    ),
    Rule(
        "translation",
        "from one language into another",
        _words(r"\btranslat|into (?:english|chinese|french|german|spanish|japanese)|翻译|译成|译为"),
    ),
    Rule(
        "summary",
        "long text into short",
        _words(r"\bsummar|\btl;?dr\b|key (?:points|takeaways)|in (?:one|a few) sentences?|总结|概括|摘要|归纳|概述"),
    ),
    Rule(
        "classification",
        "one label of several",
        _words(
            r"\bclassif|categor(?:ize|ise|y of)|sentiment|which of the following|true or false|(?:yes or no)"
            r"|is (?:this|the following) .{0,40}(?:positive|spam)|分类|归类|情感|判断.{0,12}(?:是否|对错|正误|类)"
            r"|属于哪",
            start=True,
        ),
    ),
    Rule(
        "extraction",
        "facts out of a text, or into a structure",
        _either(
            _words(
                r"\bextract|identify (?:all|the) |list (?:all )?the .{0,30} (?:in|from) the|named entit|提取|抽取|找出"
                r"|识别.{0,10}(?:实体|关键)"
            ),
            _json,
        ),
    ),
    Rule(
        "code",
        "programs",
        _either(_code, lambda seen: _ASKS_CODE(seen) and regex.search(r"[{};]|\bdef |\breturn\b|</", seen.answer) is not None),
    ),
    Rule(
        "math",
        "sums, equations, word problems",
        _either(_formula, lambda seen: _ASKS_MATH(seen) and regex.search(r"\d", seen.asked + seen.answer) is not None),
    ),
    Rule(
        "rewriting",
        "another form of a text that is given",
        _words(
            r"\b(?:rewrite|rephrase|paraphrase|edit|proofread|correct|fix|improve|simplify|convert|change|make) (?:the"
            r"|this|these|it|following|my|a sentence)|改写|重写|润色|修改|纠正|改正|改成|简化|换成"
            r"|去掉|删除|替换|更改|转换|改变|重[新组]|编辑|\bremove|\breplace|\breorder|\brearrange",
            start=True,
        ),
    ),
    Rule(
        "creative",
        "stories, poems, slogans, scripts",
        _words(
            r"\b(?:story|poem|haiku|lyrics|song|fiction|dialogue between|slogan|tagline|joke|limerick|novel|screenplay"
            r"|imagine)\b|故事|诗|歌词|小说|口号|标语|笑话|剧本|想象|创作"
        ),
    ),
    Rule(
        "writing",
        "letters, mails, essays, posts",
        _words(
            r"\b(?:write|draft|compose|create) (?:an?|the|me) .{0,40}(?:email|letter|essay|article|blog|post|report"
            r"|description|review|speech|paragraph|caption|ad)\b|写一(?:封|篇|段|份|则)|邮件|作文|文章|演讲稿|文案"
            r"|^\W*(?:please )?(?:write|draft|compose|generate|construct|come up with|produce)\b"
            r"|造句|句子|写(?:一|出|下|几)|[编撰]写|(?:创建|构建|生成|构造|制作)一|回复",
            start=True,
        ),
    ),
    Rule(
        "list",
        "several ideas or items",
        _words(
            r"\b(?:list|name|give(?: me)?|suggest|provide|generate|brainstorm) (?:me )?(?:\d+|some|several|three|four"
            r"|five|ten|a (?:list|few))\b|\bideas? for|列出|列举|举例|给出.{0,6}(?:个|种|条)|\d+个|建议"
            r"|[两二三四五六七八九十几]\s?[个种件点条位项]|名称",
            start=True,
        ),
    ),
    Rule(
        "how-to",
        "steps to get something done",
        _words(
            r"\bhow (?:to|do|can|should|would) |step[- ]by[- ]step|\bsteps? (?:to|for)|guide|recipe|plan (?:a|for)"
            r"|如何|怎么|怎样|步骤|方法|指南|计划"
        ),
    ),
    Rule(
        "explanation",
        "why and what it means",
        _words(
            r"\b(?:explain|describe|why|what (?:is|are) the (?:difference|meaning|purpose|cause|effect|benefit"
            r"|advantage)|compare|define|elaborate|analy[sz]e|discuss)|解释|描述|说明|为什么|分析|比较|区别|定义|含义"
            r"|阐述|讨论|意义"
        ),
    ),
    Rule(
        "question",
        "a fact is asked for",
        _words(
            r"^\W*(?:what|who|whom|when|where|which|whose|is|are|was|were|do|does|did|can|could|will|has|have)\b"
            r"|[?？]\s*$|什么|哪|谁|几|吗[？?。]?\s*$"
        ),
    ),
    Rule(
        "conversation",
        "small talk and role play",
        _words(
            r"^\W*(?:hi|hello|hey|thanks|thank you|good (?:morning|evening))\b|\b(?:act as|pretend|role ?play"
            r"|you are an? )|[你您]好|[早中下晚][上午]?好|嗨|谢谢|再见|扮演|假设你是|请你作为"
        ),
    ),
)


def task_type(example: Example) -> str:
    """The name of the first rule that fits, or ``other``."""
    seen = Seen(example, example.instruction[:MOST_CHARS].lower(), example.output_text[:MOST_CHARS])
    return next((rule.name for rule in RULES if rule.fits(seen)), OTHER)


def known_types() -> list[str]:
    return [*(rule.name for rule in RULES), OTHER]
