"""Journal to tables. Runs under the store's lock; every step may be repeated, or be cut short, without harm.

Some batches of a segment go in with one transaction, together with how far it was read (table ``folded``), so no line counts
twice; not the whole segment, because DuckDB keeps in memory what is not committed. The inner INs are for memory, too: a join is
built of the lines at hand and not of all that is stored. DuckDB itself takes the JSON apart: one list parameter of lines, some
5 microseconds a line, against 600 for a row of executemany.
Which record wins: of several answers to an item a response beats an error and an error a skip, and among equals the latest; of
several scores by one scorer the latest. A later process's skip because all is decided beats an error: nobody needs that answer.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from harness.errors import StoreError
from harness.store import journal, judged
from harness.store.database import Connection, transaction
from harness.store.queries import ledger_of
from harness.store.rows import clean, plain, to_json

_PLAN = """{"seq":"BIGINT","case_id":"VARCHAR","capability":"VARCHAR","sample":"INTEGER","key":"VARCHAR","case_digest":"VARCHAR",
"cluster":"VARCHAR","split":"VARCHAR","must_pass":"BOOLEAN","source":"VARCHAR","messages":"VARCHAR","vars":"VARCHAR",
"reference":"VARCHAR","metadata":"VARCHAR"}"""
_ANSWER = """{"case_id":"VARCHAR","sample":"INTEGER","rank":"INTEGER","cached":"BOOLEAN","id":"VARCHAR","key":"VARCHAR",
"text":"VARCHAR","thinking":"VARCHAR","finish_reason":"VARCHAR","prompt_tokens":"BIGINT","completion_tokens":"BIGINT",
"ttft_s":"DOUBLE","total_s":"DOUBLE","attempts":"INTEGER","started_at":"DOUBLE","error":"VARCHAR","error_message":"VARCHAR",
"reason":"VARCHAR"}"""
_SCORE = """{"case_id":"VARCHAR","sample":"INTEGER","scorer":"VARCHAR","scorer_digest":"VARCHAR","key":"VARCHAR","value":"DOUBLE",
"passed":"BOOLEAN","unscored":"VARCHAR","explanation":"VARCHAR","components":"VARCHAR"}"""

_DAMAGED = "case_id IS NULL OR sample IS NULL OR key IS NULL"
_BATCHES = 10  # of lines, in one transaction
_LARGE = 200_000  # characters
_KINDS = {
    **{b"p": "plan", b"r": "answer", b"k": "answer", b"s": "score", b"q": "reply", b"j": "judgment"},
    **{b"b": "begin", b"f": "finish"},
}
_SHAPES = {"plan": _PLAN, "answer": _ANSWER, "score": _SCORE, "reply": judged.REPLY_SHAPE, "judgment": judged.JUDGMENT_SHAPE}

_STATEMENTS: dict[str, tuple[str, ...]] = {
    "plan": (
        """INSERT INTO cases SELECT case_digest, case_id, capability, vars, reference, metadata
           FROM incoming ANTI JOIN
             (SELECT digest AS case_digest FROM cases WHERE digest IN (SELECT case_digest FROM incoming)) USING (case_digest)
           WHERE vars IS NOT NULL QUALIFY row_number() OVER (PARTITION BY case_digest ORDER BY n) = 1""",
        """INSERT INTO requests SELECT key, messages FROM incoming
           ANTI JOIN (SELECT key FROM requests WHERE key IN (SELECT key FROM incoming)) USING (key)
           QUALIFY row_number() OVER (PARTITION BY key ORDER BY n) = 1""",
        """DELETE FROM items USING incoming i
           WHERE items.run_id = $run AND items.case_id = i.case_id AND items.sample = i.sample""",
        """INSERT INTO items SELECT $run, seq, case_id, capability, sample, key, case_digest, cluster, split, must_pass, source
           FROM incoming QUALIFY row_number() OVER (PARTITION BY case_id, sample ORDER BY n DESC) = 1""",
    ),
    "answer": (
        """INSERT INTO responses SELECT id, key, $run, text, thinking, finish_reason, prompt_tokens, completion_tokens, ttft_s,
           total_s, attempts, started_at, error, error_message
           FROM incoming ANTI JOIN (SELECT id FROM responses WHERE id IN (SELECT id FROM incoming)) USING (id)
           WHERE id IS NOT NULL QUALIFY row_number() OVER (PARTITION BY id ORDER BY n) = 1""",
        """CREATE OR REPLACE TEMP TABLE latest AS SELECT case_id, sample, key, rank, id, cached, reason FROM incoming
           QUALIFY row_number() OVER (PARTITION BY case_id, sample ORDER BY rank DESC, n DESC) = 1""",
        """DELETE FROM answers USING latest l WHERE answers.run_id = $run AND answers.case_id = l.case_id
           AND answers.sample = l.sample
           AND (answers.key <> l.key OR l.rank >= answers.rank OR (answers.rank = 1 AND l.reason = 'decided'))""",
        """INSERT INTO answers SELECT $run, case_id, sample, key, rank, id, coalesce(cached, false), reason FROM latest
           ANTI JOIN (SELECT case_id, sample FROM answers WHERE run_id = $run AND case_id IN (SELECT case_id FROM latest))
             USING (case_id, sample)""",
    ),
    "score": (
        """DELETE FROM scores USING incoming i WHERE scores.run_id = $run AND scores.case_id = i.case_id
           AND scores.sample = i.sample AND scores.scorer = i.scorer""",
        """INSERT INTO scores SELECT $run, case_id, sample, scorer, scorer_digest, key, value, passed, unscored, explanation,
           components FROM incoming QUALIFY row_number() OVER (PARTITION BY case_id, sample, scorer ORDER BY n DESC) = 1""",
    ),
    **judged.STATEMENTS,
}


def fold(connection: Connection, root: Path) -> list[str]:
    """Bring every journal under root into the tables; remove the segments that are complete. Returns what had to be left out.

    Segments of a run that is going on are read as far as they are written, and its last one stays.
    """
    folders = journal.run_folders(root)
    offsets = dict(connection.execute("SELECT segment, bytes FROM folded").fetchall())
    notes: list[str] = []
    present: set[str] = set()
    for folder in folders:
        with journal.claim(folder) as free:
            parts = journal.segments(folder)
            for part in parts:
                ended = free or part is not parts[-1]
                end = _fold_segment(connection, folder.name, part, offsets.get(part.name, 0), notes)
                if not ended:
                    present.add(part.name)
                    continue
                left = part.path.stat().st_size - end
                if left:
                    notes.append(f"run {folder.name}: a last line of {left} bytes was cut short by a crash and is left out")
                part.path.unlink()
            if free:
                journal.remove(folder)
    gone = [name for name in offsets if name not in present]
    if gone:
        connection.execute("DELETE FROM folded WHERE segment IN (SELECT unnest($1::VARCHAR[]))", [gone])
    return notes


def _fold_segment(connection: Connection, run_id: str, part: journal.Segment, offset: int, notes: list[str]) -> int:
    """Returns the offset behind the last complete line."""
    if part.version > journal.VERSION:
        raise StoreError(
            f"the journal is of version {part.version}, this harness reads up to {journal.VERSION}",
            where=str(part.path),
            todo="Upgrade the harness, or use another store",
        )
    if part.path.stat().st_size <= offset:
        return offset
    end, bad = offset, 0
    batches = journal.read_batches(part.path, offset)
    while some := list(islice(batches, _BATCHES)):
        with transaction(connection):
            for lines, behind in some:
                bad += _fold_batch(connection, run_id, lines)
                end = behind
            connection.execute("DELETE FROM folded WHERE segment = ?", [part.name])
            connection.execute("INSERT INTO folded VALUES (?, ?)", [part.name, end])
    if bad:
        notes.append(f"run {run_id}: {bad} damaged lines of {part.path.name} are left out")
    return end


def _fold_batch(connection: Connection, run_id: str, lines: Sequence[bytes]) -> int:
    """One batch, kind by kind; returns how many lines are damaged."""
    groups: dict[str, list[str]] = {}
    bad = 0
    for line in lines:
        kind = _KINDS.get(line[6:7]) if line.startswith(b'{"t":"') else None
        try:
            groups.setdefault(kind or "", []).append(line.decode())
        except UnicodeDecodeError:
            bad += 1
    bad += len(groups.pop("", ()))
    for kind in _STATEMENTS:
        if kind in groups:
            bad += _fold_kind(connection, kind, run_id, groups[kind])
    for kind, apply in (("begin", _begin), ("finish", _finish)):
        for text in groups.get(kind, ()):
            try:
                record = json.loads(text)
            except ValueError:
                bad += 1
                continue
            apply(connection, run_id, record)
    return bad


def _fold_kind(connection: Connection, kind: str, run_id: str, lines: list[str]) -> int:
    small = [(n, line) for n, line in enumerate(lines) if len(line) <= _LARGE]
    # No WHERE here: DuckDB would take the JSON apart once more for each condition on it.
    connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE incoming AS SELECT n, unnest(r) FROM
            (SELECT n, json_transform(TRY_CAST(line AS JSON), '{_SHAPES[kind]}') AS r FROM
             (SELECT unnest($1::BIGINT[]) AS n, unnest($2::VARCHAR[]) AS line))""",  # noqa: S608 - our own constant
        [[n for n, _ in small], [line for _, line in small]],
    )
    if len(small) < len(lines):
        for n, line in enumerate(lines):
            if len(line) > _LARGE:
                _insert_large(connection, kind, n, line)
    row = connection.execute(f"SELECT count(*) FROM incoming WHERE {_DAMAGED}").fetchone()  # noqa: S608
    bad = int(row[0]) if row else 0
    if bad:
        connection.execute(f"DELETE FROM incoming WHERE {_DAMAGED}")  # noqa: S608
    for statement in _STATEMENTS[kind]:
        connection.execute(statement, {"run": run_id} if "$run" in statement else None)
    connection.execute("DROP TABLE incoming")
    return bad


def _insert_large(connection: Connection, kind: str, n: int, line: str) -> None:
    """A long line, taken apart here: for that DuckDB's JSON functions need six times its size, beyond our memory limit."""
    columns = list(json.loads(_SHAPES[kind]))
    try:
        record = json.loads(line)
        values = [n, *(record.get(column) for column in columns)]
    except (ValueError, AttributeError):
        values = [n, *(None for _ in columns)]
    marks = ", ".join("?" for _ in values)
    connection.execute(f"INSERT INTO incoming (n, {', '.join(columns)}) VALUES ({marks})", values)  # noqa: S608


def _begin(connection: Connection, run_id: str, record: dict[str, Any]) -> None:
    """The plan is whole: the run becomes visible (or goes on)."""
    run, suite = record["run"], record["suite"]
    candidate = run["candidate"]
    connection.execute(
        "INSERT INTO suites SELECT $hash, $name, $source, $content, $at WHERE NOT EXISTS (FROM suites WHERE hash = $hash)",
        {"hash": run["suite_hash"], "name": run["suite_name"], "at": run["started_at"], **suite},
    )
    named = {"digest": candidate["digest"], "name": candidate["name"], "content": to_json(candidate), "at": run["started_at"]}
    connection.execute(
        """INSERT INTO candidates SELECT $digest, $name, $content, $at
           WHERE NOT EXISTS (FROM candidates WHERE digest = $digest AND name = $name AND content = $content)""",
        named,
    )
    connection.execute("DELETE FROM runs WHERE id = ?", [run_id])
    connection.execute(
        "INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, NULL, ?)",
        [
            run_id,
            run["suite_name"],
            run["suite_hash"],
            candidate["name"],
            candidate["digest"],
            to_json(candidate),
            "running",
            to_json(run["plan"]),
            run["started_at"],
            to_json(run["provenance"]),
        ],
    )


def _finish(connection: Connection, run_id: str, record: dict[str, Any]) -> None:
    provenance = None if record["provenance"] is None else to_json(record["provenance"])
    connection.execute(
        "UPDATE runs SET status = ?, finished_at = ?, provenance = coalesce(?, provenance) WHERE id = ?",
        [record["status"], record["finished_at"], provenance, run_id],
    )
    ledger = clean(to_json(plain(ledger_of(connection, run_id))))
    connection.execute("UPDATE runs SET ledger = ? WHERE id = ?", [ledger, run_id])
