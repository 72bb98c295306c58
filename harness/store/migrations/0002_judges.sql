-- What judges were asked and what they said. Like everything else it comes by way of the journal.

-- A judge model's replies, once each (id covers all of a reply); found again by the key of their request, so that no question is
-- asked twice. case_id: the case it was about. model_digest: of the weights that answered. tail: the last tokens with their
-- alternatives, as JSON. The messages are in ``requests``.
CREATE TABLE judge_replies (
    id VARCHAR, key VARCHAR, run_id VARCHAR, case_id VARCHAR, model_digest VARCHAR, text VARCHAR, thinking VARCHAR,
    finish_reason VARCHAR, prompt_tokens BIGINT, completion_tokens BIGINT, ttft_s DOUBLE, total_s DOUBLE, attempts INTEGER,
    started_at DOUBLE, error VARCHAR, error_message VARCHAR, tail VARCHAR
);

-- What a judge made of one answer of a run: the latest of each judge. key: of the answer's request, as in answers.
-- baseline_run_id: where a pairwise judge took the other answer from. asked: requests that were really sent for it, the others had
-- a stored reply. seconds: of all its requests, waiting included. flags: JSON list. content: the whole Judgment as JSON.
CREATE TABLE judgments (
    run_id VARCHAR, case_id VARCHAR, sample INTEGER, judge VARCHAR, judge_digest VARCHAR, key VARCHAR, baseline_run_id VARCHAR,
    value DOUBLE, passed BOOLEAN, unscored VARCHAR, errored BOOLEAN, mode VARCHAR, preference VARCHAR, explanation VARCHAR,
    spread DOUBLE, requests INTEGER, asked INTEGER, prompt_tokens BIGINT, completion_tokens BIGINT, seconds DOUBLE,
    flags VARCHAR, judged_at DOUBLE, content VARCHAR
);

-- Judges held against people, the latest of each judge's digest and capability ('': all). content: the Calibration as JSON.
CREATE TABLE calibrations (judge VARCHAR, judge_digest VARCHAR, capability VARCHAR, made_at DOUBLE, content VARCHAR);
