"""One self-contained HTML file: it works from a file:// address, without a network and without JavaScript.

Autoescape is on for everything. Beside it a Content-Security-Policy allows exactly our own style sheet and script, by their
hashes, and no connection of any kind: should a hostile string ever slip through the escaping, the browser still runs and
fetches nothing.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from reports import charts
from reports.nouns import ReportView

_FOLDER = "reports.sections"


@dataclass(frozen=True, slots=True)
class _Section:
    id: str
    name: str
    html: Markup


def render(view: ReportView) -> str:
    """The whole page. Sections that render to nothing are left out, from the page and from its navigation."""
    shorts = {name: name.removesuffix(".html.j2")[3:] for name in section_names()}
    sections = [(short, short.replace("_", " ").capitalize(), name) for name, short in shorts.items()]
    return page(view.title, sections, view=view, charts=charts)


def page(title: str, sections: Iterable[tuple[str, str, str]], **context: object) -> str:
    """A page of (id, name, template) sections; a template gets the context and its id as ``section``. Empty ones are left out."""
    env = _environment()
    style, script = _read("style.css"), _read("page.js")
    return env.get_template("page.html.j2").render(
        title=title,
        sections=_sections(env, sections, context),
        style=Markup(style),  # noqa: S704 - our own files
        script=Markup(script),  # noqa: S704
        policy=_policy(style, script),
    )


def section_names() -> list[str]:
    """File names of the sections in the order of their numbers."""
    names = (entry.name for entry in resources.files(_FOLDER).iterdir())
    return sorted(name for name in names if name[:2].isdigit() and name.endswith(".html.j2"))


def _sections(env: Environment, sections: Iterable[tuple[str, str, str]], context: Mapping[str, object]) -> list[_Section]:
    found = []
    for short, name, template in sections:
        text = env.get_template(template).render(section=short, **context).strip()
        if text:
            found.append(_Section(short, name, Markup(text)))  # noqa: S704 - rendered with autoescape
    return found


def _environment() -> Environment:
    def load(name: str) -> tuple[str, None, None]:
        return _read(name), None, None

    return Environment(
        loader=FunctionLoader(load), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )


def _read(name: str) -> str:
    return (resources.files(_FOLDER) / name).read_text(encoding="utf-8")


def _policy(style: str, script: str) -> str:
    ours = f"style-src '{_hash(style)}'; script-src '{_hash(script)}'"
    return f"default-src 'none'; img-src data:; {ours}; base-uri 'none'; form-action 'none'"


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
