"""LLM judges: models that score or compare responses. The seam is harness.model.Scorer; none is built yet, suites use checks."""
