"""Formats of training rows, one module each; the modules without FORMATS hold what they share. See base.py."""

from __future__ import annotations

from harness.quality.formats.base import Format, Layout, Unfit
from harness.quality.formats.detect import Guess, detect
from harness.quality.formats.info import Entry, entry_for, read_info

__all__ = ["Entry", "Format", "Guess", "Layout", "Unfit", "detect", "entry_for", "read_info"]
