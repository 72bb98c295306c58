"""Causes found in logs: the lines are as vLLM 0.32 (CPU build) and its libraries print them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.serving.log import CAP, cause_of, stage_of
from harness.serving.metrics import ServerMetrics, parse

WORKER = "(Worker pid=12719) ERROR 11-24 08:28:02 [multiproc_executor.py:953] "
CASES = {
    "not-installed": (
        "python: Error while finding module spec (ModuleNotFoundError: No module named 'vllm')",
        "serve-cpu",
    ),
    "max-model-len": (
        "pydantic_core.ValidationError: 1 validation error for ModelConfig\n  Value error, User-specified max_model_len"
        " (99999) is greater than the derived max_model_len (max_position_embeddings=512.0 or model_max_length=None in model's",
        "99999 is more than the model's 512",
    ),
    "architecture": (
        "  Value error, The checkpoint you are trying to load has model type `nosuch` but Transformers does not recognize this",
        "'nosuch'",
    ),
    "weights": (
        WORKER + "safetensors._safetensors_rust.SafetensorError: Error while deserializing header: incomplete metadata, file not"
        " fully covered\nException: WorkerProc initialization failed due to an exception in a background process.\n"
        "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}",
        "incomplete metadata",
    ),
    "lora-rank": (WORKER + "ValueError: LoRA rank 16 is greater than max_lora_rank 8.", "rank 16"),
    "port": ("OSError: [Errno 98] Address already in use", "port"),
    "memory": (
        "RuntimeError: [enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you tried",
        "max_model_len",
    ),
    "killed": (
        "(EngineCore pid=1) ERROR [x.py:315] Worker proc VllmWorker-0 died unexpectedly (exit",
        "memory",
    ),
    "arguments": ("api_server.py: error: unrecognized arguments: --no-such-flag", "--no-such-flag"),
    "device": ("ImportError: libcudart.so.12: cannot open shared object file: No such file or directory", "serve-cpu"),
    "model-missing": ("OSError: x/y is not a local folder and is not a valid model identifier listed on", "hub"),
    "configuration": ("  Value error, something is odd [type=value_error, input_value=ArgsKwargs()]", "something is odd"),
    "unknown": (
        WORKER
        + "ValueError: the real reason\n(EngineCore pid=1) ERROR 1-2 3:4 [core.py:1510] Exception: WorkerProc initialization"
        " failed\nRuntimeError: Engine core initialization failed. See root cause above.\nsome warning after it",
        "ValueError: the real reason",
    ),
}


@pytest.mark.parametrize("code", CASES)
def test_known_causes(code: str) -> None:
    log, says = CASES[code]
    cause = cause_of("INFO up\n" + log + "\n")
    assert cause.code == code
    assert says in f"{cause.what} {cause.todo}"


def test_a_kill_and_an_empty_log() -> None:
    assert cause_of("INFO fine\n", 137).code == "killed"
    assert cause_of("").what == "its log is empty"
    assert cause_of("last words\n\n").what == "last words"


@given(st.text(max_size=400))
def test_any_log_gives_a_short_plain_cause(log: str) -> None:
    cause = cause_of(log)
    assert 0 < len(cause.what) <= CAP
    assert not any(ord(character) < 32 for character in cause.what)


def test_hostile_braces_and_control_characters_in_a_cause() -> None:
    assert "{0.__class__}" in cause_of("error: unrecognized arguments: {0.__class__}").what
    assert "\x1b" not in cause_of("ValueError: \x1b[31mred").what


def test_stages_follow_the_log() -> None:
    log = ""
    assert stage_of(log) == ""
    for line, words in [
        ("non-default args: {}", "configuration"),
        ("Starting to load model /x...", "weights"),
        ("init engine (profile", "HTTP"),
    ]:
        log += line + "\n"
        assert words in stage_of(log)


def test_metrics_of_vllm_and_of_something_else() -> None:
    page = (
        'vllm:request_success_total{finished_reason="stop"} 3.0\nvllm:request_success_total{finished_reason="length"} 2.0\n'
        "vllm:e2e_request_latency_seconds_sum 10.0\nvllm:e2e_request_latency_seconds_count 5.0\nvllm:num_preemptions_total 1.0\n"
        'vllm:e2e_request_latency_seconds_bucket{le="1"} 4.0\n'
    )
    assert parse(page) == ServerMetrics(requests=5, preemptions=1, latency_s=2.0)
    assert parse("") == ServerMetrics()
    assert parse("other_total 3\n") == ServerMetrics()
