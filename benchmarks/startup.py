"""How long a person waits for the command line: wall-clock seconds, median, and CPU seconds, which other work disturbs less.

python benchmarks/startup.py [--repeat 10]
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import common

GSM8K = common.HERE.parent / "suites" / "gsm8k" / "suite.yaml"
COMMANDS = {"harness --help": ["--help"], "harness validate suites/gsm8k/suite.yaml": ["validate", str(GSM8K)]}


def measure(repeat: int = 10) -> dict[str, Any]:
    found = {}
    with common.workplace() as folder:
        for name, arguments in COMMANDS.items():
            used = [common.measured([common.HARNESS, *arguments], folder, codes=(0,)) for _ in range(repeat)]
            found[name] = {"wall_s": common.median([u.wall for u in used]), "cpu_s": common.median([u.cpu for u in used])}
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeat", type=int, default=10)
    print(json.dumps(measure(parser.parse_args().repeat), indent=1))


if __name__ == "__main__":
    main()
