"""What judges were asked and what they said: the journal's lines, the tables they go to, and what is read back.

A judgment is a function of its replies, as a score is of its response: so replies are what is found again (by request key), and a
judgment is made anew from them whenever answers are scored anew.
"""

# ruff: noqa: S608

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from harness.model import Calibration, Judgment, Request, Response
from harness.store.database import Connection, transaction
from harness.store.rows import clean, finite, noun, plain, short_digest, to_json

REPLY_SHAPE = """{"case_id":"VARCHAR","sample":"INTEGER","key":"VARCHAR","model_digest":"VARCHAR","messages":"VARCHAR",
"id":"VARCHAR","text":"VARCHAR","thinking":"VARCHAR","finish_reason":"VARCHAR","prompt_tokens":"BIGINT","completion_tokens":"BIGINT",
"ttft_s":"DOUBLE","total_s":"DOUBLE","attempts":"INTEGER","started_at":"DOUBLE","error":"VARCHAR","error_message":"VARCHAR",
"tail":"VARCHAR"}"""
JUDGMENT_SHAPE = """{"case_id":"VARCHAR","sample":"INTEGER","judge":"VARCHAR","judge_digest":"VARCHAR","key":"VARCHAR",
"baseline_run_id":"VARCHAR","value":"DOUBLE","passed":"BOOLEAN","unscored":"VARCHAR","errored":"BOOLEAN","mode":"VARCHAR",
"preference":"VARCHAR","explanation":"VARCHAR","spread":"DOUBLE","requests":"INTEGER","asked":"INTEGER","prompt_tokens":"BIGINT",
"completion_tokens":"BIGINT","seconds":"DOUBLE","flags":"VARCHAR","judged_at":"DOUBLE","content":"VARCHAR"}"""

_REPLY = """key, text, thinking, finish_reason, prompt_tokens, completion_tokens, ttft_s, total_s, attempts, started_at, error,
    error_message"""
_JUDGMENT = """judge, judge_digest, key, baseline_run_id, value, passed, unscored, errored, mode, preference, explanation, spread,
    requests, asked, prompt_tokens, completion_tokens, seconds, flags, judged_at, content"""

STATEMENTS: dict[str, tuple[str, ...]] = {
    "reply": (
        """INSERT INTO requests SELECT key, messages FROM incoming ANTI JOIN (SELECT key FROM requests) USING (key)
           QUALIFY row_number() OVER (PARTITION BY key ORDER BY n) = 1""",
        f"""INSERT INTO judge_replies SELECT id, key, $run, case_id, model_digest, {_REPLY.removeprefix("key, ")}, tail
            FROM incoming ANTI JOIN (SELECT id FROM judge_replies) USING (id)
            QUALIFY row_number() OVER (PARTITION BY id ORDER BY n) = 1""",
    ),
    "judgment": (
        """DELETE FROM judgments j USING incoming i WHERE j.run_id = $run AND j.case_id = i.case_id AND j.sample = i.sample
           AND j.judge = i.judge""",
        f"""INSERT INTO judgments SELECT $run, case_id, sample, {_JUDGMENT} FROM incoming
            QUALIFY row_number() OVER (PARTITION BY case_id, sample, judge ORDER BY n DESC) = 1""",
    ),
}


@dataclass(frozen=True, slots=True)
class Asked:
    """What one judgment cost. requests: replies it needed. sent: those that were really asked for, the others were stored.
    seconds: of all of them, waiting for the server included."""

    requests: int = 0
    sent: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class StoredJudgment:
    """A judgment with the answer it is about. response_id: the stored answer's, None where none is left of it.

    baseline_run_id, baseline_response_id: of the other answer, where a pairwise judge compared two; longer: by how many
    characters this one is longer. cluster: of its case. judged_at: seconds since the epoch.
    """

    run_id: str
    case_id: str
    capability: str
    sample: int
    response_id: str | None
    baseline_run_id: str | None
    baseline_response_id: str | None
    judgment: Judgment
    asked: Asked
    judged_at: float
    longer: int | None = None
    cluster: str | None = None


@dataclass(frozen=True, slots=True)
class ReplySizes:
    """What questions to one judge model took so far: mean tokens over n stored replies."""

    n: int
    prompt_tokens: float
    completion_tokens: float


def reply_line(about: Request, request: Request, reply: Response) -> str:
    """A judge model's reply to ``request``, asked while judging the answer to ``about``."""
    content = to_json(
        {
            "key": reply.key,
            "text": reply.text,
            "thinking": reply.thinking,
            "finish_reason": reply.finish_reason,
            "prompt_tokens": reply.prompt_tokens,
            "completion_tokens": reply.completion_tokens,
            "ttft_s": finite(reply.ttft_s),
            "total_s": finite(reply.total_s),
            "attempts": reply.attempts,
            "started_at": finite(reply.started_at),
            "error": reply.error,
            "error_message": reply.error_message,
            "tail": to_json(plain(reply.tail)) if reply.tail else None,
        }
    )
    head = {
        "t": "q",
        "case_id": about.case.id,
        "sample": about.sample,
        "model_digest": request.candidate.digest,
        "messages": to_json([message.as_dict() for message in request.messages]),
        "id": short_digest(content),
    }
    return f"{to_json(head)[:-1]},{content[1:]}"


def judgment_line(about: Request, judgment: Judgment, asked: Asked, baseline_run_id: str | None) -> str:
    """What a judge made of the answer to ``about``."""
    return to_json(
        {
            "t": "j",
            "case_id": about.case.id,
            "sample": about.sample,
            "judge": judgment.judge,
            "judge_digest": judgment.digest,
            "key": about.key,
            "baseline_run_id": baseline_run_id,
            "value": finite(judgment.value),
            "passed": judgment.passed,
            "unscored": judgment.unscored,
            "errored": judgment.errored,
            "mode": judgment.mode,
            "preference": judgment.preference,
            "explanation": judgment.explanation,
            "spread": finite(judgment.spread),
            "requests": asked.requests,
            "asked": asked.sent,
            "prompt_tokens": judgment.prompt_tokens,
            "completion_tokens": judgment.completion_tokens,
            "seconds": finite(asked.seconds),
            "flags": to_json(list(judgment.flags)),
            "judged_at": time.time(),
            "content": to_json(plain(judgment)),
        }
    )


def replies(connection: Connection, keys: Sequence[str]) -> dict[str, Response]:
    """The latest stored reply to each of these requests: a successful one where there is one, else the last refusal."""
    rows = connection.execute(
        f"""SELECT {_REPLY}, tail FROM judge_replies WHERE key IN (SELECT unnest($1::VARCHAR[]))
            QUALIFY row_number() OVER (PARTITION BY key ORDER BY error IS NULL DESC, rowid DESC) = 1""",
        [list(keys)],
    ).fetchall()
    return {row[0]: _reply(row) for row in rows}


def _reply(row: tuple[Any, ...]) -> Response:
    plainly = dict(zip(Response.__slots__, row[:-1], strict=False))
    return noun(Response, {**plainly, "tail": json.loads(row[-1]) if row[-1] else ()})


def reply_keys(connection: Connection, model_digests: Sequence[str]) -> list[str]:
    """Keys of all requests to these models that there is a reply to, or a refusal (an error that an HTTP status told)."""
    rows = connection.execute(
        """SELECT DISTINCT key FROM judge_replies WHERE model_digest IN (SELECT unnest($1::VARCHAR[]))
           AND (error IS NULL OR error LIKE 'http-4%')""",
        [list(model_digests)],
    ).fetchall()
    return [key for (key,) in rows]


def reply_sizes(connection: Connection, model_digest: str) -> ReplySizes | None:
    """None where this model was never asked."""
    row = connection.execute(
        """SELECT count(*), avg(prompt_tokens), avg(completion_tokens) FROM judge_replies
           WHERE model_digest = ? AND error IS NULL AND prompt_tokens IS NOT NULL AND completion_tokens IS NOT NULL""",
        [model_digest],
    ).fetchone()
    return ReplySizes(*row) if row and row[0] else None


def answers(connection: Connection, run_id: str, asked: Iterable[tuple[str, int]]) -> dict[tuple[str, int], Response]:
    """The answers of a run to these (case id, sample), where it has them."""
    wanted = list(asked)
    columns = ", ".join(f"p.{name.strip()}" for name in _REPLY.split(","))
    rows = connection.execute(
        f"""SELECT a.case_id, a.sample, {columns} FROM answers a
            JOIN items i ON i.run_id = $run AND i.case_id = a.case_id AND i.sample = a.sample AND i.key = a.key
            JOIN responses p ON p.id = a.response_id
            WHERE a.run_id = $run AND a.rank = 2 AND (a.case_id, a.sample) IN
              (SELECT (c, s) FROM (SELECT unnest($cases::VARCHAR[]) AS c, unnest($samples::INTEGER[]) AS s))""",
        {"run": run_id, "cases": [case for case, _ in wanted], "samples": [sample for _, sample in wanted]},
    ).fetchall()
    return {(row[0], row[1]): Response(*row[2:]) for row in rows}


def judgments(connection: Connection, run_id: str, judge: str | None, first: int, last: int) -> list[StoredJudgment]:
    """Those of the items with these seqs; a judgment of another rendering of the question than the plan's is none."""
    rows = connection.execute(
        """SELECT j.run_id, j.case_id, i.capability, j.sample, a.response_id, j.baseline_run_id, b.response_id,
             j.requests, j.asked, j.seconds, j.judged_at, j.content, i.cluster,
             (SELECT length(text) FROM responses WHERE id = a.response_id AND b.response_id IS NOT NULL)
               - (SELECT length(text) FROM responses WHERE id = b.response_id)
           FROM judgments j
           JOIN (FROM items WHERE run_id = $run AND seq BETWEEN $first AND $last) i
             ON i.case_id = j.case_id AND i.sample = j.sample AND i.key = j.key
           LEFT JOIN (FROM answers WHERE run_id = $run AND rank = 2) a
             ON a.case_id = j.case_id AND a.sample = j.sample AND a.key = j.key
           LEFT JOIN (FROM answers WHERE rank = 2) b
             ON b.run_id = j.baseline_run_id AND b.case_id = j.case_id AND b.sample = j.sample
           WHERE j.run_id = $run AND ($judge IS NULL OR j.judge = $judge) ORDER BY i.seq, j.judge""",
        {"run": run_id, "judge": judge, "first": first, "last": last},
    ).fetchall()
    return [
        StoredJudgment(
            run_id=row[0],
            case_id=row[1],
            capability=row[2],
            sample=row[3],
            response_id=row[4],
            baseline_run_id=row[5],
            baseline_response_id=row[6],
            judgment=noun(Judgment, json.loads(row[11])),
            asked=Asked(row[7], row[8], row[9] or 0.0),
            judged_at=row[10],
            longer=row[13],
            cluster=row[12],
        )
        for row in rows
    ]


def save_calibration(connection: Connection, found: Calibration) -> None:
    with transaction(connection):
        place = [found.judge, found.digest, found.capability]
        connection.execute("DELETE FROM calibrations WHERE judge = ? AND judge_digest = ? AND capability = ?", place)
        connection.execute("INSERT INTO calibrations VALUES (?, ?, ?, ?, ?)", [*place, time.time(), clean(to_json(plain(found)))])


def calibrations(connection: Connection, digests: Sequence[str]) -> list[Calibration]:
    """The latest first."""
    rows = connection.execute(
        """SELECT content FROM calibrations WHERE judge_digest IN (SELECT unnest($1::VARCHAR[]))
           ORDER BY made_at DESC, rowid DESC""",
        [list(digests)],
    ).fetchall()
    return [noun(Calibration, json.loads(content)) for (content,) in rows]
