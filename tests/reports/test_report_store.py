"""The real store as a source: the same comparison, written and read back through DuckDB, gives the same report."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from support.reports_fake import FakeSource, seesaw

from harness.errors import HarnessError
from harness.model import ItemStatus, Request, Sampling
from harness.store import Store
from reports import html
from reports.view import build


def stored(source: FakeSource, folder: Path) -> Store:
    """Everything in the fake written as a runner would write it."""
    store = Store.open(folder)
    for run_id, record in source.records.items():
        pairs = [(Request(record.candidate, i.case, i.messages, Sampling(), i.sample), i) for i in source.stored[run_id]]
        with store.begin_run(record, "name: quickstart", {"name": "quickstart"}, [request for request, _ in pairs]) as writer:
            for request, item in pairs:
                assert item.response is not None
                response = replace(item.response, key=request.key)
                writer.add_response(request, response)
                if item.score and item.status is not ItemStatus.ERRORED:
                    writer.add_score(request, response, item.score, "digest")
            writer.finish(record.status)
    for run_id, decided in source.verdicts.items():
        store.save_verdict(run_id, decided.baseline_run_id, decided.verdict)
    return store


def test_the_store_gives_the_report_that_its_contents_ask_for(tmp_path: Path) -> None:
    source = seesaw()
    with stored(source, tmp_path / "store") as store:
        real, fake = build(store, "cand00000001"), build(source, "cand00000001")
        assert real.capabilities == fake.capabilities
        assert real.ledgers == fake.ledgers
        assert real.cases == fake.cases
        assert real.reasons == fake.reasons
        assert real.seesaw == fake.seesaw
        assert [(g.capability, g.totals, g.left_out) for g in real.groups] == [
            (g.capability, g.totals, g.left_out) for g in fake.groups
        ]
        assert real.groups[0].cases[0] == fake.groups[0].cases[0]
        assert {f.key: f.candidate for f in real.serving}["completion_tokens"] == 45 * 12
        assert html.render(build(store, "cand00000001", "base00000001")) == html.render(real)


def test_a_report_while_the_run_goes_on(tmp_path: Path) -> None:
    source = seesaw()
    record = replace(source.records["cand00000001"], id="going0000001")
    with Store.open(tmp_path / "store") as store:
        items = source.stored["cand00000001"]
        requests = [Request(record.candidate, i.case, i.messages, Sampling(), i.sample) for i in items]
        with store.begin_run(record, "", {}, requests) as writer:
            first, response, score = items[0], items[0].response, items[0].score
            assert response is not None
            assert score is not None
            writer.add_response(requests[0], replace(response, key=requests[0].key))
            writer.add_score(requests[0], replace(response, key=requests[0].key), score, "digest")
            view = build(store, "going0000001")
            assert view.headline == "STILL RUNNING"
            assert view.ledgers[0].parts[0].total == 1
            assert first.case.capability in html.render(view)


def test_an_unknown_run_is_one_clear_line(tmp_path: Path) -> None:
    with Store.open(tmp_path / "store") as store, pytest.raises(HarnessError, match="nowhere"):
        build(store, "nowhere")
