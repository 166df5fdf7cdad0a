"""What a lake's URL names, and the words for what is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from backup_frames.errors import ConfigError, LakeError
from backup_frames.lake.storage.urls import local_root, open_store


@pytest.mark.parametrize(
    "url",
    [
        "s3:/bucket",
        "s3:bucket",
        "s3:",
        "S3:/bucket",
        "s3//bucket/lake",
        "s3;//bucket/lake",
        " s3://bucket/lake",
        "'s3://bucket/lake'",
        "s3 ://bucket",
        "s3a:/bucket",
        "obs:/x",
        "obs:bucket",
        "file:/data/lake",
        "file:lake",
        "gs:/bucket",
        "http:/host/lake",
        "S3://",
        "s3:///lake",
        "obs://",
        "file://",
        "file://data/lake",
        "gs://bucket",
        "https://bucket/lake",
    ],
)
def test_a_mistyped_url_is_no_folder(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What looks like a URL and is none is told, and no folder of that name is made."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"bucket|file://|s3://|lake.s path is empty"):
        open_store(url, scratch="_meta/p/tmp").put("a", b"x")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", ["lake", "./s3:/x", "2026-01-01T00:00", "a b/c:d", "s3/bucket"])
def test_a_path_is_a_path(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A colon within a name makes no URL of it."""
    monkeypatch.chdir(tmp_path)
    assert local_root(path) == tmp_path / path


def test_a_lost_working_directory_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path needs a working directory that is there; a whole path does not."""
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(ConfigError, match="working directory that no longer exists"):
        open_store("lake", scratch="_meta/p/tmp")
    with pytest.raises(ConfigError, match="home folder"):
        open_store("~nobody-of-this-name/lake", scratch="_meta/p/tmp")
    open_store(str(tmp_path / "lake"), scratch="_meta/p/tmp").put("a", b"x")


@pytest.mark.parametrize("part", ["file", "lake/data"])
def test_the_file_in_the_way_is_blamed(part: str, tmp_path: Path) -> None:
    """Of a long path the part is named that is at fault, for reading and for writing."""
    blamed = tmp_path / part
    blamed.parent.mkdir(exist_ok=True)
    blamed.write_text("in the way")
    root = blamed / "lake" if part == "file" else tmp_path / "lake"
    store = open_store(str(root), scratch="_meta/p/tmp")
    for act in (lambda: store.read("data/deep/a"), lambda: store.put("data/deep/a", b"x")):
        with pytest.raises(LakeError, match=f" {blamed}: "):
            act()
