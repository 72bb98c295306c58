"""A run in a process of its own, to be killed: python store_writer.py STORE RUN SAMPLES ACKNOWLEDGED [--finish].

Goes on where the run stands. Each response is acknowledged (one line in the file ACKNOWLEDGED) after the store has taken it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from harness.store import Store, journal
from support.runs import make_record, make_requests, make_response, make_score


def main(folder: str, run_id: str, samples: int, acknowledged: str, finish: bool) -> None:
    journal.SEGMENT_LINES = 150  # rotate often
    store = Store.open(folder)
    log = os.open(acknowledged, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    with store.begin_run(make_record(run_id), "name: demo", {}, make_requests(samples)) as writer:
        os.write(log, b"begun\n")
        done = writer.done("v1")
        for request in make_requests(samples):
            if (request.case.id, 0) in done:
                continue
            response = make_response(request, f"{run_id} {request.case.id} {'x' * 500}")
            writer.add_response(request, response)
            writer.add_score(request, response, make_score(), "v1")
            os.write(log, f"{request.case.id}\n".encode())
        if finish:
            writer.finish("complete")
        else:
            while True:
                os.write(log, b"")  # busy until it is killed


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4], "--finish" in sys.argv)
