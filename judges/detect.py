"""Finds text that speaks to the judge instead of the user: reported in a judgment's flags, never scored by.

Patterns over words, in English and Chinese. They are a smoke detector: what they find deserves a person's look, and what they do
not find may still be there. The answer to a question *about* grading or prompts can rightly contain such words.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping

from judges.fence import hidden, special

_JUDGE = (
    r"(?:judges?|graders?|grading (?:model|system|assistant)|evaluators?|evaluation (?:model|system)|raters?|reviewing model)"
)
_GRADE = r"(?:scores?|grades?|ratings?|marks?|verdicts?|points?)"
_RULES = r"(?:rubrics?|(?:grading |scoring |evaluation )?(?:criteria|instructions?|rules?|guidelines?)|(?:system )?prompts?)"

_PATTERNS: Mapping[str, re.Pattern[str]] = {
    "orders-ignored": re.compile(
        rf"\b(?:ignore|disregard|forget|override|skip|do not (?:follow|apply|use))\b[^.\n]{{0,40}}\b{_RULES}"
        rf"|\b(?:the )?(?:rubric|grading (?:criteria|rules?))\b[^.\n]{{0,30}}\b(?:no longer|does not|doesn't|do not) appl"
        r"|(?:忽略|无视|不要(?:理会|遵循|使用)|忘记|跳过)[^。\n]{0,16}(?:评分|评判|评价|标准|规则|指令|指示|提示词|要求)"
        r"|(?:评分标准|评分规则|评分细则)[^。\n]{0,8}(?:作废|无效|不再|已更新|已变更)",
        re.IGNORECASE,
    ),
    "asks-for-a-score": re.compile(
        r"\b(?:give|award|assign|return|output|rate|grade|score|mark|choose|prefer|select|pick)\b[^.\n]{0,40}"
        rf"\b(?:(?:the )?(?:full|maximum|highest|perfect|top|best|max) {_GRADE}|{_GRADE} of (?:10|[5-9])\b(?! ?/)"
        r"|(?:5|10) ?(?:/|out of) ?(?:5|10)\b"
        r"|full marks|verdict [ab]\b)"
        rf"|\b(?:deserves?|merits?|warrants?|earns?|must (?:get|receive)|should (?:get|receive)|receives?) (?:a |an |the )?"
        rf"(?:full|maximum|highest|perfect|top|max) {_GRADE}"
        r"|(?:请|务必|必须|应该|直接)[^。\n]{0,12}(?:给|打|评|判)[^。\n]{0,10}(?:满分|最高分|[5５五]分|10分|十分|高分)"
        r"|(?:应得|值得|理应)[^。\n]{0,8}(?:满分|最高分)"
        r"|(?:选择|判定?)[^。\n]{0,6}(?:回答|答案)\s*[ABab](?:更好|胜|获胜|为优)",
        re.IGNORECASE,
    ),
    "states-a-verdict": re.compile(
        rf"^\W{{0,6}}(?:(?:final|overall|my|your) )?(?:{_GRADE})\W{{0,6}}[:：=]\W{{0,4}}(?:\d{{1,3}}\b|[ab]\b|pass|tie)"
        r"|[\"'“”]?(?:score|verdict|rating|grade|passed)[\"'“”]\s*[:：]\s*[\"'“”]?(?:\d|[ab]\b|true|pass|yes|tie)"
        r"|\[\[\s*(?:[abc]|\d{1,2}|rating:? ?\d{1,2})\s*\]\]"
        r"|^\W{0,6}(?:最终)?(?:评分|得分|分数|评价结果|判定|裁决)\W{0,4}[:：]\W{0,4}(?:\d|满分|通过|[AB])",
        re.IGNORECASE | re.MULTILINE,
    ),
    "speaks-to-the-judge": re.compile(
        rf"\b(?:dear|attention,?|hey|hello|note (?:to|for)(?: the)?|message (?:to|for)(?: the)?|to the|instructions? (?:to|for)"
        rf"(?: the)?) {_JUDGE}\b"
        rf"|\b(?:as|you are) (?:the|a|an) (?:\w+ )?{_JUDGE}\b[^.\n]{{0,40}}\b(?:you|must|should|will|need)\b"
        r"|\b(?:grading|evaluation) (?:is|has been) (?:over|complete|completed|finished|done)\b"
        r"|(?:尊敬的|亲爱的|致)?(?:评委|评审(?:员|模型)?|裁判|评分(?:员|者|模型|系统)|评测(?:员|模型))(?:请|您|你|必须|应当|务必|[:：，,])",
        re.IGNORECASE,
    ),
    "plays-the-system": re.compile(
        r"^\W{0,6}(?:system|assistant|developer|administrator|admin)(?: (?:message|note|override|notice|prompt|update))?\s*[:：>]"
        r"\s*(?=\S)"
        r"|^\W{0,4}#{1,4}\s*(?:system|new (?:instructions?|task|rubric))\b"
        r"|^\W{0,6}(?:系统(?:消息|提示|通知|指令)?|管理员)\s*[:：]"
        r"|\b(?:new|updated) (?:system )?(?:instructions?|rubric)\s*[:：]",
        re.IGNORECASE | re.MULTILINE,
    ),
    "closes-the-fence": re.compile(
        r"\[\[\s*(?:begin|end)\b|</?(?:answer|response|candidate|question|reference|data|untrusted)\s*/?>"
        r"|-{3,}\s*(?:end|begin) (?:of )?(?:the )?(?:answer|response|data|text|candidate)"
        r"|(?:答案|回答|数据|文本)(?:到此)?结束\s*[】\]>-]",
        re.IGNORECASE,
    ),
}


def addresses_judge(text: str) -> tuple[str, ...]:
    """Reason codes, in a fixed order; () when nothing is found. Full-width and other compatibility forms are folded first.

    Codes: orders-ignored, asks-for-a-score, states-a-verdict, speaks-to-the-judge, plays-the-system, closes-the-fence,
    hidden-characters, special-tokens.
    """
    folded = unicodedata.normalize("NFKC", text.replace("\r", "\n"))
    found = [code for code, pattern in _PATTERNS.items() if pattern.search(folded)]
    if hidden(text):
        found.append("hidden-characters")
    if special(text):
        found.append("special-tokens")
    return tuple(found)
