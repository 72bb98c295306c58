"""JUnit XML for continuous integration: one suite a capability, one test a case of the gate, and one test for the verdict itself.

| what happened | in JUnit |
|---|---|
| a case broke (pass to fail), or fails with nothing to compare it with, or a must-pass case fails | failure |
| no score: infrastructure failed, or the answer could not be scored | error |
| never asked, fails in both runs (no news), verdict INCONCLUSIVE | skipped, with the reason |
| a waiver let it pass: the case itself, or a break in its capability | skipped, waived by whom, until when |
| everything else | passed |

A failing test is evidence, not the decision: a candidate may ship although single cases broke. Let the job fail by the exit code,
or by the test named "verdict". Times of cases are not known here, and an attribute is left out before it lies.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from xml.etree import ElementTree as ET

from harness.model import Outcome
from reports.nouns import CaseLine, CaseView, ReportView, State, WaiverView

_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_WAIVED_BREAK = (State.BROKEN, State.FAILED)
_WAIVED_CASE = (*_WAIVED_BREAK, State.BOTH_FAIL, State.UNSCORED, State.ERRORED, State.SKIPPED)
_KINDS = ("failure", "error", "skipped")


def render(view: ReportView) -> str:
    """The XML document as text. Strings are stripped of what XML cannot hold."""
    opened = {(case.capability, case.id): case for group in view.groups for case in group.cases}
    root = ET.Element("testsuites", name=_legal(f"harness {view.suite}"))
    _suite(root, "verdict", [_verdict_case(view)])
    used = {waiver.case or waiver.capability: waiver for waiver in view.waivers if waiver.state == "used"}
    by: dict[str, list[ET.Element]] = {}
    for line in view.cases:
        waiver = used.get(line.id) or (None if line.must_pass else used.get(line.capability))
        by.setdefault(line.capability, []).append(_case(view, line, opened.get((line.capability, line.id)), waiver))
    for capability, cases in by.items():
        _suite(root, capability, cases)
    for name in ("tests", "failures", "errors", "skipped"):
        root.set(name, str(sum(int(suite.get(name, "0")) for suite in root)))
    ET.indent(root, " ")
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _suite(root: ET.Element, name: str, cases: Iterable[ET.Element]) -> None:
    suite = ET.SubElement(root, "testsuite", name=_legal(name))
    suite.extend(cases)
    counts = [sum(case.find(kind) is not None for case in suite) for kind in _KINDS]
    suite.set("tests", str(len(suite)))
    for key, count in zip(("failures", "errors", "skipped"), counts, strict=True):
        suite.set(key, str(count))


def _element(view: ReportView, capability: str, name: str) -> ET.Element:
    return ET.Element("testcase", classname=_legal(f"{view.suite}.{capability}"), name=_legal(name))


def _add(case: ET.Element, kind: str, message: str, text: str = "") -> None:
    ET.SubElement(case, kind, message=_legal(message)).text = _legal(text) or None


def _verdict_case(view: ReportView) -> ET.Element:
    case = _element(view, "verdict", "verdict")
    text = "\n".join([*(reason.text for reason in view.reasons), *(waiver.line for waiver in view.waivers)])
    message = f"{view.headline}: {view.reasons[0].text if view.reasons else view.lead}"
    if view.infrastructure:
        _add(case, "error", message, text)
    elif view.outcome is Outcome.OPTIMIZE:
        _add(case, "failure", message, text)
    elif view.outcome is not Outcome.SHIP:
        _add(case, "skipped", message, text)
    elif view.waivers:
        ET.SubElement(case, "system-out").text = _legal("\n".join(waiver.line for waiver in view.waivers))
    return case


def _case(view: ReportView, line: CaseLine, opened: CaseView | None, waiver: WaiverView | None) -> ET.Element:
    case = _element(view, line.capability, line.id)
    must = line.must_pass and line.state in (State.BOTH_FAIL, State.FAILED, State.BROKEN)
    if waiver and line.state in (_WAIVED_CASE if waiver.case else _WAIVED_BREAK):
        _add(case, "skipped", waiver.skipped, _evidence(opened))
    elif must or line.state in (State.BROKEN, State.FAILED):
        told = "passed at the baseline, fails now" if line.state is State.BROKEN else "fails"
        _add(case, "failure", told + (" (must pass)" if line.must_pass else ""), _evidence(opened))
    elif line.state in (State.ERRORED, State.UNSCORED):
        _add(case, "error", f"{line.state.value}: {line.why}", _evidence(opened))
    elif line.state is State.SKIPPED:
        _add(case, "skipped", f"not asked: {line.why}")
    elif line.state is State.BOTH_FAIL:
        _add(case, "skipped", "fails in both runs: no regression")
    return case


def _evidence(case: CaseView | None) -> str:
    if case is None:
        return ""
    parts = [("asked", case.preview), ("reference", case.reference.text if case.reference else "")]
    parts += [(a.who, f"({a.summary}) {a.text[:1000]}") for a in (case.baseline, case.candidate) if a]
    return "\n".join(f"{name}: {text}" for name, text in parts if text)


def _legal(text: str) -> str:
    return _ILLEGAL.sub("\ufffd", text)
