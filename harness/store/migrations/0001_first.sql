-- Keys are kept unique by the fold (anti joins in one transaction under the store's lock), not by PRIMARY KEY: DuckDB's
-- indexes stay in memory and refuse delete-then-insert of one key inside a transaction. JSON is kept as text, exactly as written.
-- Times are seconds since the epoch, durations seconds.

CREATE TABLE suites (hash VARCHAR, name VARCHAR, source VARCHAR, content VARCHAR, added_at DOUBLE);

CREATE TABLE candidates (digest VARCHAR, name VARCHAR, content VARCHAR, added_at DOUBLE);

-- What a case says; shared by all runs. digest covers all columns, id only what makes the case the same case.
CREATE TABLE cases (digest VARCHAR, id VARCHAR, capability VARCHAR, vars VARCHAR, reference VARCHAR, metadata VARCHAR);

-- The rendered messages of a request, once per key.
CREATE TABLE requests (key VARCHAR, messages VARCHAR);

CREATE TABLE runs (
    id VARCHAR, suite_name VARCHAR, suite_hash VARCHAR, candidate_name VARCHAR, candidate_digest VARCHAR, candidate VARCHAR,
    status VARCHAR, plan VARCHAR, started_at DOUBLE, finished_at DOUBLE, ledger VARCHAR, provenance VARCHAR
);

-- The plan: every (case, sample) of a run, in order.
CREATE TABLE items (
    run_id VARCHAR, seq BIGINT, case_id VARCHAR, capability VARCHAR, sample INTEGER, key VARCHAR, case_digest VARCHAR,
    cluster VARCHAR, split VARCHAR, must_pass BOOLEAN, source VARCHAR
);

-- Responses and failures, once each: id covers all of a response. key is what they are found again by.
CREATE TABLE responses (
    id VARCHAR, key VARCHAR, run_id VARCHAR, text VARCHAR, thinking VARCHAR, finish_reason VARCHAR,
    prompt_tokens BIGINT, completion_tokens BIGINT, ttft_s DOUBLE, total_s DOUBLE, attempts INTEGER, started_at DOUBLE,
    error VARCHAR, error_message VARCHAR
);

-- What became of an item. rank: 2 a response, 1 an error, 0 skipped.
CREATE TABLE answers (
    run_id VARCHAR, case_id VARCHAR, sample INTEGER, key VARCHAR, rank INTEGER, response_id VARCHAR, cached BOOLEAN, reason VARCHAR
);

CREATE TABLE scores (
    run_id VARCHAR, case_id VARCHAR, sample INTEGER, scorer VARCHAR, scorer_digest VARCHAR, key VARCHAR,
    value DOUBLE, passed BOOLEAN, unscored VARCHAR, explanation VARCHAR, components VARCHAR
);

CREATE TABLE verdicts (run_id VARCHAR, baseline_run_id VARCHAR, outcome VARCHAR, content VARCHAR, decided_at DOUBLE);

CREATE TABLE comparisons (
    run_id VARCHAR, baseline_run_id VARCHAR, capability VARCHAR, role VARCHAR, margin DOUBLE, candidate_mean DOUBLE,
    baseline_mean DOUBLE, delta DOUBLE, low DOUBLE, high DOUBLE, n_paired BIGINT, method VARCHAR, claims VARCHAR
);

CREATE TABLE promotions (suite_name VARCHAR, run_id VARCHAR, promoted_at DOUBLE);

-- How far each journal segment is in the tables already, in bytes.
CREATE TABLE folded (segment VARCHAR, bytes BIGINT);
