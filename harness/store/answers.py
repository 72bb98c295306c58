"""Answers of several runs to one case, as people are shown them; and in a light form, all of a run, to choose cases from."""

# ruff: noqa: S608

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from harness.model import CheckResult, Item
from harness.store import queries
from harness.store.database import Connection
from harness.store.queries import STATUS
from harness.store.rows import components_from
from harness.store.store import Store


@dataclass(frozen=True, slots=True)
class Answer:
    """One stored answer of a run in its light form. words: a digest of its text, equal for equal texts.

    judged: what judges said of it (checks that are no rule), empty where none was asked. reason: why it has no score.
    """

    capability: str
    case_id: str
    sample: int
    response_id: str
    words: str
    value: float | None
    passed: bool | None
    reason: str | None
    must_pass: bool
    judged: tuple[CheckResult, ...] = ()


@dataclass(frozen=True, slots=True)
class Given:
    """An item with the id of the very response that was scored, None where there is none."""

    run_id: str
    item: Item
    response_id: str | None


def answers(store: Store, run_id: str, split: str) -> list[Answer]:
    """Every answer of a run on one split, in the plan's order; items without an answer are left out."""

    def work(connection: Connection) -> list[Answer]:
        rows = connection.execute(
            f"""SELECT i.capability, i.case_id, i.sample, i.response_id, md5(p.text), i.value, i.passed, i.reason, i.must_pass,
                CASE WHEN i.components LIKE '%judge %' THEN i.components END
                FROM ({STATUS}) i JOIN responses p ON p.id = i.response_id
                WHERE i.split = $split AND i.rank = 2 ORDER BY i.seq""",
            {"run": run_id, "split": split},
        ).fetchall()
        return [Answer(*(*light, _judged(components))) for *light, components in rows]

    return store._with(work)


def _judged(components: str | None) -> tuple[CheckResult, ...]:
    return tuple(part for part in components_from(components) if part.check.startswith(("judge ", "not-judge ")))


def given(store: Store, run_ids: Sequence[str], capability: str, case_id: str) -> list[Given]:
    """All samples that these runs have of one case, whole, run by run. Reads what is in the tables: folds no journal."""

    def work(connection: Connection) -> list[Given]:
        found = []
        for run_id in run_ids:
            ids = dict(
                connection.execute(
                    f"SELECT seq, response_id FROM ({STATUS}) WHERE capability = $capability AND case_id = $case ORDER BY seq",
                    {"run": run_id, "capability": capability, "case": case_id},
                ).fetchall()
            )
            items = queries.items(connection, run_id, list(ids)) if ids else []
            found += [Given(run_id, item, answer) for item, answer in zip(items, ids.values(), strict=True)]
        return found

    return store._with(work, fold=False)


def roles(store: Store, suite_hash: str) -> dict[str, str]:
    """Capability -> its role, as the suite version that a run was made with says; empty when the store does not know it."""
    found = store.suite(suite_hash)
    content = json.loads(found[1]) if found else {}
    return {name: str(rules["role"]) for name, rules in content.get("capabilities", {}).items()}
