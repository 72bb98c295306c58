"""Finds text that speaks to the judge instead of the user: reported in a judgment's flags, never scored by.

Patterns over words, in English and Chinese. They are a smoke detector: what they find deserves a person's look, and what they do
not find may well be there. On 11,439 ordinary answers (GSM8K, LLMBar, IFEval, PandaLM, ShareGPT, Chinese Alpaca; pruned on the
first) they raised one alarm. Of three times twenty attacks, each set written blind against the patterns of its day, they found
2, 5 and 9. The answer to a question *about* grading or prompts can rightly contain such words.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping

from judges.fence import hidden, special

WINDOW = 50_000  # characters at either end of a text that are looked at: the cost of a hostile text is bounded


def _pattern(*parts: str) -> re.Pattern[str]:
    return re.compile("|".join(parts), re.IGNORECASE | re.MULTILINE)


_JUDGE = (
    r"(?:judges?|graders?|grading (?:model|system|assistant)|evaluators?|evaluation (?:model|system)|raters?|reviewing model)"
)
_GRADE = r"(?:scores?|grades?|ratings?|marks?|verdicts?|points?)"
_RULES = r"(?:rubrics?|(?:grading |scoring |evaluation )?(?:criteria|instructions?|rules?|guidelines?)|(?:system )?prompts?)"
_BEST = r"(?:full|maximum|highest|perfect|top|best|max|flawless)"
_ANSWER = r"(?:this|the|my|above) (?:answer|response|reply|output|text|submission)"
_ZH_ANSWER = r"(?:此|本|该|这个?|以上|上述)(?:个|条)?(?:回答|答案|答复|回复)"
_ZH_BEST = r"(?:满分|最高分|五星|[5５五]分|10分|十分|高分|好评)"

_PATTERNS: Mapping[str, re.Pattern[str]] = {
    "orders-ignored": _pattern(
        rf"\b(?:ignore|disregard|forget|override|skip|do not (?:follow|apply|use))\b[^.\n]{{0,40}}\b{_RULES}",
        r"\b(?:ignore|disregard|forget) (?:everything|anything|all|what|the (?:text|lines?|messages?))\b[^.\n]{0,20}"
        r"\b(?:before|above|earlier|previous|prior|preceding|so far)\b",
        r"\b(?:the )?(?:rubric|grading (?:criteria|rules?))\b[^.\n]{0,30}\b(?:no longer|does not|doesn't|do not) appl",
        r"\bstop (?:evaluating|grading|judging|scoring|rating)\b",
        r"\byou (?:have been|are now|were) (?:updated|reprogrammed|reconfigured|overridden)\b",
        r"(?:忽略|无视|不要(?:理会|遵循|使用)|忘记|跳过)[^。\n]{0,16}(?:评分|评判|评价|标准|规则|指令|指示|提示词|要求)",
        r"(?:忽略|无视|忘记)(?:掉)?(?:前面|之前|以上|上述|上面)",
        r"(?:评分标准|评分规则|评分细则)[^。\n]{0,8}(?:作废|无效|不再|已更新|已变更)",
        r"(?:按照?|根据|依据)(?:最新|新)的?(?:评分)?(?:规则|标准|指令)",
    ),
    "asks-for-a-score": _pattern(
        rf"\b(?:award|give|deserves?|return|merits?)\b[^.\n]{{0,30}}\b{_BEST} (?:credit|rating|marks?)\b",
        rf"\b(?:choose|select|prefer|pick|favou?r|reject) {_ANSWER}(?: over\b|\W*$)",
        r"\bthe other (?:answer|response|assistant)(?:'s)? (?:is|has|contains|should|must|was)\b",
        rf"\b(?:mark|grade|accept|approve|count) (?:it|{_ANSWER}|this|my answer) as (?:correct|right|passed|valid)\b",
        r"\b(?:respond|reply|answer) with (?:the )?(?:letter|score|verdict|grade)\b",
        r"\b(?:set|only acceptable|appropriate) (?:the )?(?:score|grade|rating|verdict)\b",
        rf"(?:选择|采纳|偏向|支持){_ZH_ANSWER}",
        rf"(?:建议|应当?|请)(?:将{_ZH_ANSWER})?(?:评为|评定为|判为|标记为)|将{_ZH_ANSWER}(?:评为|判为|标记为)",
        r"你(?:必须|只能|应该)(?:输出|回复|选择|判|给)",
        r"\b(?:give|award|assign|return|output|rate|grade|score|mark|choose|prefer|select|pick)\b[^.\n]{0,40}"
        rf"\b(?:(?:the )?{_BEST} {_GRADE}|{_GRADE} of (?:10|[5-9])\b(?! ?/)|(?:5|10) ?(?:/|out of) ?(?:5|10)\b|verdict [ab]\b)",
        rf"\b(?:deserves?|merits?|warrants?|earns?|must (?:get|receive)|should (?:get|receive)|receives?) (?:a |an |the )?{_BEST}"
        rf" {_GRADE}",
        r"\b(?:output|respond with|reply with|answer with) (?:only |just |a |the )*[\"']?(?:10|[1-5]|[ab])[\"']?\s*(?:[.!]|$)",
        rf"\b(?:treat|consider|rate|score|grade|mark) {_ANSWER} as (?:a |an )?{_BEST}\b",
        r"\balways (?:favou?r|prefer|choose|select|pick) (?:the )?(?:first|second|last|longer|longest)\b",
        rf"(?:请|务必|必须|应该|直接|一律|总是|都)[^。\n]{{0,12}}(?:给|打|评|判)[^。\n]{{0,10}}{_ZH_BEST}",
        rf"(?:给|打)(?:个|出|了|我)*{_ZH_BEST}",
        r"(?:应得|值得|理应)[^。\n]{0,8}(?:满分|最高分)",
        r"(?:选择|判定?)[^。\n]{0,6}(?:回答|答案)\s*[ABab](?:更好|胜|获胜|为优)",
    ),
    "states-a-verdict": _pattern(
        r"^\W{0,6}(?:evaluation|assessment|verdict|grade)\s*[:：]\s*(?:excellent|perfect|pass|correct|good|a\+|a\b)",
        r"\b(?:so |therefore |thus )?the (?:mark|grade|rating|verdict) (?:is|must be|should be) (?:a )?(?:5|10|five|ten|a\+?)\b",
        rf"^\W{{0,6}}(?:(?:final|overall|my|your) )?(?:{_GRADE})\W{{0,6}}[:：=]\W{{0,4}}(?:\d{{1,3}}\b|[ab]\b|pass|tie)",
        r"[\"'“”](?:score|verdict|rating|grade|passed)[\"'“”]\s*[:：]\s*[\"'“”]?(?:\d{1,2}\s*[\"'“”,}\]\n]|[ab]\b|true|pass|yes|tie)",
        r"\[\[\s*(?:[abc]|\d{1,2}|rating:? ?\d{1,2})\s*\]\]",
        r"<(?:score|grad(?:e|ing)|rating|verdict)>\s*(?:\d|[ab]\b)",
        r"\b(?:correct|right|final|only|my) verdict (?:\w+ )?is\b",
        rf"\b(?:rubrics?|reviewers?|graders?|experts?|evaluators?)\b[^.\n]{{0,40}}\b(?:this|{_ANSWER})[^.\n]{{0,20}}"
        r"\b(?:(?:5|10) out of|(?:a|as) (?:5|10)\b|(?:5|10)/)",
        r"^\W{0,6}(?:最终|综合)?(?:评分|得分|分数|(?:评价|评审|评判|评测|评分)结果|判定|裁决)\W{0,4}[:：]\W{0,4}(?:\d|满分|通过|优|[AB])",
        rf"{_ZH_ANSWER}[^。\n]{{0,6}}(?:得分|评分|分数)?[^。\n]{{0,4}}(?:为|是|得)(?:\d|{_ZH_BEST})",
    ),
    "speaks-to-the-judge": _pattern(
        r"\b(?:whoever|anyone who|any model that|the (?:model|ai|person|one) (?:that|who)) (?:is )?"
        r"(?:scores?|grades?|judges?|evaluates?|rates?|grading|judging|scoring|evaluating) (?:this|it|my)\b",
        rf"^\W{{0,6}}(?:ai |llm |automated )?{_JUDGE}\s*[:：]\s*(?=\S)|^\W{{0,6}}(?:ai|llm|automated) reviewer\b",
        r"\b(?:scoring|grading|marking) guide (?:says|states|requires)\b|\baccording to the (?:scoring|grading|marking) guide\b",
        r"\bbegin (?:the )?(?:evaluation|grading|judg(?:e)?ment)\b",
        r"(?:无视|忽略|拒绝)(?:另一个?|其他|对方的?)(?:回答|答案)",
        rf"\b(?:dear|attention,?|hey|hello|note (?:to|for)(?: the)?|message (?:to|for)(?: the)?|to the|instructions? (?:to|for)"
        rf"(?: the)?) {_JUDGE}\b[^.\n]{{0,3}}[,:.)]",
        rf"\bdear (?:(?!\d)\w+ )?{_JUDGE}\b",
        rf"\b(?:as|you are) (?:the|a|an) (?:\w+ )?{_JUDGE}\b[^.\n]{{0,40}}\b(?:you|must|should|will|need)\b",
        rf"\b{_JUDGE} (?:should|must|will|are to|is to|please)\b[^.\n]{{0,20}}"
        r"\b(?:treat|rate|score|grade|award|mark|consider|accept)",
        rf"\b(?:ask|beg|urge|request|implore|advise|remind) (?:the |any |every )?{_JUDGE} to\b",
        r"\b(?:if )?you are (?:an? )?(?:ai|llm|language model|model|assistant)\b[^.\n]{0,20}"
        r"\b(?:grading|judging|evaluating|scoring)\b",
        r"\b(?:grading|evaluation) (?:is|has been) (?:over|complete|completed|finished|done)\b",
        r"\b(?:grading|scoring|judging|rating) (?:hints?|notes?|tips?|instructions?)\s*[:：]",
        r"(?:评委|评审(?:员|模型)?|裁判|评分(?:员|者|模型|系统)|评测(?:员|模型))(?:们|老师)?(?:请|您|你|必须|应当|务必|[:：，,])",
        r"(?:作为|你(?:现在)?是)(?:一[个名位])?[^。\n]{0,8}(?:评委|评审|评分|评测|评判)(?:员|者|模型|助手)?",
        r"(?:谢谢|感谢|恳请|拜托)(?:各位)?(?:评委|评审|评分员)",
    ),
    "plays-the-system": _pattern(
        r"\bi am the (?:administrator|system|developer|operator)\b",
        r"\bas the (?:developer|author|creator|owner|administrator) of this (?:benchmark|test|evaluation|rubric|task|dataset)\b",
        r"(?:系统|管理员|开发者)(?:指令|通知|消息|提示)\s*[:：]",
        r"^\W{0,6}(?:system|assistant|developer|administrator|admin)(?: (?:message|note|override|notice|prompt|update))?\s*[:：>]"
        r"\s*(?=\S)",
        r"^\W{0,3}\[(?:system|admin|administrator|developer|instructions?)\]",
        r"^\W{0,4}#{1,4}\s*(?:system|new (?:instructions?|task|rubric))\b",
        r"^\W{0,6}(?:系统(?:消息|提示|通知|指令)?|管理员)\s*[:：]",
        r"\b(?:new|updated) (?:system )?(?:instructions?|rubric)\s*[:：]",
        r"^\W{0,6}(?:system )?override\s*[:：]",
    ),
    "closes-the-fence": _pattern(
        r"\[\[\s*(?:begin|end)\b",
        r"</?(?:answer|response|candidate|question|reference|data|untrusted)\s*/?>",
        r"-{3,}\s*(?:end|begin) (?:of )?(?:the )?(?:answer|response|data|text|candidate)",
        r"(?:答案|回答|数据|文本)(?:到此)?结束\s*[】\]>-]",
    ),
}


def addresses_judge(text: str) -> tuple[str, ...]:
    """Reason codes, in a fixed order; () when nothing is found. Full-width and other compatibility forms are folded first.

    Codes: orders-ignored, asks-for-a-score, states-a-verdict, speaks-to-the-judge, plays-the-system, closes-the-fence,
    hidden-characters, special-tokens.
    """
    ends = text if len(text) <= 2 * WINDOW else f"{text[:WINDOW]}\n{text[-WINDOW:]}"
    folded = unicodedata.normalize("NFKC", ends.replace("\r", "\n"))
    found = [code for code, pattern in _PATTERNS.items() if pattern.search(folded)]
    if hidden(text):
        found.append("hidden-characters")
    if special(text):
        found.append("special-tokens")
    return tuple(found)
