"""A process that labels, to be killed: python label_writer.py STORE RATER ACKNOWLEDGED. One line for each label that is safe."""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from harness.store import Store
from harness.store.labels import LabelStore
from support.people import make_label


def main(folder: str, rater: str, acknowledged: str) -> None:
    log = os.open(acknowledged, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    with LabelStore(Store.open(folder)).writer() as writer:
        for number in range(100_000):
            name = f"{rater}{number}"
            writer.add(make_label(id=f"{os.getpid():016x}{number:016x}", case_id=name, rater=rater))
            os.write(log, f"{name}\n".encode())


if __name__ == "__main__":
    main(*sys.argv[1:])
