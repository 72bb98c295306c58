-- What was trained, of which data, by which recipe: the way back from weights to the cases that caused them. recipe, data, metrics,
-- history and provenance are JSON. weights: the candidate digest of what came out (base and adapter), so that runs find it.

CREATE TABLE trainings (
    id VARCHAR, stage VARCHAR, base VARCHAR, output VARCHAR, weights VARCHAR, status VARCHAR, recipe VARCHAR, data VARCHAR,
    metrics VARCHAR, history VARCHAR, provenance VARCHAR, started_at DOUBLE, finished_at DOUBLE
);

CREATE TABLE training_checkpoints (training_id VARCHAR, step BIGINT, path VARCHAR, weights VARCHAR, eval_loss DOUBLE, best BOOLEAN);

-- Rows that carry where they come from. file: position in the training's data, from 0; line: from 1.
CREATE TABLE training_rows (training_id VARCHAR, file INTEGER, line BIGINT, pair_id VARCHAR, case_id VARCHAR, run_id VARCHAR);
