"""Stores that cannot be used, and stores of older versions."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import duckdb
import pytest
from support.runs import make_record, make_requests, make_response

from harness.errors import StoreError
from harness.store import Store, database, lock
from harness.store.migrations import Migration, migrations


def open_error(path: Path, **options: object) -> str:
    with pytest.raises(StoreError) as caught:
        Store.open(path, **options)  # type: ignore[arg-type]
    assert caught.value.exit_code == 3
    assert "\n" not in caught.value.line()
    return caught.value.line()


def test_no_store_where_there_is_none(tmp_path: Path) -> None:
    assert "there is no store here" in open_error(tmp_path / "no", create=False)
    assert not (tmp_path / "no").exists()
    (tmp_path / "file").write_text("")
    assert "this is a file" in open_error(tmp_path / "file")
    (tmp_path / "work").mkdir()
    (tmp_path / "work/notes.txt").write_text("mine")
    assert "holds other files" in open_error(tmp_path / "work")
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["notes.txt"]


def test_a_store_is_kept_out_of_git_and_opens_again(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "deep/store")
    assert (store.path / ".gitignore").read_text() == "*\n"
    assert store.logs.is_dir()
    with Store.open(tmp_path / "deep/store", create=False) as again:
        assert again.runs() == []


@pytest.mark.parametrize("content", [b"garbage" * 5_000, b"x"])
def test_a_damaged_database(tmp_path: Path, content: bytes) -> None:
    Store.open(tmp_path / "store")
    (tmp_path / "store/store.duckdb").write_bytes(content)
    message = open_error(tmp_path / "store")
    assert "store.duckdb: the database is damaged or no database" in message
    assert "Restore it from a backup" in message


def test_a_database_damaged_in_the_middle(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store")
    with store.begin_run(make_record(), "", {}, make_requests(50)) as writer:
        for request in make_requests(50):
            writer.add_response(request, make_response(request))
        writer.finish("complete")
    path = tmp_path / "store/store.duckdb"
    data = bytearray(path.read_bytes())
    for at in range(12_288, len(data), 997):
        data[at] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(StoreError, match="damaged"):
        list(store.items("run1"))


def test_a_store_of_a_newer_version(tmp_path: Path) -> None:
    Store.open(tmp_path / "store")
    with duckdb.connect(str(tmp_path / "store/store.duckdb")) as connection:
        connection.execute("INSERT INTO migrations VALUES (999, 'future', 0)")
    message = open_error(tmp_path / "store")
    assert f"the store is of version 999, this harness knows up to {migrations()[-1].version}" in message
    assert "Upgrade the harness" in message


def test_a_journal_of_a_newer_version(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store")
    (tmp_path / "store/journal/run1").mkdir()
    (tmp_path / "store/journal/run1/00000001.v9.jsonl").write_text('{"t":"?"}\n')
    with pytest.raises(StoreError, match="the journal is of version 9"):
        store.runs()
    assert (tmp_path / "store/journal/run1/00000001.v9.jsonl").exists()


def test_somebody_elses_database(tmp_path: Path) -> None:
    Store.open(tmp_path / "store")
    path = tmp_path / "store/store.duckdb"
    path.unlink()
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE mine (x INTEGER)")
    assert "no store of the harness" in open_error(tmp_path / "store")


def test_migrations_are_numbered_without_gaps() -> None:
    assert [step.version for step in migrations()] == list(range(1, len(migrations()) + 1))


def test_an_older_store_is_brought_up_and_keeps_its_rows(tmp_path: Path) -> None:
    path = tmp_path / "old.duckdb"
    old = [Migration(1, "first", "CREATE TABLE runs (id VARCHAR); INSERT INTO runs VALUES ('a')")]
    new = [*old, Migration(2, "second", "ALTER TABLE runs ADD COLUMN note VARCHAR DEFAULT 'n'; CREATE TABLE more (x INTEGER)")]
    for steps in (old, old, new, new):
        with duckdb.connect(str(path), config=database.SETTINGS) as connection:
            database.migrate(connection, path, steps)
    with duckdb.connect(str(path), config=database.SETTINGS) as connection:
        assert connection.execute("SELECT * FROM runs").fetchall() == [("a", "n")]
        assert connection.execute("SELECT version, name FROM migrations ORDER BY version").fetchall() == [
            (1, "first"),
            (2, "second"),
        ]
        with pytest.raises(StoreError, match="version 2, this harness knows up to 1"):
            database.migrate(connection, path, old)


def test_a_migration_that_fails_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.duckdb"
    steps = [
        Migration(1, "first", "CREATE TABLE a (x INTEGER)"),
        Migration(2, "bad", "CREATE TABLE b (x INTEGER); SELECT nonsense"),
    ]
    with duckdb.connect(str(path), config=database.SETTINGS) as connection:
        with pytest.raises(duckdb.Error, match="nonsense"):
            database.migrate(connection, path, steps)
        tables = {name for (name,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
        assert tables == {"migrations", "a"}
        database.migrate(connection, path, steps[:1])


HOLDER = """
import sys
from pathlib import Path
from harness.store import lock
with lock.held(Path(sys.argv[1]), 5):
    print("held", flush=True)
    input()
"""


def test_a_store_held_too_long_names_its_holder(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store.open(tmp_path / "store", timeout_s=0.3)
    monkeypatch.setattr(lock, "_PATIENCE_S", 0.1)
    command = [sys.executable, "-c", HOLDER, str(store.path / "lock")]
    env = os.environ | {"PYTHONPATH": str(root)}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env) as holder:
        assert holder.stdout is not None
        assert holder.stdin is not None
        assert holder.stdout.readline() == b"held\n"
        said: list[str] = []
        store._notify = said.append
        with pytest.raises(StoreError, match=f"held by process {holder.pid} .* longer than 0.3 s"):
            store.runs()
        assert len(said) == 1
        assert said[0].startswith(f"waiting for process {holder.pid} ")
        holder.stdin.write(b"\n")
    assert store.runs() == []


def test_threads_of_one_process_share_a_store(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store")
    requests = list(make_requests(200))
    failures: list[BaseException] = []
    with store.begin_run(make_record(), "", {}, requests) as writer:

        def work(part: int) -> None:
            try:
                for request in requests[part::4]:
                    writer.add_response(request, make_response(request))
                assert store.ledger("run1").closed
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=work, args=(part,)) for part in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        writer.finish("complete")
    assert failures == []
    assert [item.response for item in store.items("run1")] == [make_response(request) for request in requests]


def test_another_program_has_the_database_open(tmp_path: Path, root: Path) -> None:
    store = Store.open(tmp_path / "store")
    script = "import duckdb, sys\ncon = duckdb.connect(sys.argv[1])\nprint('open', flush=True)\ninput()"
    command = [sys.executable, "-c", script, str(store.path / "store.duckdb")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdin is not None
        other.stdout.readline()
        with pytest.raises(StoreError, match="another program has the database open"):
            store.runs()
        other.stdin.write(b"\n")
    assert store.runs() == []


def test_huge_texts_get_the_memory_they_need(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "LEAN", "20MB")
    store = Store.open(tmp_path / "store")
    requests = list(make_requests(400))
    with store.begin_run(make_record(), "", {}, requests) as writer:
        for request in requests:
            writer.add_response(request, make_response(request, os.urandom(40_000).hex()))
        writer.finish("complete")
    assert store._database.roomy
    assert sum(len(item.response.text) for item in store.items("run1") if item.response) == 400 * 80_000


def test_the_lock_file_is_only_a_courtesy(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.write_text("not json")
    assert lock.read_owner(path) == "another process"
    with lock.held(path, 1):
        assert json.loads(path.read_text())["pid"] == os.getpid()
    assert path.read_text() == ""


def test_between_two_calls_the_file_is_free_and_whole(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "it's a store")
    with store.begin_run(make_record(), "", {}, make_requests(3)) as writer:
        writer.finish("complete")
    engine = store._database._engine
    for _ in range(2):
        with duckdb.connect(str(store.path / "store.duckdb"), config=database.SETTINGS) as somebody_else:
            assert somebody_else.execute("SELECT count(*) FROM runs").fetchone() == (1,)
        assert [record.id for record in store.runs()] == ["run1"]
    assert store._database._engine is engine  # started once
    assert not list(store.path.glob("*.wal"))


def test_a_failure_lets_go_of_the_file_and_the_next_call_works(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store")

    def half_done(connection: database.Connection) -> None:
        connection.execute("BEGIN")
        connection.execute("INSERT INTO promotions VALUES ('suite', 'run', 0)")
        raise RuntimeError("interrupted")

    with pytest.raises(RuntimeError, match="interrupted"):
        store._with(half_done)
    with duckdb.connect(str(store.path / "store.duckdb"), config=database.SETTINGS) as connection:
        assert connection.execute("SELECT count(*) FROM promotions").fetchone() == (0,)
    assert store.runs() == []
    store.close()
    assert store.runs() == []
