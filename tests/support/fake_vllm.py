"""Stands in for vLLM's server process in tests of its life: takes its flags, answers its routes, and misbehaves.

FAKE_MODE: ok | crash (prints FAKE_LOG, exits 1) | hang (never ready) | deaf (ignores SIGINT and SIGTERM) | taken-once (port
taken at the first start: leaves FAKE_DIR/taken behind). It starts a child in its own group and one that hides in a session of its
own, and writes all three process ids to FAKE_DIR/pids, its arguments and environment to FAKE_DIR/seen.json. It answers chats with
their last message, leaves the model's name in FAKE_DIR/asked, a line each, and dies at the FAKE_DIES_ATth. /classify: 1.5.
"""

from __future__ import annotations

import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

METRICS = """# TYPE vllm:generation_tokens counter
vllm:generation_tokens_total{engine="0"} 12.0
# TYPE vllm:prefix_cache_queries counter
vllm:prefix_cache_queries_total{engine="0"} 8.0
# TYPE vllm:prefix_cache_hits counter
vllm:prefix_cache_hits_total{engine="0"} 2.0
"""


def main() -> None:
    mode, folder = os.environ.get("FAKE_MODE", "ok"), Path(os.environ["FAKE_DIR"])
    flags = sys.argv[1:]
    (folder / "seen.json").write_text(json.dumps({"argv": flags, "env": dict(os.environ)}))
    if mode == "crash":
        print(os.environ["FAKE_LOG"], flush=True)
        sys.exit(1)
    if mode == "taken-once" and not (folder / "taken").exists():
        (folder / "taken").write_text(flags[flags.index("--port") + 1])
        sys.exit("OSError: [Errno 98] Address already in use")
    if mode == "deaf":
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
    sleep = [sys.executable, "-c", "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); time.sleep(60)"]
    children = [subprocess.Popen(sleep), subprocess.Popen(sleep, start_new_session=True)]
    (folder / "pids.part").write_text(" ".join(str(pid) for pid in (os.getpid(), *(child.pid for child in children))))
    (folder / "pids.part").rename(folder / "pids")
    print("INFO Starting to load model", flush=True)
    time.sleep(60 if mode == "hang" else 0.4)
    names = flags[flags.index("--served-model-name") + 1 :]
    names = names[: next((i for i, flag in enumerate(names) if flag.startswith("--")), len(names))]
    names += [json.loads(flag)["name"] for flag in flags if flag.startswith("{")]

    lock = threading.Lock()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/v1/models":
                self.answer(json.dumps({"data": [{"id": name} for name in names]}))
            elif self.path == "/metrics":
                self.answer(METRICS)
            elif self.path == "/die":
                print("RuntimeError: the engine fell over", flush=True)
                os._exit(7)
            else:
                self.answer("")

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            if self.path == "/v1/chat/completions":
                self.chat(body)
                return
            if self.path == "/classify":
                self.answer(json.dumps({"data": [{"index": 0, "label": "LABEL_0", "probs": [1.5], "num_classes": 1}]}))
                return
            refused = body["lora_name"] == "refused"
            self.answer('{"error": {"message": "no room"}}' if refused else "Success", 400 if refused else 200)

        def chat(self, body: dict[str, Any]) -> None:
            with lock:
                with (folder / "asked").open("a") as file:
                    file.write(body["model"] + "\n")
                if len((folder / "asked").read_text().splitlines()) == int(os.environ.get("FAKE_DIES_AT", "0")):
                    print("RuntimeError: the engine fell over", flush=True)
                    os._exit(7)
            message = {"role": "assistant", "content": body["messages"][-1]["content"]}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            self.answer(json.dumps({"model": body["model"], "choices": [choice]}))

        def answer(self, text: str, status: int = 200) -> None:
            self.send_response(status)
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            pass

    port = int(flags[flags.index("--port") + 1])
    http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


if __name__ == "__main__":
    main()
