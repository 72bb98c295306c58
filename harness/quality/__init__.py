"""Training data: read it, check it, look at it, thin it out, make more of it.

examples.py holds the nouns that everything here speaks of, files.py streams them from and to files of any kind, formats/ knows
how TRL, LLaMA-Factory and plain messages write a row. Nothing here loads a model of its own accord: an embedder, a scorer or a
tokenizer is handed in.
"""

from __future__ import annotations

from harness.quality.examples import Dropped, Example, Kind, Turn
from harness.quality.files import read_examples, write_dropped, write_examples

__all__ = ["Dropped", "Example", "Kind", "Turn", "read_examples", "write_dropped", "write_examples"]
