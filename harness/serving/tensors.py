"""Reads the header of a safetensors file: names, types and shapes, without torch and without reading a weight.

The format: 8 bytes little-endian header length, then that many bytes of JSON (github.com/huggingface/safetensors, "Format").
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from harness.errors import UsageError

HEADER_CAP = 100_000_000  # bytes; the format's own limit

Shape = tuple[int, ...]


def shapes(path: Path) -> dict[str, Shape]:
    """Tensor name -> shape. Raises UsageError for a file that is not safetensors or was cut."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or not 2 <= length <= min(HEADER_CAP, size - 8):
                raise ValueError("its header is longer than the file" if size >= 8 else "it is shorter than a header")
            header = json.loads(file.read(length))
        if not isinstance(header, Mapping):
            raise ValueError("its header is not an object")
        header = {name: entry for name, entry in header.items() if name != "__metadata__"}
        end = max((entry["data_offsets"][1] for entry in header.values()), default=0)
        if 8 + length + end > size:
            raise ValueError(f"it was cut: {8 + length + end} bytes expected, {size} there")
        return {name: tuple(int(n) for n in entry["shape"]) for name, entry in header.items()}
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", where=str(path)) from error
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise UsageError(f"not a whole safetensors file ({error})", where=str(path), todo="copy or save it again") from error


def folder_shapes(folder: Path) -> dict[str, Shape]:
    """The tensors of all safetensors files of a checkpoint (shards)."""
    found: dict[str, Shape] = {}
    for path in sorted(folder.glob("*.safetensors")):
        found |= shapes(path)
    return found
