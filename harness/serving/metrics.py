"""Figures of a running vLLM server, from its Prometheus page."""

from __future__ import annotations

from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families


@dataclass(frozen=True, slots=True)
class ServerMetrics:
    """Since the server's start. Times are means in seconds; None where the server has not measured (or does not tell)."""

    requests: int = 0
    prompt_tokens: int = 0
    generation_tokens: int = 0
    preemptions: int = 0
    prefix_cache_hit_rate: float | None = None
    latency_s: float | None = None
    ttft_s: float | None = None
    token_s: float | None = None
    memory_gb: float | None = None  # what its processes hold, by harness.serving.memory: the page does not tell


def parse(page: str) -> ServerMetrics:
    """Reads the page of /metrics. Unknown pages give zeros and None. Raises ValueError when it is no Prometheus text."""
    sums: dict[str, float] = {}
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            if sample.name.startswith("vllm:") and not sample.name.endswith(("_bucket", "_created")):
                sums[sample.name] = sums.get(sample.name, 0.0) + sample.value

    def total(name: str) -> int:
        return int(sums.get(f"vllm:{name}_total", 0))

    def mean(*names: str) -> float | None:
        for name in names:
            if count := sums.get(f"vllm:{name}_count"):
                return sums[f"vllm:{name}_sum"] / count
        return None

    queries = sums.get("vllm:prefix_cache_queries_total", 0.0)
    return ServerMetrics(
        requests=total("request_success"),
        prompt_tokens=total("prompt_tokens"),
        generation_tokens=total("generation_tokens"),
        preemptions=total("num_preemptions"),
        prefix_cache_hit_rate=sums.get("vllm:prefix_cache_hits_total", 0.0) / queries if queries else None,
        latency_s=mean("e2e_request_latency_seconds"),
        ttft_s=mean("time_to_first_token_seconds"),
        token_s=mean("inter_token_latency_seconds", "time_per_output_token_seconds"),
    )
