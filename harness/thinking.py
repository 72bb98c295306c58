"""Splits a reasoning model's thinking off its answer, so that checks and judges see only what a user would read.

A thinking block counts only where it leads: a start tag in the middle of an answer is part of the answer (it may be about tags).
Many chat templates put the start tag into the prompt, so the answer then begins inside the block and only the end tag shows.
"""

from __future__ import annotations

DEFAULT_TAGS = ("<think>", "</think>")


def split_thinking(text: str, tags: tuple[str, str] | None = DEFAULT_TAGS) -> tuple[str, str | None]:
    """(answer, thinking). thinking is None where the text has none; tags None turns splitting off.

    A block that never ends (the token limit cut it) is all thinking: the answer is then empty, which checks treat as such.
    """
    if tags is None or (tags[0] not in text and tags[1] not in text):
        return text, None
    start, end = tags
    blocks: list[str] = []
    rest = text.lstrip()
    if not rest.startswith(start):
        before, found, after = rest.partition(end)
        if not found or start in before:
            return text, None
        blocks.append(before)
        rest = after.lstrip()
    while rest.startswith(start):
        inner, found, after = rest[len(start) :].partition(end)
        blocks.append(inner)
        rest = after.lstrip() if found else ""
    return rest, "\n".join(block.strip() for block in blocks)
