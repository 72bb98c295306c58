"""What is read from the tables. Every function takes an open connection; nothing here holds the lock or keeps a cursor.

SQL is put together from the constants below only; whatever comes from outside is a parameter.
"""

# ruff: noqa: S608

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

from harness.model import Candidate, Case, Item, ItemStatus, Ledger, Message, Response, RunRecord, Score, ScoreRow, Split, Verdict
from harness.store.database import Connection
from harness.store.rows import CapabilityMean, Latencies, StoredVerdict, case_from, components_from, noun

PAGE_ROWS = 2_000
PAGE_BYTES = 16 << 20
STRETCH_ROWS = 10_000

# One row per planned item with what became of it. An answer or score for another request than the plan's (other rendering) is
# none. Not a view of the database: then changing it would need a migration.
STATUS = """
SELECT i.*, a.rank, a.response_id, coalesce(a.cached, false) AS cached, s.value, s.passed, s.unscored, s.explanation,
    s.components, s.scorer_digest,
    CASE WHEN a.rank = 1 THEN 'errored' WHEN a.rank = 2 AND s.value IS NOT NULL THEN 'scored' WHEN a.rank = 2 THEN 'unscored'
         ELSE 'skipped' END AS status,
    CASE WHEN a.rank = 1 THEN coalesce(p.error, 'unknown')
         WHEN a.rank = 2 AND s.value IS NOT NULL THEN NULL
         WHEN a.rank = 2 AND s.case_id IS NOT NULL THEN coalesce(s.unscored, 'unknown')
         WHEN a.rank = 2 THEN 'pending'
         WHEN a.rank = 0 THEN coalesce(a.reason, 'unknown')
         WHEN (SELECT status FROM runs WHERE id = $run) = 'running' THEN 'pending' ELSE 'not-asked' END AS reason
FROM (SELECT * FROM items WHERE run_id = $run) i
LEFT JOIN (SELECT * FROM answers WHERE run_id = $run) a ON a.case_id = i.case_id AND a.sample = i.sample AND a.key = i.key
LEFT JOIN (SELECT * FROM scores WHERE run_id = $run AND scorer = 'checks') s
    ON a.rank = 2 AND s.case_id = i.case_id AND s.sample = i.sample AND s.key = i.key
LEFT JOIN (SELECT id, error FROM responses WHERE error IS NOT NULL) p ON p.id = a.response_id
"""

# The same for a stretch of the plan. Whatever looks at all of a run goes by stretches: a join of a hundred thousand items takes
# more memory than harness.store.database allows, and stretches of it cost no more time.
STRETCH = STATUS.replace("FROM items WHERE run_id = $run", "FROM items WHERE run_id = $run AND seq BETWEEN $first AND $last")

# Seconds per output token after the first; NULL, which quantiles leave out, where the first token's time was not seen.
_TPOT = "CASE WHEN p.completion_tokens > 1 AND p.total_s >= p.ttft_s THEN (p.total_s - p.ttft_s) / (p.completion_tokens - 1) END"

_RUN = """
SELECT id, suite_name, suite_hash, candidate, status, plan, started_at, finished_at, ledger, provenance,
    id = (SELECT arg_max(run_id, (promoted_at, rowid)) FROM promotions p WHERE p.suite_name = runs.suite_name) AS promoted
FROM runs
"""

_RESPONSE = """p.key, p.text, p.thinking, p.finish_reason, p.prompt_tokens, p.completion_tokens, p.ttft_s, p.total_s, p.attempts,
    p.started_at, p.error, p.error_message"""


def run_ids(connection: Connection, suite: str | None = None) -> list[str]:
    """The ids of all runs (of a suite), the newest first."""
    rows = connection.execute(
        "SELECT id FROM runs WHERE $suite IS NULL OR suite_name = $suite ORDER BY started_at DESC, rowid DESC", {"suite": suite}
    ).fetchall()
    return [run_id for (run_id,) in rows]


def run_records(connection: Connection, ids: Sequence[str]) -> list[RunRecord]:
    """The records of these runs, in this order; unknown ids are left out."""
    rows = connection.execute(f"{_RUN} WHERE id IN (SELECT unnest($1::VARCHAR[]))", [list(ids)]).fetchall()
    records = {row[0]: _record(connection, row) for row in rows}
    return [records[run_id] for run_id in ids if run_id in records]


def _record(connection: Connection, row: tuple[Any, ...]) -> RunRecord:
    run_id, suite_name, suite_hash, candidate, status, plan, started_at, finished_at, ledger, provenance, promoted = row
    return RunRecord(
        id=run_id,
        suite_name=suite_name,
        suite_hash=suite_hash,
        candidate=noun(Candidate, json.loads(candidate)),
        status=status,
        plan=json.loads(plan),
        started_at=started_at,
        finished_at=finished_at,
        ledger=noun(Ledger, json.loads(ledger)) if ledger else ledger_of(connection, run_id),
        provenance=json.loads(provenance),
        promoted=bool(promoted),
    )


def ledger_of(connection: Connection, run_id: str, capability: str | None = None) -> Ledger:
    """The closed denominator of a run, or of one capability of it."""
    counts: dict[str, dict[str, int]] = {status.value: {} for status in ItemStatus}
    for first, last in stretches(connection, run_id):
        rows = connection.execute(
            f"""SELECT status, reason, count(*) FROM ({STRETCH}) WHERE $capability IS NULL OR capability = $capability
                GROUP BY status, reason ORDER BY status, reason""",
            {"run": run_id, "first": first, "last": last, "capability": capability},
        ).fetchall()
        for status, reason, count in rows:
            counts[status][reason or ""] = counts[status].get(reason or "", 0) + count
    return Ledger(
        planned=sum(sum(reasons.values()) for reasons in counts.values()),
        scored=sum(counts["scored"].values()),
        unscored=counts["unscored"],
        errored=counts["errored"],
        skipped=counts["skipped"],
    )


def stretches(connection: Connection, run_id: str, rows: int | None = None) -> list[tuple[int, int]]:
    """Ranges of seq (both ends within) that cover a run, of about so many items each; no case is in two of them."""
    starts = connection.execute(
        """WITH ends AS (SELECT min(seq) AS first, max(seq) AS last FROM items WHERE run_id = $run)
           SELECT min(seq), any_value(last) FROM items, ends
           WHERE run_id = $run AND (sample = 0 OR seq = first) GROUP BY seq // $rows ORDER BY 1""",
        {"run": run_id, "rows": rows or STRETCH_ROWS},
    ).fetchall()
    firsts = [first for first, _ in starts]
    return list(zip(firsts, [*(first - 1 for first in firsts[1:]), *(last for _, last in starts[:1])], strict=True))


def score_rows(connection: Connection, run_id: str, first: int, last: int) -> list[ScoreRow]:
    rows = connection.execute(
        f"""SELECT case_id, capability, sample, status, value, passed, reason, cluster, split, must_pass FROM ({STRETCH})
            ORDER BY seq""",
        {"run": run_id, "first": first, "last": last},
    ).fetchall()
    same: dict[str | None, str | None] = {}  # one string for each capability, reason and cluster, not one for each row
    one = same.setdefault
    status, part = {str(s): s for s in ItemStatus}, {str(s): s for s in Split}
    return [
        ScoreRow(c, str(one(k, k)), j, status[s], v, p, one(r, r), one(g, g), part[split], m)
        for c, k, j, s, v, p, r, g, split, m in rows
    ]


def item_pages(
    connection: Connection, run_id: str, case_ids: Sequence[str] | None, capability: str | None, status: str | None
) -> list[list[int]]:
    """The seqs of the items asked for, in pages of at most PAGE_ROWS items and about PAGE_BYTES of text."""
    wanted = {"cases": None if case_ids is None else list(case_ids), "capability": capability, "status": status}
    pages: list[list[int]] = []
    room = 0
    for first, last in stretches(connection, run_id):
        rows = connection.execute(
            f"""WITH i AS MATERIALIZED (SELECT seq, key, response_id FROM ({STRETCH})
                  WHERE ($cases IS NULL OR case_id IN (SELECT unnest($cases::VARCHAR[])))
                    AND ($capability IS NULL OR capability = $capability) AND ($status IS NULL OR status = $status))
                SELECT i.seq, coalesce(p.size, 0) + coalesce(q.size, 0) FROM i
                LEFT JOIN (SELECT id, strlen(text) + coalesce(strlen(thinking), 0) AS size FROM responses
                           WHERE id IN (SELECT response_id FROM i)) p ON p.id = i.response_id
                LEFT JOIN (SELECT key, strlen(messages) AS size FROM requests WHERE key IN (SELECT key FROM i)) q ON q.key = i.key
                ORDER BY i.seq""",
            {"run": run_id, "first": first, "last": last, **wanted},
        ).fetchall()
        for seq, size in rows:
            if not pages or len(pages[-1]) >= PAGE_ROWS or size > room:
                pages.append([])
                room = PAGE_BYTES
            pages[-1].append(seq)
            room -= size
    return pages


def items(connection: Connection, run_id: str, seqs: Sequence[int]) -> list[Item]:
    """These items of a run, whole, in the plan's order. The inner INs keep texts of other items out of the joins' memory."""
    rows = connection.execute(
        f"""WITH i AS MATERIALIZED (SELECT * FROM ({STRETCH}) WHERE seq IN (SELECT unnest($seqs::BIGINT[])))
            SELECT i.case_id, i.capability, c.vars, c.reference, c.metadata, i.cluster, i.split, i.must_pass, i.source,
            i.sample, i.status, i.reason, q.messages, i.cached, i.rank = 2 AND i.components IS NOT NULL,
            i.value, i.passed, i.unscored, i.explanation, i.components, p.id, {_RESPONSE}
            FROM i
            LEFT JOIN (FROM cases WHERE digest IN (SELECT case_digest FROM i)) c ON c.digest = i.case_digest
            LEFT JOIN (FROM requests WHERE key IN (SELECT key FROM i)) q ON q.key = i.key
            LEFT JOIN (FROM responses WHERE id IN (SELECT response_id FROM i)) p ON p.id = i.response_id
            ORDER BY i.seq""",
        {"run": run_id, "seqs": list(seqs), "first": min(seqs), "last": max(seqs)},
    ).fetchall()
    return [_item(row) for row in rows]


def _item(row: tuple[Any, ...]) -> Item:
    case_id, capability, variables, reference, metadata, cluster, split, must_pass, source = row[:9]
    sample, status, reason, messages, cached, has_score, value, passed, unscored, explanation, components, response_id = row[9:21]
    case: Case = case_from(
        case_id,
        capability,
        (variables, reference, metadata),
        cluster=cluster,
        split=Split(split),
        must_pass=must_pass,
        source=source,
    )
    return Item(
        case=case,
        sample=sample,
        status=ItemStatus(status),
        reason=reason,
        messages=tuple(Message(**message) for message in json.loads(messages or "[]")),
        response=None if response_id is None else Response(*row[21:]),
        score=Score(value, passed, unscored, explanation, components_from(components)) if has_score else None,
        cached=cached,
    )


def cached_responses(connection: Connection, keys: Sequence[str]) -> dict[str, Response]:
    """The latest successful response to each of these request keys, where there is one."""
    rows = connection.execute(
        f"""SELECT {_RESPONSE} FROM responses p WHERE error IS NULL AND key IN (SELECT unnest($1::VARCHAR[]))
            QUALIFY row_number() OVER (PARTITION BY key ORDER BY rowid DESC) = 1""",
        [list(keys)],
    ).fetchall()
    return {row[0]: Response(*row) for row in rows}


def answered_keys(connection: Connection, keys: Sequence[str]) -> set[str]:
    """Those of these request keys that have a successful response."""
    rows = connection.execute(
        "SELECT DISTINCT key FROM responses WHERE error IS NULL AND key IN (SELECT unnest($1::VARCHAR[]))", [list(keys)]
    ).fetchall()
    return {row[0] for row in rows}


def done(connection: Connection, run_id: str, scorer_digest: str) -> set[tuple[str, int]]:
    """The (case id, sample) of a run that have a response and a score by this scorer, or a reason for none that asking the judges
    again would not mend."""
    rows = connection.execute(
        f"""SELECT case_id, sample FROM ({STATUS}) d WHERE rank = 2 AND scorer_digest = $digest AND (value IS NOT NULL
            OR NOT EXISTS (FROM judgments j WHERE j.run_id = $run AND j.case_id = d.case_id AND j.sample = d.sample
              AND j.key = d.key AND j.errored))""",
        {"run": run_id, "digest": scorer_digest},
    ).fetchall()
    return set(rows)


def latencies(connection: Connection, run_id: str) -> Latencies:
    """Exact quantiles (interpolated) over the successful responses of a run."""
    columns: dict[str, list[Any]] = {}
    for first, last in stretches(connection, run_id):
        found = connection.execute(
            f"""SELECT i.cached, p.ttft_s, p.total_s, coalesce(p.prompt_tokens, 0) AS prompt, {_TPOT} AS tpot_s,
                coalesce(p.completion_tokens, 0) AS completion
                FROM (SELECT response_id, cached FROM ({STRETCH}) WHERE rank = 2) i JOIN responses p ON p.id = i.response_id""",
            {"run": run_id, "first": first, "last": last},
        ).fetchnumpy()
        for name, values in found.items():
            columns.setdefault(name, []).append(values)
    if not columns:
        return Latencies(0, 0, None, None, None, None, 0, 0)
    total = {name: sum(int(part.sum()) for part in columns[name]) for name in ("cached", "prompt", "completion")}
    ttft, whole, tpot = (_quantiles(columns[name]) for name in ("ttft_s", "total_s", "tpot_s"))
    n = sum(map(len, columns["cached"]))
    return Latencies(n, total["cached"], *ttft, *whole, total["prompt"], total["completion"], *tpot)


def _quantiles(parts: Sequence[Any]) -> tuple[float | None, float | None]:
    """Median and 95th percentile of what is not NULL (masked), interpolated; None where all is."""
    import numpy as np  # loaded already by whoever fetches arrays, and 15 MB for whoever does not

    values = np.ma.concatenate(parts).compressed()
    if not len(values):
        return None, None
    middle, high = np.quantile(values, [0.5, 0.95])
    return float(middle), float(high)


def capability_means(connection: Connection, ids: Sequence[str]) -> list[CapabilityMean]:
    """The capabilities of these runs, rounded to 12 digits: the order in which threads add up must change no rank."""
    seen = connection.execute(
        """SELECT r.id, min(c.added_at) FROM runs r JOIN candidates c ON r.candidate_digest = c.digest
           WHERE r.id IN (SELECT unnest($1::VARCHAR[])) GROUP BY r.id ORDER BY r.id""",
        [list(ids)],
    ).fetchall()
    return [mean for run_id, first_seen in seen for mean in _means_of(connection, run_id, first_seen)]


def _means_of(connection: Connection, run_id: str, first_seen: float) -> list[CapabilityMean]:
    """The digest of the cases is the exclusive or of their hashes, which asks for no order and adds up over stretches."""
    sums: dict[str, list[float]] = {}
    counts: dict[str, tuple[int, int, int]] = {}
    for first, last in stretches(connection, run_id):
        rows = connection.execute(
            f"""SELECT capability, sum(mean) FILTER (scored = planned), count(*) FILTER (scored = planned), count(*),
                  bit_xor(hash(case_id))
                FROM (SELECT capability, case_id, count(*) AS planned, count(value) AS scored, avg(value) AS mean
                      FROM ({STRETCH}) WHERE split = 'gate' GROUP BY capability, case_id)
                GROUP BY capability""",
            {"run": run_id, "first": first, "last": last},
        ).fetchall()
        for name, total, scored, planned, cases in rows:
            sums.setdefault(name, []).append(total or 0.0)
            n_scored, n_planned, digest = counts.get(name, (0, 0, 0))
            counts[name] = (n_scored + scored, n_planned + planned, digest ^ cases)
    found = []
    for name, (scored, planned, digest) in sorted(counts.items()):
        mean = round(math.fsum(sums[name]) / scored, 12) if scored else None
        found.append(CapabilityMean(run_id, name, mean, scored, planned, f"{digest:016x}", first_seen))
    return found


def case_metadata(connection: Connection, run_id: str) -> list[tuple[str, str, str]]:
    """(capability, case id, metadata as JSON) of a run's gate cases that have any."""
    return connection.execute(
        """SELECT DISTINCT i.capability, i.case_id, c.metadata FROM items i JOIN cases c ON c.digest = i.case_digest
           WHERE i.run_id = ? AND i.split = 'gate' AND c.metadata <> '{}' ORDER BY ALL""",
        [run_id],
    ).fetchall()


def promoted_id(connection: Connection, suite: str) -> str | None:
    """The run promoted last in a suite."""
    row = connection.execute(
        "SELECT run_id FROM promotions WHERE suite_name = ? ORDER BY promoted_at DESC, rowid DESC LIMIT 1", [suite]
    ).fetchone()
    return row[0] if row else None


def suite_of(connection: Connection, suite_hash: str) -> tuple[str, str] | None:
    """Source and JSON of a suite."""
    row = connection.execute("SELECT source, content FROM suites WHERE hash = ?", [suite_hash]).fetchone()
    return (row[0], row[1]) if row else None


def verdict_of(connection: Connection, run_id: str, baseline_run_id: str | None) -> StoredVerdict | None:
    """The latest verdict on a run (against this baseline, when one is named)."""
    row = connection.execute(
        """SELECT run_id, baseline_run_id, content, decided_at FROM verdicts
           WHERE run_id = $run AND ($baseline IS NULL OR baseline_run_id = $baseline)
           ORDER BY decided_at DESC, rowid DESC LIMIT 1""",
        {"run": run_id, "baseline": baseline_run_id},
    ).fetchone()
    if row is None:
        return None
    return StoredVerdict(row[0], row[1], noun(Verdict, json.loads(row[2])), row[3])


def noise_of(connection: Connection, suite: str) -> StoredVerdict | None:
    """The latest verdict on an A/A run of a suite."""
    rows = connection.execute(
        """SELECT v.run_id, v.baseline_run_id, r.plan FROM verdicts v JOIN runs r ON r.id = v.run_id
           WHERE r.suite_name = ? AND v.baseline_run_id IS NOT NULL ORDER BY v.decided_at DESC, v.rowid DESC""",
        [suite],
    ).fetchall()
    found = next(((run_id, baseline) for run_id, baseline, plan in rows if json.loads(plan).get("aa") is True), None)
    return verdict_of(connection, *found) if found else None
