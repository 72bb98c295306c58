"""52,000 instructions through the ROUGE-L novelty filter, each against all accepted before it, as Self-Instruct does.

    python benchmarks/novelty.py [--count 52000] [--verify 60]

The instructions are made, by a seeded generator, from the 175 seed tasks of Self-Instruct: their sentences with words exchanged
against words of other tasks, so that lengths, frequent words and near repetitions are like those of a real pool. ``--verify``
asks rouge-score itself about so many of them, against the whole pool as it stood, and counts the decisions that differ.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.quality.novelty import THRESHOLD, NoveltyIndex

SEEDS = Path(__file__).parent.parent / "harness" / "quality" / "seeds" / "seed_tasks.jsonl"
COUNT = 52_000
VERIFIED = 60


def instructions(count: int, seed: int = 20221220) -> Iterator[str]:
    """Made instructions: one sentence of a seed task, or two of different ones, with a share of their words exchanged."""
    rng = random.Random(seed)
    tasks = [json.loads(line) for line in SEEDS.read_text(encoding="utf-8").splitlines()]
    asked = [task["instruction"].split() for task in tasks]
    shown = [
        word for task in tasks for instance in task["instances"] for word in f"{instance['input']} {instance['output']}".split()
    ]
    words = [word for sentence in asked for word in sentence] * 4 + shown
    for _ in range(count):
        sentence = list(rng.choice(asked))
        if rng.random() < 0.3:
            other = rng.choice(asked)
            sentence = sentence[: len(sentence) // 2 + 1] + other[rng.randrange(len(other)) :]
        share = rng.betavariate(2, 2.5)
        yield " ".join(rng.choice(words) if rng.random() < share else word for word in sentence)


def filtered(texts: list[str]) -> tuple[NoveltyIndex, list[bool]]:
    """The pool and, text by text, whether it was accepted."""
    index, decisions = NoveltyIndex(), []
    for text in texts:
        new = index.closest(text) is None
        decisions.append(new)
        if new:
            index.add(text)
    return index, decisions


def disagreements(texts: list[str], decisions: list[bool], sampled: int) -> int:
    """Decisions of a seeded sample that rouge-score, asked about every pair, makes otherwise."""
    from rouge_score.rouge_scorer import RougeScorer

    scorer, wrong = RougeScorer(["rougeL"]), 0
    for place in sorted(random.Random(1).sample(range(len(texts)), min(sampled, len(texts)))):
        pool = [text for text, new in zip(texts[:place], decisions[:place], strict=True) if new]
        close = any(scorer.score(text, texts[place])["rougeL"].fmeasure > THRESHOLD for text in pool)
        wrong += close == decisions[place]
    return wrong


def measure(repeat: int = 1, count: int = COUNT, verify: int = VERIFIED) -> dict[str, Any]:
    """The fastest of ``repeat`` runs; wall and CPU seconds of the filter alone, in one process."""
    texts = list(instructions(count))
    best: dict[str, Any] = {}
    for _ in range(repeat):
        wall, cpu = time.perf_counter(), time.process_time()
        index, decisions = filtered(texts)
        spent = {"wall_s": round(time.perf_counter() - wall, 2), "cpu_s": round(time.process_time() - cpu, 2)}
        if not best or spent["wall_s"] < best["wall_s"]:
            best = spent
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    figures = {"instructions": count, "accepted": len(index), "mean_words": round(sum(len(t.split()) for t in texts) / count, 1)}
    checked = {"verified": min(verify, count), "disagreements": disagreements(texts, decisions, verify)} if verify else {}
    return figures | best | {"peak_mb": peak} | checked


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=COUNT)
    parser.add_argument("--verify", type=int, default=VERIFIED)
    options = parser.parse_args()
    print(json.dumps(measure(1, options.count, options.verify), indent=1))


if __name__ == "__main__":
    main()
