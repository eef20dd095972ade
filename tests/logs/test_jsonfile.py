"""The reader against the writer: what went into a log comes out, through rotations, in order and once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sampan.logs.jsonfile import LogReader, Selection, render_time
from sampan.shim.logfile import LogFile, open_log
from sampan.wire.jsonlog import LogEncoder

SECOND = 1_000_000_000


class Writer:
    """A container that writes numbered lines, one each second."""

    def __init__(self, path: Path, max_size: int | None = None, max_file: int = 1) -> None:
        self.log = LogFile(*open_log(str(path), max_size, max_file))
        self.encoder = LogEncoder("stdout")
        self.count = 0

    def write(self, lines: int = 1) -> None:
        for _ in range(lines):
            self.log.append(self.encoder.feed(b"%d\n" % self.count, self.count * SECOND))
            self.count += 1
        self.log.flush()


def numbers(entries: object) -> list[int]:
    return [int(entry.text) for entry in entries]  # type: ignore[attr-defined]


def select(path: Path, **selection: object) -> list[int]:
    with LogReader(str(path), Selection(**selection)) as reader:  # type: ignore[arg-type]
        return numbers(reader.history())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "c-json.log"


def test_tail_since_and_until(path: Path) -> None:
    Writer(path).write(100)
    assert select(path) == list(range(100))
    assert select(path, tail=3) == [97, 98, 99]
    assert select(path, tail=0) == []
    assert select(path, tail=1000) == list(range(100))
    assert select(path, since=95 * SECOND) == [95, 96, 97, 98, 99]
    assert select(path, since=95 * SECOND, until=96 * SECOND) == [95, 96]
    assert select(path, tail=10, until=91 * SECOND) == [90, 91]
    assert select(path, streams=frozenset({"stderr"})) == []


@pytest.mark.parametrize("tail", [1, 19, 20, 21, 100])
def test_tail_reaches_into_rotated_files(path: Path, tail: int) -> None:
    Writer(path, max_size=20 * 70, max_file=4).write(75)
    everything = select(path)
    assert everything[-1] == 74 and everything == list(range(everything[0], 75))
    assert select(path, tail=tail) == everything[-tail:]


def test_tail_of_lines_longer_than_a_block(path: Path) -> None:
    log, encoder = LogFile(*open_log(str(path))), LogEncoder("stdout")
    log.append(encoder.feed(b"a\n" + b"\x01" * 16000 + b"\nb\n", 0))
    log.flush()
    with LogReader(str(path), Selection(tail=2)) as reader:
        assert [len(entry.text) for entry in reader.history()] == [16001, 2]


def test_times_have_nine_digits(path: Path) -> None:
    Writer(path).write()
    with LogReader(str(path)) as reader:
        assert [render_time(entry) for entry in reader.history()] == ["1970-01-01T00:00:00.000000000Z"]


def test_following_a_log_that_does_not_exist_yet(path: Path) -> None:
    with LogReader(str(path)) as reader:
        assert numbers(reader.history()) == []
        assert numbers(reader.poll()) == []
        writer = Writer(path)
        writer.write(2)
        assert numbers(reader.poll()) == [0, 1]
        writer.write(1)
        assert numbers(reader.poll()) == [2]


def test_following_stops_after_until(path: Path) -> None:
    writer = Writer(path)
    with LogReader(str(path), Selection(until=2 * SECOND)) as reader:
        writer.write(2)
        assert numbers(reader.poll()) == [0, 1]
        assert not reader.finished
        writer.write(5)
        assert numbers(reader.poll()) == [2]
        assert reader.finished


@pytest.mark.parametrize("max_file", [1, 2, 5])
def test_following_across_a_rotation_loses_nothing(path: Path, max_file: int) -> None:
    writer = Writer(path, max_size=10 * 70, max_file=max_file)
    seen: list[int] = []
    with LogReader(str(path)) as reader:
        seen += numbers(reader.history())
        for _ in range(40):
            writer.write(6)
            seen += numbers(reader.poll())
    assert seen == list(range(240))


def test_a_reader_that_was_overtaken_goes_on_with_the_oldest_file(path: Path) -> None:
    writer = Writer(path, max_size=10 * 70, max_file=3)
    writer.write(3)
    with LogReader(str(path)) as reader:
        seen = numbers(reader.history())
        writer.write(97)
        seen += numbers(reader.poll())
    assert seen[-1] == 99
    assert seen == sorted(set(seen))


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(st.integers(0, 25), st.booleans()), max_size=30), st.integers(1, 4))
def test_rotation_and_reading_in_any_order(
    tmp_path: Path, steps: list[tuple[int, bool]], max_file: int
) -> None:
    folder = tmp_path / os.urandom(8).hex()
    folder.mkdir()
    writer = Writer(folder / "log", max_size=30 * 70, max_file=max_file)
    seen: list[int] = []
    with LogReader(str(folder / "log")) as reader:
        list(reader.history())
        for lines, read in steps:
            writer.write(lines)
            # At most one rotation between two looks, so that nothing can be missed.
            if read or lines > 10:
                seen += numbers(reader.poll())
        seen += numbers(reader.poll())
    missed = set(range(writer.count)) - set(seen)
    assert seen == sorted(seen)
    assert len(seen) == len(set(seen))
    if max_file > 3:
        assert not missed


def test_a_torn_entry_waits_for_its_rest(path: Path) -> None:
    Writer(path).write(2)
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    with LogReader(str(path)) as reader:
        assert numbers(reader.history()) == [0]
        with path.open("ab") as file:
            file.write(whole[-5:])
        assert numbers(reader.poll()) == [1]


def test_damaged_lines_are_skipped(path: Path) -> None:
    Writer(path).write(1)
    with path.open("ab") as file:
        file.write(b'\0\0\0\n{"log":3}\nnull\n')
    Writer(path).write(1)
    assert select(path) == [0, 0]


def test_a_look_in_the_middle_of_a_rotation(path: Path) -> None:
    """The oldest file is renamed first, so for a moment there is no NAME.1."""
    writer = Writer(path, max_size=200, max_file=4)
    writer.write(1)
    with LogReader(str(path)) as behind:
        seen = numbers(behind.history())
        writer.write(8)
        before = select(path)
        assert len(before) > 6 and not Path(f"{path}.3").exists()
        os.rename(f"{path}.2", f"{path}.3")
        os.rename(f"{path}.1", f"{path}.2")
        assert select(path) == before
        seen += numbers(behind.poll())
        os.rename(path, f"{path}.1")
        assert select(path) == before
        seen += numbers(behind.poll())
    assert seen == before
