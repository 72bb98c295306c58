"""Where runs live: the only package that knows DuckDB. See harness.store.store for how it works."""

from harness.store.judged import Asked, ReplySizes, StoredJudgment
from harness.store.rows import Latencies, StoredVerdict
from harness.store.store import Store
from harness.store.writer import RunWriter

__all__ = ["Asked", "Latencies", "ReplySizes", "RunWriter", "Store", "StoredJudgment", "StoredVerdict"]
