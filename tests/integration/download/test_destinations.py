"""Local files: names, permissions, what is left behind, full disks, and being killed."""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import io
import os
import random
import signal
import subprocess
import threading
import time
from typing import TYPE_CHECKING

import pytest

from airflow_provider_koreai.exceptions import KoreAIConfigurationError, KoreAIDownloadError
from airflow_provider_koreai.storage import local, staging
from airflow_provider_koreai.utterances import read_utterances

from .conftest import csv_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .conftest import Bot

# How often the killed-at-random test kills; 50 for the full measure.
KILLS = int(os.environ.get("TEST_KILLS", "12"))


def test_a_folder_gets_a_file_named_after_the_export(bot: Bot) -> None:
    ours = bot.start()
    result = bot.download(f"{bot.folder}/new/")
    name = f"{bot.id}-{ours.requested_time}.csv"
    assert result.path == f"{bot.folder}/new/{name}"
    assert (bot.folder / "new" / name).read_bytes() == bot.content


def test_without_a_requested_time_the_request_id_names_the_file(bot: Bot) -> None:
    bot.configure(legacy=True)
    ours = bot.start()
    assert bot.download(f"{bot.folder}/").path == f"{bot.folder}/{bot.id}-{ours.request_id}.csv"


def test_missing_folders_are_made(bot: Bot) -> None:
    bot.download(bot.folder / "2026" / "01" / "utterances.csv")
    assert (bot.folder / "2026" / "01" / "utterances.csv").read_bytes() == bot.content


def test_a_file_url_is_a_local_path(bot: Bot) -> None:
    assert bot.download(f"file://{bot.file}").path == f"file://{bot.file}"
    assert bot.file.read_bytes() == bot.content


def test_a_path_without_suffix_takes_whatever_the_export_is(bot: Bot) -> None:
    bot.start("json")
    bot.configure(content=b'[{"sentence":"a"}]')
    bot.start("json")
    assert bot.download(bot.folder / "utterances").file_type == "json"


def test_an_earlier_file_is_replaced(bot: Bot) -> None:
    bot.file.write_text("earlier")
    bot.download()
    assert bot.file.read_bytes() == bot.content


def test_an_existing_file_is_refused_before_anything_is_asked_for_when_overwrite_is_off(bot: Bot) -> None:
    bot.file.write_text("earlier")
    with pytest.raises(KoreAIConfigurationError, match="overwrite=False"):
        bot.download(overwrite=False)
    assert (bot.asked, bot.requests()) == (0, [])
    assert bot.file.read_text() == "earlier"


def test_an_existing_file_in_a_folder_is_refused_before_it_is_downloaded(bot: Bot) -> None:
    bot.download(f"{bot.folder}/")
    with pytest.raises(KoreAIConfigurationError, match="overwrite=False"):
        bot.download(f"{bot.folder}/", overwrite=False)
    assert len(bot.requests()) == 1


def test_a_file_that_appears_meanwhile_is_not_overwritten_when_overwrite_is_off(
    bot: Bot, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = os.link

    def appear_first(source: str, target: str) -> None:
        bot.file.write_text("theirs")
        link(source, target)

    monkeypatch.setattr(local.os, "link", appear_first)
    with pytest.raises(KoreAIConfigurationError, match="overwrite=False"):
        bot.download(overwrite=False)
    assert bot.file.read_text() == "theirs"
    assert bot.leftovers() == []


def test_overwrite_off_works_without_hard_links(bot: Bot, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: str, target: str) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(local.os, "link", refuse)
    bot.download(overwrite=False)
    assert bot.file.read_bytes() == bot.content


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_permissions_follow_the_umask(bot: Bot, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        bot.download()
    finally:
        os.umask(before)
    assert bot.file.stat().st_mode & 0o777 == mode


def test_what_a_symbolic_link_points_to_is_replaced_not_the_link(bot: Bot) -> None:
    target = bot.folder / "elsewhere" / "real.csv"
    target.parent.mkdir()
    target.write_text("earlier")
    bot.file.symlink_to(target)
    bot.download()
    assert bot.file.is_symlink()
    assert target.read_bytes() == bot.content


def test_a_path_that_is_a_folder_is_refused(bot: Bot) -> None:
    bot.file.mkdir()
    with pytest.raises(KoreAIConfigurationError, match="is a folder"):
        bot.download()


def test_a_device_is_not_replaced_by_a_file(bot: Bot) -> None:
    os.mkfifo(bot.file)
    with pytest.raises(KoreAIConfigurationError, match="not a regular file"):
        bot.download()


def test_a_folder_that_cannot_be_made_is_told(bot: Bot) -> None:
    (bot.folder / "file").write_text("")
    with pytest.raises(KoreAIDownloadError, match=r"Not a directory|exists"):
        bot.download(bot.folder / "file" / "utterances.csv")


def test_a_long_name_needs_no_longer_temporary_name(bot: Bot) -> None:
    name = "x" * 251 + ".csv"
    bot.download(bot.folder / name)
    assert (bot.folder / name).stat().st_size == len(bot.content)


def part_of(bot: Bot) -> Path:
    """A part as a killed attempt leaves it."""
    part = bot.folder / staging.new_part()
    part.write_text("part")
    return part


def test_the_part_of_a_killed_attempt_is_removed(bot: Bot) -> None:
    part = part_of(bot)
    bot.download()
    assert not part.exists()


def test_the_part_of_a_running_attempt_is_left_alone(bot: Bot) -> None:
    part = part_of(bot)
    with part.open("rb") as owner:
        fcntl.flock(owner, fcntl.LOCK_EX)
        bot.download()
        assert part.exists()


def test_the_parts_of_killed_downloads_of_other_exports_are_removed(bot: Bot) -> None:
    part = part_of(bot)
    bot.download(f"{bot.folder}/")
    assert not part.exists()


def test_files_that_only_look_like_parts_are_left_alone(bot: Bot) -> None:
    files = [bot.folder / ".koreai-notes", bot.folder / "1.part"]
    for file in files:
        file.write_text("mine")
    bot.download()
    assert all(file.exists() for file in files)


def test_a_retry_accepts_the_file_that_an_earlier_try_has_published(bot: Bot) -> None:
    first = bot.download(overwrite=False)
    inode = bot.file.stat().st_ino
    assert bot.download(overwrite=False, is_retry=True) == first
    assert bot.file.stat().st_ino == inode
    assert bot.leftovers() == []


def test_a_retry_that_may_overwrite_refuses_a_folder_before_it_asks(bot: Bot) -> None:
    bot.file.mkdir()
    with pytest.raises(KoreAIConfigurationError, match="is a folder"):
        bot.download(is_retry=True)
    assert bot.asked == 0


def test_a_retry_refuses_a_file_with_other_content(bot: Bot) -> None:
    bot.file.write_text("theirs")
    with pytest.raises(KoreAIConfigurationError, match="overwrite=False"):
        bot.download(overwrite=False, is_retry=True)
    assert bot.file.read_text() == "theirs"
    assert bot.leftovers() == []


def test_a_part_that_vanishes_before_it_is_locked_is_made_again(
    bot: Bot, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, seen = local._lock, []

    def vanish_once(descriptor: int, *, wait: bool) -> bool:
        if wait and not seen:
            seen.extend(bot.leftovers())
            (bot.folder / seen[0]).unlink()
        return lock(descriptor, wait=wait)

    monkeypatch.setattr(local, "_lock", vanish_once)
    bot.download()
    assert len(seen) == 1
    assert bot.file.read_bytes() == bot.content


def test_downloads_to_the_same_path_at_once_do_not_disturb_each_other(bot: Bot) -> None:
    results: list[str] = []
    threads = [threading.Thread(target=lambda: results.append(bot.download().sha256)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [hashlib.sha256(bot.content).hexdigest()] * 6
    assert bot.file.read_bytes() == bot.content
    assert bot.leftovers() == []


def unzstd(data: bytes) -> bytes:
    zstandard = pytest.importorskip("zstandard")
    with zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data)) as reader:
        return bytes(reader.read())


@pytest.mark.parametrize(
    ("compression", "suffix", "undo"), [("gzip", ".gz", gzip.decompress), ("zstd", ".zst", unzstd)]
)
def test_a_file_can_be_stored_compressed(bot: Bot, compression: str, suffix: str, undo: object) -> None:
    if compression == "zstd":
        pytest.importorskip("zstandard")
    bot.fault("drop", at=50_000)
    result = bot.download(f"{bot.folder}/", compression=compression)
    stored = (bot.folder / os.path.basename(result.path)).read_bytes()
    assert result.path.endswith(f".csv{suffix}")
    assert undo(stored) == bot.content  # type: ignore[operator]
    assert (result.bytes, result.sha256, result.rows) == (
        len(stored),
        hashlib.sha256(stored).hexdigest(),
        3000,
    )
    assert sum(1 for _ in read_utterances(result.path)) == 3000


def test_compression_starts_over_with_the_file(bot: Bot) -> None:
    bot.configure(ranges=False)
    bot.fault("drop", at=50_000)
    bot.download(bot.folder / "utterances.csv.gz", compression="gzip")
    assert gzip.decompress((bot.folder / "utterances.csv.gz").read_bytes()) == bot.content


@pytest.fixture
def small_disk(bot: Bot) -> Iterator[Path]:
    """A file system of 200 KiB."""
    folder = bot.folder / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"a tmpfs cannot be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_leaves_the_earlier_file_and_no_part(bot: Bot, small_disk: Path) -> None:
    bot.configure(content=csv_bytes(10_000))
    bot.start()
    file = small_disk / "utterances.csv"
    file.write_text("earlier")
    with pytest.raises(KoreAIDownloadError, match="No space left on device"):
        bot.download(file)
    assert [each.name for each in small_disk.iterdir()] == ["utterances.csv"]
    assert file.read_text() == "earlier"


def test_a_write_that_fails_leaves_the_earlier_file_and_no_part(
    bot: Bot, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(descriptor: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    bot.file.write_text("earlier")
    with monkeypatch.context() as patched:
        patched.setattr(local.os, "write", fail)
        with pytest.raises(KoreAIDownloadError, match="No space left on device"):
            bot.download()
    assert bot.file.read_text() == "earlier"
    assert bot.leftovers() == []


def test_a_short_write_is_continued(bot: Bot, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(local.os, "write", lambda descriptor, data: write(descriptor, data[:1000]))
    bot.download()
    assert bot.file.read_bytes() == bot.content


def test_a_task_that_is_stopped_midway_leaves_no_part(bot: Bot, monkeypatch: pytest.MonkeyPatch) -> None:
    class StoppedError(BaseException):
        """What Airflow raises into a task on a timeout, at any line."""

    def stop(*_: object) -> None:
        raise StoppedError

    monkeypatch.setattr(local.LocalStaging, "publish", stop)
    threads = threading.active_count()
    with pytest.raises(StoppedError):
        bot.download()
    assert bot.leftovers() == []
    assert threading.active_count() == threads


def test_killed_at_any_moment_there_is_a_whole_file_or_the_earlier_one(bot: Bot) -> None:
    earlier, newer = csv_bytes(50_000), csv_bytes(60_000)
    bot.configure(content=newer)
    bot.start()
    export = bot.get_export()
    bot.get_export = lambda: export  # type: ignore[method-assign]
    bot.file.write_bytes(earlier)
    began = time.monotonic()
    bot.download()
    whole = time.monotonic() - began
    seed = random.randrange(1 << 32)
    rng = random.Random(seed)
    outcomes = {"earlier": 0, "newer": 0, "parts": 0}
    for turn in range(KILLS):
        bot.file.write_bytes(earlier)
        child = os.fork()
        if not child:  # pragma: no cover - is killed
            try:
                bot.download()
            finally:
                os._exit(0)
        time.sleep(rng.uniform(0, 2) * whole)  # the point of the test: any moment
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        content = bot.file.read_bytes()
        outcomes["parts"] += bool(bot.leftovers())
        assert content in (earlier, newer), f"seed {seed}, turn {turn}: {len(content)} bytes"
        outcomes["newer" if content == newer else "earlier"] += 1
        assert bot.download().sha256 == hashlib.sha256(newer).hexdigest()
        assert bot.file.read_bytes() == newer
        assert bot.leftovers() == []
    print(f"seed {seed}: {outcomes}")
