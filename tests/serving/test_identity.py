"""A digest changes with everything that decides answers and with nothing else; what cannot be served is refused by name."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest
from support.tiny_model import write_adapter, write_fake_base

from harness.errors import UsageError
from harness.model import Candidate, Prompt
from harness.serving import identity
from harness.serving.identity import DigestCache, identify, resolve


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return write_fake_base(tmp_path / "base")


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    return write_adapter(tmp_path / "sft", layers=1, hidden=8, intermediate=16, rank=2)


def who(root: Path, **more: str) -> Candidate:
    return identify("c", more.pop("model", "base"), root=root, **more)  # type: ignore[arg-type]


def age(folder: Path) -> None:
    """Files that changed long ago."""
    for path in folder.iterdir():
        os.utime(path, ns=(10**18, 10**18))


def change(path: Path) -> None:
    """One byte of content, the last of a weight or a JSON value."""
    if path.suffix == ".json":
        path.write_text(json.dumps({**json.loads(path.read_text()), "changed": 1}))
    else:
        raw = bytearray(path.read_bytes())
        raw[-1] ^= 1
        path.write_bytes(raw)


def test_local_candidates_are_served_under_their_own_name(base: Path, adapter: Path, tmp_path: Path) -> None:
    prompt = Prompt(system="be brief")
    found = identify("mine", "base", root=tmp_path, adapter="sft", prompt=prompt)
    assert (found.name, found.model, found.kind) == ("mine", "mine", "local")
    assert (found.base, found.adapter, found.base_url, found.prompt) == (str(base), str(adapter), None, prompt)
    assert len(found.digest) == 64


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json"])
def test_the_digest_changes_with_each_deciding_file(base: Path, tmp_path: Path, name: str) -> None:
    before = who(tmp_path).digest
    change(base / name)
    assert who(tmp_path).digest != before


@pytest.mark.parametrize("name", ["chat_template.jinja", "generation_config.json", "merges.txt", "model-2.safetensors"])
def test_the_digest_changes_with_a_new_deciding_file(base: Path, tmp_path: Path, name: str) -> None:
    before = who(tmp_path).digest
    shutil.copy(base / "model.safetensors", base / name) if name.endswith("safetensors") else (base / name).write_text("{}")
    assert who(tmp_path).digest != before


def test_the_digest_does_not_change_with_place_time_or_other_files(base: Path, adapter: Path, tmp_path: Path) -> None:
    before = who(tmp_path, adapter="sft").digest
    (base / "README.md").write_text("new")
    (base / "training_args.bin").write_bytes(b"\x80")
    config = json.loads((adapter / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = "/elsewhere"
    config["target_modules"].reverse()
    (adapter / "adapter_config.json").write_text(json.dumps(config, indent=2))
    moved = tmp_path / "moved"
    moved.mkdir()
    shutil.move(base, moved / "base")
    shutil.move(adapter, moved / "sft")
    assert who(moved, adapter="sft").digest == before


def test_adapters_count(base: Path, adapter: Path, tmp_path: Path) -> None:
    digests = {who(tmp_path).digest, who(tmp_path, adapter="sft").digest}
    change(adapter / "adapter_model.safetensors")
    digests.add(who(tmp_path, adapter="sft").digest)
    change(adapter / "adapter_config.json")
    digests.add(who(tmp_path, adapter="sft").digest)
    assert len(digests) == 4


def test_endpoints_are_address_model_and_revision(tmp_path: Path) -> None:
    def digest(model: str = "m", endpoint: str = "http://h/v1", revision: str | None = None) -> str:
        found = identify("c", model, root=tmp_path, endpoint=endpoint, revision=revision)
        assert (found.kind, found.model, found.base_url) == ("endpoint", model, endpoint)
        return found.digest

    assert digest() == digest(endpoint="http://h/v1/")
    assert len({digest(), digest("n"), digest(endpoint="http://i/v1"), digest(revision="2")}) == 4


def test_pickles_are_refused(base: Path, adapter: Path, tmp_path: Path) -> None:
    (adapter / "adapter_model.safetensors").rename(adapter / "adapter_model.bin")
    with pytest.raises(UsageError, match=r"adapter_model.bin is a pickle"):
        who(tmp_path, adapter="sft")
    (base / "model.safetensors").rename(base / "pytorch_model.bin")
    with pytest.raises(UsageError, match=r"base: the weights are a pickle \(pytorch_model.bin\).*safetensors"):
        who(tmp_path)
    (base / "pytorch_model.bin").unlink()
    with pytest.raises(UsageError, match=r"no \*.safetensors"):
        who(tmp_path)


def test_a_folder_without_config_is_no_model(base: Path, tmp_path: Path) -> None:
    (base / "config.json").unlink()
    with pytest.raises(UsageError, match=r"no config.json"):
        who(tmp_path)


@pytest.mark.parametrize("model", ["bse", "./base2", "/nowhere/base", "a/b/c", "../base", "", "a b/c", "owner/../x"])
def test_what_is_neither_directory_nor_hub_id_says_so(base: Path, tmp_path: Path, model: str) -> None:
    if model == "":
        (tmp_path / "sub").mkdir()
        with pytest.raises(UsageError, match="safetensors"):
            identify("c", model, root=tmp_path / "sub")
        return
    with pytest.raises(UsageError, match="no such model directory"):
        who(tmp_path, model=model)


def test_a_slip_of_the_pen_gets_a_hint(base: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="did you mean base"):
        who(tmp_path, model="bsae")
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "pocket").mkdir()
    with pytest.raises(UsageError, match="did you mean pocket"):
        who(tmp_path, model="models/pokcet")


def test_hub_ids_resolve_to_the_local_cache_or_are_weaker(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    assert who(tmp_path, model="owner/name").digest == "hub:owner/name@main"
    assert who(tmp_path, model="owner/name", revision="v2").digest == "hub:owner/name@v2"
    assert who(tmp_path, model="owner/name").base == "owner/name"
    local = who(tmp_path).digest
    repo = tmp_path / "hub" / "models--owner--name"
    (repo / "refs").mkdir(parents=True)
    (repo / "refs" / "main").write_text("abc123")
    (repo / "snapshots").mkdir()
    shutil.copytree(base, repo / "snapshots" / "abc123")
    assert who(tmp_path, model="owner/name").digest == local
    assert who(tmp_path, model="owner/name", revision="abc123").digest == local
    assert resolve("owner/name", tmp_path, "../../../../base") is None
    with pytest.raises(UsageError, match="local hub cache"):
        who(tmp_path, adapter="owner/adapter")


def test_big_files_are_hashed_once(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[str] = []
    real = hashlib.file_digest
    monkeypatch.setattr(hashlib, "file_digest", lambda file, name: (reads.append(file.name), real(file, name))[1])
    age(base)
    store = tmp_path / "store" / "digests.json"

    def digest() -> str:
        return identify("c", "base", root=tmp_path, cache=DigestCache(store)).digest

    first = digest()
    assert digest() == first
    assert len(reads) == 1
    change(base / "model.safetensors")
    assert digest() != first
    assert len(reads) == 2


def test_a_file_changed_just_now_is_not_trusted_to_the_cache(base: Path, tmp_path: Path) -> None:
    store = tmp_path / "digests.json"
    identify("c", "base", root=tmp_path, cache=DigestCache(store))
    assert not store.exists()


@pytest.mark.parametrize(
    "content", ["", "null", "[1]", "{", '{"PATH": null}', '{"PATH": []}', '{"PATH": [1, 2, 3, "x"]}', "[" * 9999]
)
def test_a_damaged_cache_is_no_cache(base: Path, tmp_path: Path, content: str) -> None:
    age(base)
    weights = base / "model.safetensors"
    store = tmp_path / "digests.json"
    stat = weights.stat()
    content = content.replace("PATH", str(weights)).replace("1, 2, 3", f"{stat.st_size}, {stat.st_mtime_ns}, {stat.st_ino}")
    store.write_text(content)
    assert DigestCache(store).sha256(weights) == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert json.loads(store.read_text())[str(weights)][3] == hashlib.sha256(weights.read_bytes()).hexdigest()


def test_a_cache_that_cannot_be_written_is_no_error(base: Path, tmp_path: Path) -> None:
    age(base)
    (tmp_path / "file").write_text("")
    assert len(DigestCache(tmp_path / "file" / "digests.json").sha256(base / "model.safetensors")) == 64


def test_big_files_are_announced(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(identity, "BIG", 10)
    DigestCache(None, say=said.append).sha256(base / "model.safetensors")
    assert "model.safetensors" in said[0]
