-- What people said of cases, and which cases they were to look at. Labels are only ever added: an edit or an undo is a row of its
-- own (supersedes, withdrawn). See harness.model.Label and harness.labels.

CREATE TABLE labels (
    id VARCHAR, run_id VARCHAR, baseline_run_id VARCHAR, capability VARCHAR, case_id VARCHAR, sample INTEGER, split VARCHAR,
    kind VARCHAR, rater VARCHAR, created_at DOUBLE, responses VARCHAR[], sides VARCHAR[], passed BOOLEAN, rating INTEGER,
    preference VARCHAR, ranking VARCHAR[][], marks VARCHAR[], comment VARCHAR, blind BOOLEAN, seconds DOUBLE, plan VARCHAR,
    probability DOUBLE, supersedes VARCHAR, withdrawn BOOLEAN, adjudicates BOOLEAN
);

CREATE TABLE label_plans (
    id VARCHAR, run_id VARCHAR, baseline_run_id VARCHAR, kind VARCHAR, split VARCHAR, seed BIGINT, batch BIGINT, population BIGINT,
    created_at DOUBLE, rest_rank DOUBLE
);

-- The first cases of each plan, in order; weight and draw give every case its chance (harness.statistics.selection). answers: ids
-- of the responses that are to be labelled.
CREATE TABLE label_picks (
    plan_id VARCHAR, position BIGINT, capability VARCHAR, case_id VARCHAR, tier VARCHAR, weight DOUBLE, draw DOUBLE,
    answers VARCHAR[]
);
