"""Who a candidate is: a digest of what decides its answers, so that a response can be reused and two hosts mean the same model.

A local candidate is identified by content: weights, config, tokenizer, chat template, generation config, adapter. Paths that the
files mention (where a base lay when an adapter was trained) do not count. Weaker identities, which reports should mention: a hub
id that is not in the local hub cache (``hub:ID@REVISION``: its owner may change it) and an endpoint (address, name, revision).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import tempfile
import time
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from harness.errors import UsageError
from harness.model import Candidate, Prompt, digest_of
from harness.serving import adapters
from harness.serving.adapters import check_adapter

DECIDING = (
    "config.json",
    "generation_config.json",
    "model.safetensors.index.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "added_tokens.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "chat_template.json",
)
PATH_KEYS = frozenset({"base_model_name_or_path", "_name_or_path", "name_or_path"})
PICKLES = (".bin", ".pt", ".pth", ".ckpt")
RACY_NS = 2_000_000_000  # a file changed this recently may change again within its time stamp's grain: its digest is not kept
BIG = 1 << 30  # bytes: hashing this much is announced
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


class DigestCache:
    """sha256 of big files, kept by (path, size, mtime, inode) in a JSON file, so that 100 GB are read once. None: not kept."""

    def __init__(self, path: Path | None, *, say: Callable[[str], None] = lambda line: None) -> None:
        self._path, self._say = path, say
        self._known: dict[str, list[Any]] = {}
        if path is not None:
            with contextlib.suppress(OSError, ValueError, RecursionError):
                known = json.loads(path.read_bytes())
                self._known = {k: v for k, v in known.items() if isinstance(v, list)} if isinstance(known, dict) else {}

    def sha256(self, path: Path) -> str:
        """Hex digest of the file's bytes."""
        path = path.resolve()
        stat = path.stat()
        mark = [stat.st_size, stat.st_mtime_ns, stat.st_ino]
        known = self._known.get(str(path))
        if known and known[:3] == mark and len(known) == 4 and re.fullmatch("[0-9a-f]{64}", str(known[3])):
            return str(known[3])
        if stat.st_size >= BIG:
            self._say(f"reading {path.name} ({stat.st_size / BIG:.1f} GiB) to identify it, once")
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if time.time_ns() - stat.st_mtime_ns > RACY_NS:
            self._known[str(path)] = [*mark, digest]
            self._save()
        return digest

    def _save(self) -> None:
        """Replaces the file in one step. A cache that cannot be written is no error: the next run reads the weights again."""
        if self._path is None:
            return
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            kept = {path: entry for path, entry in self._known.items() if os.path.exists(path)}
            handle, temporary = tempfile.mkstemp(dir=self._path.parent, prefix=self._path.name)
            try:
                with os.fdopen(handle, "w") as file:
                    json.dump(kept, file)
                os.replace(temporary, self._path)
            except OSError:
                os.unlink(temporary)


def identify(
    name: str,
    model: str,
    *,
    root: Path,
    adapter: str | None = None,
    revision: str | None = None,
    endpoint: str | None = None,
    prompt: Prompt | None = None,
    cache: DigestCache | None = None,
) -> Candidate:
    """A Candidate from what a suite says of it. model, adapter: a directory relative to root, or a hub id.

    A local candidate's ``model`` is its own name: under that the harness serves it. Raises UsageError for what cannot be served:
    no such directory, pickled weights, an adapter that does not fit.
    """
    prompt = prompt or Prompt()
    cache = cache or DigestCache(None)
    if endpoint is not None:
        digest = digest_of(["endpoint", endpoint.rstrip("/"), model, revision])
        return Candidate(name, model, digest, kind="endpoint", base_url=endpoint, prompt=prompt)
    base = resolve(model, root, revision)
    digest = digest_base(base, cache) if base else f"hub:{model}@{revision or 'main'}"
    tuned: Path | None = None
    if adapter is not None:
        tuned = resolve(adapter, root, None)
        if tuned is None:
            raise UsageError(
                "the adapter is neither a directory nor in the local hub cache", where=adapter, todo="download it first"
            )
        check_adapter(tuned, base)
        digest = digest_of([digest, digest_adapter(tuned, cache)])
    return Candidate(name, name, digest, base=str(base or model), adapter=str(tuned) if tuned else None, prompt=prompt)


def resolve(model: str, root: Path, revision: str | None, env: Mapping[str, str] = os.environ) -> Path | None:
    """The directory ``model`` means: one under root, or a hub id's snapshot in the local hub cache. None: a hub id not there.

    Raises UsageError for what can be neither.
    """
    path = (root / Path(model).expanduser()).resolve()
    if path.is_dir():
        return path
    looks_local = not _HUB_ID.fullmatch(model) or model.startswith(".") or path.parent.is_dir()
    if looks_local:
        near = get_close_matches(path.name, _folders(path.parent), 3)
        todo = f"did you mean {', '.join(near)}?" if near else f"paths start from {root}; a hub id looks like owner/name"
        raise UsageError("no such model directory", where=str(path), todo=todo)
    repo = _hub_cache(env) / f"models--{model.replace('/', '--')}"
    wanted = revision or "main"
    with contextlib.suppress(OSError, ValueError):
        wanted = (repo / "refs" / wanted).read_text().strip()
    if not re.fullmatch(r"[\w.-]+", wanted) or wanted.startswith("."):
        return None
    snapshot = repo / "snapshots" / wanted
    return snapshot if any(snapshot.glob("*.safetensors")) else None


def digest_base(folder: Path, cache: DigestCache) -> str:
    """64 hex digits over every file that decides what the model answers."""
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        pickled = sorted(path.name for path in folder.iterdir() if path.suffix in PICKLES)
        if pickled:
            raise UsageError(
                f"the weights are a pickle ({pickled[0]}), which runs code when it is loaded",
                where=str(folder),
                todo="save the model with safetensors (save_pretrained does)",
            )
        raise UsageError("no *.safetensors in it", where=str(folder), todo="name the folder of a saved model")
    if not (folder / "config.json").is_file():
        raise UsageError("no config.json in it", where=str(folder), todo="name the folder of a saved model")
    parts = {path.name: cache.sha256(path) for path in weights}
    parts |= {name: _digest_small(folder / name) for name in DECIDING if (folder / name).is_file()}
    return digest_of(parts)


def digest_adapter(folder: Path, cache: DigestCache) -> str:
    """64 hex digits over the adapter's weights and its config without paths."""
    return digest_of([cache.sha256(folder / adapters.WEIGHTS), _digest_small(folder / adapters.CONFIG)])


def _digest_small(path: Path) -> str:
    """A JSON object counts by its meaning, without paths (PEFT writes target_modules in any order); others count by bytes."""
    raw = path.read_bytes()
    if path.suffix == ".json" and len(raw) < 1 << 20:
        with contextlib.suppress(ValueError, RecursionError):
            data = json.loads(raw)
            if isinstance(data, dict):
                return digest_of({key: _ordered(key, value) for key, value in data.items() if key not in PATH_KEYS})
    return hashlib.sha256(raw).hexdigest()


def _ordered(key: str, value: Any) -> Any:
    named = key in ("target_modules", "modules_to_save") and isinstance(value, list)
    return sorted(value, key=str) if named else value


def _hub_cache(env: Mapping[str, str]) -> Path:
    """Where huggingface_hub keeps models (its documented environment variables)."""
    if env.get("HF_HUB_CACHE"):
        return Path(env["HF_HUB_CACHE"])
    home = env.get("HF_HOME") or os.path.join(env.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "huggingface")
    return Path(home) / "hub"


def _folders(parent: Path) -> list[str]:
    with contextlib.suppress(OSError):
        return [entry.name for entry in parent.iterdir() if entry.is_dir()]
    return []
