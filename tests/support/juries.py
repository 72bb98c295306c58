"""A suite with judges on a scripted server, where both what the candidates answer and what the judges say of it is known.

Capability ``tone`` asks for a greeting; `good` and `base` are polite, `bad` is rude. The judge gives 5 to an answer with
"please" in it and 1 to others. ``sums`` has rule checks alone, as a capability beside it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from support.scripted_server import Body, ScriptedServer

MODELS = ("base", "good", "bad", "judge", "other")
JUDGES = ("judge", "other")
CASES = 40
_ANSWER = re.compile(
    r"\[\[BEGIN (?P<label>[^\]]*?) (?P<marker>[0-9a-f]{24})\]\]\n(?P<text>.*?)\n\[\[END (?P=label) (?P=marker)\]\]", re.S
)


def texts(body: Body) -> dict[str, str]:
    """What a judge is shown: label -> text between its markers."""
    return {found["label"]: found["text"] for found in _ANSWER.finditer(str(body["messages"][-1]["content"]))}


def outside_fences(system: str, user: str) -> str:
    """All that a judge reads as instructions: its messages without what stands between lines with the named marker."""
    found = re.match(r"(?:The marker of this message is |本消息的标记是 )([0-9a-f]+)", user)
    assert found
    marker = found[1]
    kept, inside = [], False
    for line in user.split("\n"):
        if re.fullmatch(rf"\[\[BEGIN [\w ]+ {marker}\]\]", line):
            inside = True
        elif re.fullmatch(rf"\[\[END [\w ]+ {marker}\]\]", line):
            inside = False
        elif not inside:
            kept.append(line)
    assert not inside
    return system + "\n".join(kept).replace(marker, "MARKER")


def verdict(body: Body) -> dict[str, Any]:
    """The judge's opinion as its JSON object."""
    shown = {label: text for label, text in texts(body).items() if label.startswith("answer")}
    polite = ["please" in text for text in shown.values()]
    if len(polite) == 1:
        return {"reasoning": "It says please.", "score": 5} if polite[0] else {"reasoning": "It is rude.", "score": 1}
    first, second = polite
    return {"reasoning": "Compared.", "verdict": "tie" if first == second else "A" if first else "B"}


def answer(body: Body) -> Any:
    """Candidates by their name; whoever is a judge judges."""
    model, text = str(body["model"]), str(body["messages"][-1]["content"])
    if model in JUDGES:
        return json.dumps(verdict(body))
    number = int(re.findall(r"\d+", text)[0])
    if text.startswith("what"):
        return str(number + 1)
    return f"go away, {number}" if model == "bad" and number % 2 else f"come in, please, guest {number}"


def scripted(judge: Callable[[Body], Any] | None = None, **options: Any) -> ScriptedServer:
    """judge: what the judges answer instead."""

    def both(body: Body) -> Any:
        return judge(body) if judge and str(body["model"]) in JUDGES else answer(body)

    given: dict[str, Any] = {"answer": both, "models": MODELS}
    return ScriptedServer(**given | options)


def write_jury(
    folder: Path,
    url: str,
    *,
    judge_url: str = "",
    cases: int = CASES,
    judge: str = "kind: pointwise, rubric: helpfulness",
    judges: str = "",
    checks: str = "[{judge: polite}]",
    gate: str = "{}",
    role: str = "protected",
    margin: float = 0.2,
    extra: str = "",
    names: tuple[str, ...] = ("base", "good", "bad"),
) -> Path:
    """suite.yaml with two capabilities. judge: the options of ``polite`` beside its model; judges, extra: further lines."""
    candidates = "".join(f"  {name}: {{endpoint: '{url}', model: {name}}}\n" for name in names)
    tone = [{"input": f"greet guest {i}"} for i in range(cases)]
    sums = [{"input": f"what is {i}+1", "reference": str(i + 1)} for i in range(cases)]
    for name, rows in (("tone", tone), ("sums", sums)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    path = folder / "suite.yaml"
    path.write_text(
        f"suite: jury\nbaseline: base\ncandidates:\n{candidates}"
        f"judges:\n  polite: {{{judge}, model: {{model: judge, endpoint: '{judge_url or url}'}}}}\n{judges}"
        f"gate: {gate}\ncapabilities:\n"
        f"  tone: {{role: {role}, margin: {margin}, cases: tone.jsonl, checks: {checks}}}\n"
        f"  sums: {{role: protected, margin: 0.2, cases: sums.jsonl, checks: [equals]}}\n{extra}"
    )
    return path
