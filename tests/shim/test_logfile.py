"""The log on disk: whole entries only, rotated as moby does, and a full disk harms nobody."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from sampan.shim.logfile import LogFile, open_log


def entry(number: int, length: int = 50) -> bytes:
    return b'{"log":"%0*d"}\n' % (length - 11, number)


def contents(path: Path) -> dict[str, list[int]]:
    return {
        file.name: [int(line[8:-2]) for line in file.read_bytes().splitlines()]
        for file in sorted(path.parent.iterdir())
    }


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log"


def test_entries_are_there_after_flush(path: Path) -> None:
    log = LogFile(*open_log(str(path)))
    log.append(entry(1))
    assert path.read_bytes() == b""
    log.flush()
    assert path.read_bytes() == entry(1)
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_log_is_continued(path: Path) -> None:
    for number in range(3):
        log = LogFile(*open_log(str(path)))
        log.append(entry(number))
        log.close()
    assert contents(path) == {"log": [0, 1, 2]}


def test_the_entry_that_reaches_the_size_is_the_files_last(path: Path) -> None:
    log = LogFile(*open_log(str(path), max_size=120, max_file=3))
    for number in range(10):
        log.append(entry(number))
    log.flush()
    assert contents(path) == {"log": [9], "log.1": [6, 7, 8], "log.2": [3, 4, 5]}


def test_batches_do_not_change_where_files_end(path: Path) -> None:
    log = LogFile(*open_log(str(path), max_size=120, max_file=3))
    for number in range(10):
        log.append(entry(number))
        log.flush()
    assert contents(path) == {"log": [9], "log.1": [6, 7, 8], "log.2": [3, 4, 5]}


def test_with_one_file_it_starts_anew(path: Path) -> None:
    log = LogFile(*open_log(str(path), max_size=100))
    for number in range(5):
        log.append(entry(number))
    log.flush()
    assert contents(path) == {"log": [4]}


def test_a_torn_entry_is_cut_off_at_the_next_start(path: Path) -> None:
    path.write_bytes(entry(1) + entry(2)[:-7])
    log = LogFile(*open_log(str(path)))
    log.append(entry(3))
    log.close()
    assert contents(path) == {"log": [1, 3]}


def test_many_small_entries_are_one_batch(path: Path) -> None:
    log = LogFile(*open_log(str(path)))
    for number in range(5000):
        log.append(entry(number))
    log.close()
    assert contents(path) == {"log": list(range(5000))}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path)], check=True)
    try:
        yield tmp_path
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


@pytest.mark.root
def test_a_full_disk_drops_whole_entries(small_disk: Path) -> None:
    filler = small_disk / "filler"
    filler.write_bytes(b"x" * 40 * 1024)
    log = LogFile(*open_log(str(small_disk / "log")))
    for number in range(1000):
        log.append(entry(number))
    log.flush()
    kept = contents(small_disk / "log")["log"] if not filler.unlink() else []
    assert kept == list(range(len(kept))) and 0 < len(kept) < 1000
    assert log.dropped == (1000 - len(kept)) * len(entry(0))
    log.append(entry(1000))
    log.close()
    assert contents(small_disk / "log")["log"] == [*kept, 1000]


@pytest.mark.root
def test_a_full_disk_does_not_stop_rotation(small_disk: Path) -> None:
    log = LogFile(*open_log(str(small_disk / "log"), max_size=1000, max_file=2))
    (small_disk / "filler").write_bytes(b"x" * 52 * 1024)
    for number in range(1000):
        log.append(entry(number))
        log.flush()
    (small_disk / "filler").unlink()
    for number in range(1000, 1100):
        log.append(entry(number))
        log.flush()
    assert contents(small_disk / "log")["log"][-1] == 1099
    log.close()
