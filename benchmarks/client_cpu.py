"""Client CPU seconds per 1,000 samples at 256 requests at once, the server a stub that answers after 50 ms.

    python benchmarks/client_cpu.py [--repeat 3]

`harness run` whole, as a process: suite, prompts, requests, numeric check, DuckDB store, verdict, HTML report. ``per_1000`` is
all of its CPU time at 2,000 samples, divided by 2, with start-up, ``per_1000_large`` the same at 8,000; ``marginal`` what 1,000
samples more cost, from 2,000 to 8,000.
Beside it, in the same rounds on the same machine: a loop over the openai client alone on its aiohttp transport; it keeps nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import common

SMALL, LARGE = 2_000, 8_000
DELAY_S = 0.05
MODES = ("never", "sampled", "always")


def harness_cpu(url: str, samples: int, stream: str) -> float:
    with common.workplace() as folder:
        common.write_cases(folder, samples)
        common.write_suite(folder, url, stream=stream)
        before = common.counts(url)["requests"]
        used = common.measured(common.run_command(folder), folder)
        assert common.counts(url)["requests"] - before == samples
        common.check_all_scored(folder, samples)
        return used.cpu


def bare_cpu(url: str, samples: int) -> float:
    with common.workplace() as folder:
        return common.measured([sys.executable, __file__, "--bare", url, str(samples)], folder).cpu


async def bare(url: str, samples: int) -> None:
    """The yardstick: as many questions, as many at once, through the client's documented interface."""
    import openai

    questions = iter([f"What is {number + 1000} + {(number * 7919) % 9973}?" for number in range(samples)])

    async def ask(client: openai.AsyncOpenAI) -> None:
        for question in questions:
            answer = await client.chat.completions.create(
                model="stub",
                messages=[{"role": "system", "content": "Answer briefly."}, {"role": "user", "content": question}],
                max_tokens=64,
                temperature=0,
            )
            assert answer.choices[0].message.content

    http = openai.DefaultAioHttpClient()
    async with openai.AsyncOpenAI(base_url=url, api_key="none", http_client=http) as client:
        await asyncio.gather(*(ask(client) for _ in range(common.CONCURRENCY)))


def figures(small: list[float], large: list[float]) -> dict[str, Any]:
    """Medians of the rounds; the marginal cost is taken within each round."""
    marginal = [(b - a) / ((LARGE - SMALL) / 1000) for a, b in zip(small, large, strict=True)]
    return {
        "per_1000": common.median([cpu / (SMALL / 1000) for cpu in small]),
        "per_1000_large": common.median([cpu / (LARGE / 1000) for cpu in large]),
        "marginal": common.median(marginal),
        "cpu_s": {str(SMALL): [round(x, 2) for x in small], str(LARGE): [round(x, 2) for x in large]},
    }


def measure(repeat: int) -> dict[str, Any]:
    """Rounds of everything, so that a busy minute of the machine hurts all alike."""
    seen: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in (*MODES, "openai client alone")}
    with common.stub(DELAY_S) as url:
        for _ in range(repeat):
            for index, samples in enumerate((SMALL, LARGE)):
                for mode in MODES:
                    seen[mode][index].append(harness_cpu(url, samples, mode))
                seen["openai client alone"][index].append(bare_cpu(url, samples))
    return {name: figures(*times) for name, times in seen.items()}


def main() -> None:
    if sys.argv[1:2] == ["--bare"]:
        asyncio.run(bare(sys.argv[2], int(sys.argv[3])))
        return
    parser = argparse.ArgumentParser(description=Path(__file__).name)
    parser.add_argument("--repeat", type=int, default=3)
    print(json.dumps(measure(parser.parse_args().repeat), indent=1))


if __name__ == "__main__":
    main()
