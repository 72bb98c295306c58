"""LLM judges: models that score or compare responses. The seam is harness.model.Scorer; none is built in yet, suites use checks."""
