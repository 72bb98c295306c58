"""The page of ``harness choose``: one self-contained file, made as a run's report is."""

from __future__ import annotations

from reports import charts
from reports.choice import ChoiceView
from reports.html import page

_SECTIONS = {"verdict": "Answer", "combinations": "Combinations", "runs": "Runs"}


def render(view: ChoiceView) -> str:
    return page(
        view.title, [(name, title, f"choice_{name}.html.j2") for name, title in _SECTIONS.items()], view=view, charts=charts
    )
