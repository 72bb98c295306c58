"""A review of two small runs, and a browser's view of it without a browser."""

from __future__ import annotations

import atexit
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from harness.store import Store
from reports.review.app import create
from reports.review.session import Review, Settings
from support.people import two_runs

PORT = 4711
HOST = f"127.0.0.1:{PORT}"
ORIGIN = f"http://{HOST}"
TOKEN = "t" * 43

BEFORE = {i: f"right, said the old one, {i}" if i % 3 else f"wrong before {i}" for i in range(5)}
NOW = {i: f"right, says the new one, {i}" if i % 2 else f"wrong now {i}" for i in range(5)}


_made: dict[str, Path] = {}  # stores made before in this process, by what is in them: copying one is much faster than making it


def make_store(folder: Path, *filled: dict[str, Any]) -> Store:
    """A new store in this folder with the runs that each of these arguments of two_runs makes."""
    name = repr(filled)
    if name not in _made:
        _made[name] = Path(tempfile.mkdtemp(prefix="review-store-")) / "store"
        atexit.register(shutil.rmtree, _made[name].parent, ignore_errors=True)
        for arguments in filled:
            two_runs(Store.open(_made[name]), **arguments)
    shutil.copytree(_made[name], folder)
    return Store.open(folder)


def start_review(folder: Path, *, seed: int = 0, batch: int = 50, **runs: Any) -> Review:
    """A review in a new store in this folder, or of what is there already."""
    store = Store.open(folder) if folder.exists() else make_store(folder, {"before": BEFORE, "now": NOW} | runs)
    return Review.begin(store, store.run("cand1"), store.run("base1"), Settings(seed=seed, batch=batch))


class Person(TestClient):
    """A browser at the review: it has the cookie, sends the Origin, and follows the redirects of its forms."""

    def send_form(self, path: str, **fields: str) -> Any:
        return self.post(path, data=fields, headers={"Origin": ORIGIN})

    def next_path(self, kind: str) -> str:
        """Where the next thing to label is; the page itself when nothing is left."""
        return str(self.get(f"/{kind}", follow_redirects=False).headers.get("location", f"/{kind}"))

    def shown(self, path: str) -> dict[str, str]:
        """Letter -> text of the answers on a page."""
        found = re.findall(r"<h4>Answer( [A-I])?</h4>\s*<pre[^>]*>(.*?)</pre>", self.get(path).text, re.DOTALL)
        return {letter.strip() or "A": text for letter, text in found}


def sit_down(review: Review, rater: str = "Ann", *, enter: bool = True) -> Person:
    app, _ = create(review, port=PORT, rater=rater, token=TOKEN)
    person = Person(app, base_url=ORIGIN)
    if enter:
        assert person.get(f"/?token={TOKEN}").status_code == 200
    return person


@contextmanager
def desk(folder: Path, rater: str = "Ann", **settings: Any) -> Iterator[tuple[Review, Person]]:
    review = start_review(folder, **settings)
    try:
        yield review, sit_down(review, rater)
    finally:
        review.close()
