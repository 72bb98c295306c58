"""Reads a server's log: why it died, in a sentence with what to do, and how far its start has come."""

from __future__ import annotations

import re
from dataclasses import dataclass

CAP = 300  # characters of a cause
_EXCEPTION = re.compile(
    r"^(?:\([\w -]+ pid=\d+\) )?(?:(?:ERROR|CRITICAL) [\d-]+ [\d:]+ \[[^\]]+\] )?"
    r"(?P<text>(?:[A-Za-z_]\w*\.)*\w*(?:Error|Exception|Interrupt|Exit): .+)$",
    re.MULTILINE,
)
_WRAPPERS = (
    "Engine core initialization failed",
    "WorkerProc initialization failed",
    "cancelled",
    "EngineDeadError",
    "EngineCore encountered",
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")

_INSTALL = "pip install 'seesaw-harness[serve]' with a GPU, 'seesaw-harness[serve-cpu]' without"
_MEMORY = "set serve.max_model_len lower, use a smaller model, or end what else uses the memory"


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a server ended. code is for machines."""

    code: str
    what: str
    todo: str = ""


# Pattern in the log -> cause; groups of the match fill the texts. The first that matches decides.
_KNOWN: tuple[tuple[str, Cause], ...] = (
    (r"No module named '?(vllm)\b", Cause("not-installed", "vLLM is not installed", _INSTALL)),
    (
        r"max_model_len \((\d+)\) is greater than the derived max_model_len \((?:[\w ]+=)?([\d.]+?)(?:\.0)?\b",
        Cause("max-model-len", "max_model_len {0} is more than the model's {1}", "set serve.max_model_len to {1} or less"),
    ),
    (
        r"LoRA rank (\d+) is greater than max_lora_rank (\d+)",
        Cause("lora-rank", "an adapter has rank {0}, the server takes {1} at most", "set serve.args to --max-lora-rank {0}"),
    ),
    (
        r"model type `([^`]{1,60})` but Transformers does not recognize",
        Cause(
            "architecture", "the installed transformers does not know the model type {0!r}", "use a newer vLLM, or another model"
        ),
    ),
    (
        r"Model architectures \[([^\]]{1,120})\] (?:are not supported|failed to be inspected)",
        Cause(
            "architecture",
            "vLLM does not serve the architecture {0}",
            "use a newer vLLM, or serve the model elsewhere as an endpoint",
        ),
    ),
    (
        r"trust_remote_code=True",
        Cause("remote-code", "the model wants to run code of its own", "if you trust it: serve.args --trust-remote-code"),
    ),
    (
        r"(?i:out of memory|not enough memory|can't allocate memory|cannot allocate memory|insufficient memory|MemoryError)"
        r"|No available memory for the cache blocks|less than desired (?:GPU|CPU) memory|KV cache is needed, which is larger",
        Cause("memory", "out of memory", _MEMORY),
    ),
    (
        r"Worker proc \S+ died unexpectedly",
        Cause("killed", "a worker of the server was killed, mostly because memory ran out", _MEMORY),
    ),
    (r"(?i:address already in use)", Cause("port", "the port is taken", "leave serve.port out")),
    (
        r"SafetensorError: (.{1,120})",
        Cause("weights", "the weights cannot be read: {0}", "copy or save the model again"),
    ),
    (
        r"(?:is not a local folder and is not a valid model identifier|Cannot find the requested files in the local cache"
        r"|LocalEntryNotFoundError|Repository Not Found|OfflineModeIsEnabled|couldn't connect to)",
        Cause(
            "model-missing",
            "the model is neither a directory nor could it be loaded from the hub",
            "check serve and the candidate's model",
        ),
    ),
    (r"unrecognized arguments: (.{1,120})", Cause("arguments", "vLLM does not know {0}", "mend serve.args")),
    (r"error: argument (.{1,160})", Cause("arguments", "vLLM refuses argument {0}", "mend serve.args")),
    (
        r"libcud\w+\.so|Torch not compiled with CUDA|No CUDA GPUs are available|Failed to infer device type|no NVIDIA driver",
        Cause("device", "this build of vLLM finds no GPU", "without a GPU: pip install 'seesaw-harness[serve-cpu]'"),
    ),
)

STAGES: tuple[tuple[str, str], ...] = (
    ("non-default args", "reading the configuration"),
    ("Initializing a V1 LLM engine", "starting the engine"),
    ("Starting to load model", "loading the weights"),
    ("Loading weights took", "preparing the cache"),
    ("Warming up model", "compiling and warming up"),
    ("init engine", "starting the HTTP server"),
)


def cause_of(log: str, exit_code: int | None = None) -> Cause:
    """Why the server ended: a known cause, or the last exception that is not merely about another one, or its last line."""
    for pattern, cause in _KNOWN:
        if match := re.search(pattern, log):
            groups = [_plain(group or "") for group in match.groups()]
            return Cause(cause.code, cause.what.format(*groups)[:CAP], cause.todo.format(*groups))
    if exit_code == 137:
        return Cause("killed", "it was killed (signal 9), most often because memory ran out", _MEMORY)
    values = re.findall(r"^ +Value error, (.+?)(?: \[type=|$)", log, re.MULTILINE)
    if values:
        return Cause("configuration", _plain(values[-1])[:CAP] or "a value is wrong")
    roots = [m["text"] for m in _EXCEPTION.finditer(log) if not any(wrapper in m["text"] for wrapper in _WRAPPERS)]
    lines = [line for line in log.splitlines() if line.strip()]
    what = _plain(roots[-1] if roots else lines[-1] if lines else "")
    return Cause("unknown", what[:CAP] or "its log is empty")


def stage_of(log: str) -> str:
    """How far a start has come, in words; "" at the very beginning."""
    found = ""
    for mark, words in STAGES:
        if mark in log:
            found = words
    return found


def _plain(text: str) -> str:
    return _CONTROL.sub(" ", text).strip()
