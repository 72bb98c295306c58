"""Runs as files for other tools: Parquet, JSONL or CSV, written by DuckDB itself.

kinds: ``scores`` (one row per item: case_id, capability, score, cluster, then sample, status, reason, passed, split; what
``harness compare`` reads), ``responses`` (what was answered), ``items`` (both, with messages, case and the single check results),
``judgments`` (one row for each judge's word on an answer).
CSV only: a text that begins with = + - @, a tab or a carriage return gets an apostrophe in front, since spreadsheets would run it
as a formula. The other formats hold every text as it is. The file appears whole or not at all.
"""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

import duckdb

from harness.errors import StoreError, UsageError
from harness.store.database import Connection
from harness.store.journal import disk_full
from harness.store.queries import STATUS

FORMATS = {"parquet": "FORMAT parquet, COMPRESSION zstd", "jsonl": "FORMAT json", "csv": "FORMAT csv, HEADER"}

_ANSWER = """p.text, p.thinking, p.finish_reason, p.prompt_tokens, p.completion_tokens, p.ttft_s, p.total_s, p.attempts,
    p.started_at, p.error, p.error_message, i.cached"""
_COLUMNS = {
    "scores": "i.case_id, i.capability, i.value AS score, i.cluster, i.sample, i.status, i.reason, i.passed, i.split",
    "responses": f"i.run_id, i.case_id, i.capability, i.sample, i.key AS request_key, i.status, i.reason, {_ANSWER}",
    "judgments": """i.run_id, i.case_id, i.capability, i.sample, i.cluster, i.split, j.judge, j.judge_digest, j.value, j.passed,
        j.unscored, j.errored, j.mode, j.preference, j.explanation, j.spread, j.flags::JSON AS flags, j.baseline_run_id,
        i.response_id, sha256(p.text) AS response_digest, sha256(o.text) AS baseline_digest, j.requests,
        j.asked AS requests_sent, j.prompt_tokens, j.completion_tokens, j.seconds, j.judged_at,
        j.content::JSON AS judgment""",
    "items": f"""i.run_id, i.case_id, i.capability, i.cluster, i.split, i.must_pass, i.source, i.sample, i.key AS request_key,
        c.vars::JSON AS vars, c.reference::JSON AS reference, c.metadata::JSON AS metadata, q.messages::JSON AS messages,
        i.status, i.reason, {_ANSWER}, i.value AS score, i.passed, i.unscored, i.explanation,
        list_transform(i.components::JSON[], lambda x: {{'check': x->>0, 'version': (x->>1)::INTEGER, 'value': (x->>2)::DOUBLE,
        'passed': (x->>3)::BOOLEAN, 'explanation': x->>4, 'unscored': x->>5, 'weight': (x->>6)::DOUBLE}})::JSON AS checks""",
}
_JOINS = """LEFT JOIN responses p ON p.id = i.response_id LEFT JOIN cases c ON c.digest = i.case_digest
    LEFT JOIN requests q ON q.key = i.key"""
_JUDGED = """JOIN judgments j ON j.run_id = i.run_id AND j.case_id = i.case_id AND j.sample = i.sample AND j.key = i.key
    LEFT JOIN responses p ON p.id = i.response_id
    LEFT JOIN (FROM answers WHERE rank = 2) a ON a.run_id = j.baseline_run_id AND a.case_id = i.case_id AND a.sample = i.sample
    LEFT JOIN responses o ON o.id = a.response_id"""
KINDS = tuple(_COLUMNS)


def export(connection: Connection, run_id: str, kind: str, path: Path, form: str) -> int:
    """Write a run to path; returns the number of rows.

    Raises UsageError for an unknown kind or format, StoreError when it cannot write.
    """
    if kind not in KINDS or form not in FORMATS:
        what = f"unknown export {kind!r}" if kind not in KINDS else f"unknown format {form!r}"
        raise UsageError(what, todo=f"Kinds are {', '.join(KINDS)}; formats {', '.join(FORMATS)}")
    if not path.parent.is_dir():
        raise UsageError("the folder does not exist", where=str(path.parent), todo="Create it first")
    joins = {"scores": "", "judgments": _JUDGED}.get(kind, _JOINS)
    order = "i.seq, j.judge" if kind == "judgments" else "i.seq"
    select = f"SELECT {_COLUMNS[kind]} FROM ({STATUS}) i {joins} ORDER BY {order}"  # noqa: S608 - our own constants
    if form == "csv":
        select = f"SELECT {_guarded(connection, select, run_id)} FROM ({select})"  # noqa: S608
    elif form == "parquet":  # JSON as plain text there: not every reader knows the JSON type
        select = f"SELECT {_as_text(connection, select, run_id)} FROM ({select})"  # noqa: S608
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        row = connection.execute(f"COPY ({select}) TO $path ({FORMATS[form]})", {"run": run_id, "path": str(partial)}).fetchone()
        partial.replace(path)
    except (OSError, duckdb.IOException) as error:
        if "no space left" in str(error).lower() or getattr(error, "errno", None) == errno.ENOSPC:
            raise disk_full(path) from error
        raise StoreError(f"cannot write the export: {str(error).splitlines()[0]}", where=str(path)) from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
    return int(row[0]) if row else 0


def _types(connection: Connection, select: str, run_id: str) -> list[tuple[str, str]]:
    rows = connection.execute(f"DESCRIBE {select}", {"run": run_id}).fetchall()
    return [(str(row[0]), str(row[1])) for row in rows]


def _guarded(connection: Connection, select: str, run_id: str) -> str:
    guard = "CASE WHEN {0}[1] IN ('=', '+', '-', '@', chr(9), chr(13)) THEN '''' || {0} ELSE {0} END AS {0}"
    columns = _types(connection, select, run_id)
    return ", ".join(guard.format(name) if kind == "VARCHAR" else name for name, kind in columns)


def _as_text(connection: Connection, select: str, run_id: str) -> str:
    columns = _types(connection, select, run_id)
    return ", ".join(f"{name}::VARCHAR AS {name}" if kind == "JSON" else name for name, kind in columns)
