"""The tar reader and writer against Python's tarfile and GNU tar, and against bytes from an enemy."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.wire.tarstream import (
    END_OF_ARCHIVE,
    Entry,
    Kind,
    Segment,
    TarError,
    TarReader,
    encode_header,
    padding,
)

NAME_CHARACTERS = st.characters(codec="utf-8", exclude_characters="\0/", exclude_categories=("Cs",))
NAMES = st.lists(st.text(NAME_CHARACTERS, min_size=1, max_size=60), min_size=1, max_size=6).map("/".join)
TYPES = st.sampled_from(
    [
        tarfile.REGTYPE,
        tarfile.DIRTYPE,
        tarfile.SYMTYPE,
        tarfile.LNKTYPE,
        tarfile.FIFOTYPE,
        tarfile.CHRTYPE,
        tarfile.BLKTYPE,
    ]
)


@st.composite
def members(draw: st.DrawFn) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(draw(NAMES))
    info.type = draw(TYPES)
    info.mode = draw(st.integers(0, 0o7777))
    info.uid, info.gid = draw(st.integers(0, 2**32 - 2)), draw(st.integers(0, 2**32 - 2))
    info.mtime = draw(st.integers(0, 2**40))
    info.uname, info.gname = draw(st.text("abcä", max_size=15)), draw(st.text("xyz", max_size=30))
    data = b""
    if info.type == tarfile.REGTYPE:
        data = draw(st.binary(max_size=1500))
    elif info.type in (tarfile.SYMTYPE, tarfile.LNKTYPE):
        info.linkname = draw(NAMES)
    elif info.type in (tarfile.CHRTYPE, tarfile.BLKTYPE):
        info.devmajor, info.devminor = draw(st.integers(0, 4095)), draw(st.integers(0, 2**20 - 1))
    info.size = len(data)
    return info, data


def read_all(archive: bytes) -> tuple[list[tuple[Entry, bytes]], bytes]:
    """Read everything; also returns framing and data joined in the order in which they came."""
    joined = bytearray()
    reader = TarReader(io.BytesIO(archive), joined.extend)
    entries = []
    for entry in reader:
        data = bytearray()
        while chunk := reader.read(700):
            data += chunk
            joined.extend(chunk)
        entries.append((entry, bytes(data)))
    reader.drain()
    return entries, bytes(joined)


@given(st.lists(members(), max_size=5), st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]))
def test_reads_what_tarfile_writes(content: list[tuple[tarfile.TarInfo, bytes]], form: int) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        for info, data in content:
            archive.addfile(info, io.BytesIO(data))
    entries, joined = read_all(buffer.getvalue())
    assert joined == buffer.getvalue()
    assert len(entries) == len(content)
    for (entry, got), (info, data) in zip(entries, content, strict=True):
        assert got == data
        assert entry.name.rstrip("/") == info.name
        assert entry.kind == info.type.decode()
        assert (entry.mode, entry.uid, entry.gid) == (info.mode, info.uid, info.gid)
        assert (entry.uname, entry.gname) == (info.uname, info.gname)
        assert entry.mtime_ns == info.mtime * 10**9
        assert entry.linkname == info.linkname
        if info.isdev() and not info.isfifo():
            assert (entry.major, entry.minor) == (info.devmajor, info.devminor)


@given(st.lists(members(), max_size=5), st.integers(-(2**40), 2**60))
def test_tarfile_reads_what_the_writer_writes(
    content: list[tuple[tarfile.TarInfo, bytes]], mtime_ns: int
) -> None:
    parts = []
    for info, data in content:
        entry = Entry(
            name=info.name,
            kind=info.type.decode(),
            mode=info.mode,
            uid=info.uid,
            gid=info.gid,
            size=info.size,
            mtime_ns=mtime_ns,
            linkname=info.linkname,
            uname=info.uname,
            gname=info.gname,
            major=info.devmajor,
            minor=info.devminor,
            xattrs={"user.x": b"a=b\n\0"},
            full_size=info.size,
        )
        parts += [encode_header(entry), data, padding(len(data))]
        assert read_all(b"".join(parts[-3:]) + END_OF_ARCHIVE)[0] == [(entry, data)]
    with tarfile.open(fileobj=io.BytesIO(b"".join(parts) + END_OF_ARCHIVE)) as archive:
        read = [(info, _content(archive, info)) for info in archive]
    assert len(read) == len(content)
    for (info, got), (wanted, data) in zip(read, content, strict=True):
        assert (info.name, info.type) == (wanted.name.rstrip("/"), wanted.type)
        assert (info.linkname, info.size, got) == (wanted.linkname, len(data), data)
        assert (info.mode, info.uid, info.gid) == (wanted.mode, wanted.uid, wanted.gid)
        assert info.mtime == pytest.approx(mtime_ns / 10**9)


def _content(archive: tarfile.TarFile, info: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(info) if info.isreg() else None
    return file.read() if file is not None else b""


@given(st.binary(max_size=3000), st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 255)), max_size=8))
def test_any_bytes_are_read_or_refused(tail: bytes, changes: list[tuple[int, int]]) -> None:
    entry = Entry(name="x" * 120, size=5, uid=2**31, xattrs={"user.a": b"b"})
    archive = bytearray(encode_header(entry) + b"hello" + padding(5) + tail)
    for position, value in changes:
        archive[position % len(archive)] = value
    try:
        entries, joined = read_all(bytes(archive))
    except TarError:
        return
    assert joined == archive
    assert sum(len(data) for _, data in entries) <= len(archive)


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        (["--format=gnu"], "old"),
        (["--format=posix", "--sparse-version=0.0"], "0.0"),
        (["--format=posix", "--sparse-version=0.1"], "0.1"),
        (["--format=posix", "--sparse-version=1.0"], "1.0"),
    ],
)
def test_sparse_files_of_gnu_tar(tmp_path: Path, options: list[str], kind: str) -> None:
    path = tmp_path / "sparse"
    extents = [(index * 64 << 10, 4096) for index in range(1, 60)]
    with open(path, "wb") as file:
        for offset, length in extents:
            file.seek(offset)
            file.write(bytes([offset % 251]) * length)
        file.truncate(100 << 20)
    tar = subprocess.run(
        ["tar", *options, "-S", "-cf", "-", "sparse"], cwd=tmp_path, check=True, capture_output=True
    ).stdout
    assert len(tar) < 2 << 20
    [(entry, data)], joined = read_all(tar)
    assert joined == tar
    assert entry.name == "sparse"
    assert entry.full_size == 100 << 20
    assert entry.segments is not None
    rebuilt = {}
    position = 0
    for segment in entry.segments:
        if segment.length:
            rebuilt[segment.offset] = data[position : position + segment.length]
            position += segment.length
    assert rebuilt == {offset: bytes([offset % 251]) * length for offset, length in extents}


def pax_header(records: bytes, *, size: int | None = None) -> bytes:
    header = encode_header(Entry(name="pax", kind="x", size=len(records) if size is None else size))
    return header + records + padding(len(records))


@pytest.mark.parametrize(
    "archive",
    [
        pytest.param(b"\x80" * 512, id="checksum"),
        pytest.param(b"x", id="too short"),
        pytest.param(pax_header(b"999999 path=x\n"), id="record longer than the header"),
        pytest.param(pax_header(b"5 a=b"), id="record without its newline"),
        pytest.param(pax_header(b"0 a=b\n"), id="record of no length"),
        pytest.param(pax_header(b"-6 a=b\n"), id="negative length"),
        pytest.param(pax_header(b"", size=1 << 32), id="extended header of 4 GiB"),
        pytest.param(pax_header(b"12 size=-10\n") + encode_header(Entry(name="x")), id="negative size"),
        pytest.param(pax_header(b"11 uid=-10\n") + encode_header(Entry(name="x")), id="negative uid"),
        pytest.param(
            pax_header(b"18 uid=4294967295\n") + encode_header(Entry(name="x")), id="uid of chown's no"
        ),
        pytest.param(pax_header(b"12 path=a\0b\n") + encode_header(Entry(name="x")), id="NUL in a name"),
        pytest.param(pax_header(b"6 a=b\n") * 20 + encode_header(Entry(name="x")), id="too many headers"),
        pytest.param(encode_header(Entry(name="x", size=10)) + b"123", id="data cut short"),
        pytest.param(bytes(512) + encode_header(Entry(name="x")), id="one zero block and more"),
    ],
)
def test_damaged_archives_are_refused(archive: bytes) -> None:
    with pytest.raises(TarError):
        read_all(archive)


@pytest.mark.parametrize(
    "sparse_map",
    [b"0,5,3,5", b"0,10,99999999999,1", b"0,-1,5,11", b"5,5", b"0,5,10", b"0,18446744073709551616"],
)
def test_sparse_maps_that_do_not_fit_are_refused(sparse_map: bytes) -> None:
    body = b" GNU.sparse.map=" + sparse_map + b"\n"
    records = b"%d%s" % (len(body) + 2, body) + b"22 GNU.sparse.size=20\n"
    archive = pax_header(records) + encode_header(Entry(name="x", size=10)) + b"0123456789" + padding(10)
    with pytest.raises(TarError):
        read_all(archive)


def test_what_is_behind_the_end_is_framing() -> None:
    archive = (
        encode_header(Entry(name="x", size=1)) + b"1" + padding(1) + END_OF_ARCHIVE + os.urandom(100_000)
    )
    entries, joined = read_all(archive)
    assert [entry.name for entry, _ in entries] == ["x"]
    assert joined == archive


def test_an_archive_may_end_without_its_end() -> None:
    assert [entry.name for entry, _ in read_all(encode_header(Entry(name="x")))[0]] == ["x"]
    assert read_all(b"")[0] == []


def test_data_that_is_not_read_is_framing() -> None:
    archive = encode_header(Entry(name="x", size=600)) + b"1" * 600 + padding(600) + END_OF_ARCHIVE
    framing = bytearray()
    reader = TarReader(io.BytesIO(archive), framing.extend)
    assert reader.next() is not None
    taken = reader.read(100)
    assert reader.next() is None
    assert len(taken) + len(framing) == len(archive)


def test_old_archives_have_directories_that_end_in_a_slash() -> None:
    header = bytearray(encode_header(Entry(name="folder/", kind=Kind.FILE)))
    assert read_all(bytes(header))[0][0][0].kind == Kind.DIRECTORY


def test_the_writer_is_deterministic_and_plain_where_it_can_be() -> None:
    entry = Entry(name="a", size=3, mtime_ns=5 * 10**9)
    assert len(encode_header(entry)) == 512
    assert encode_header(entry) == encode_header(entry)
    assert Segment(0, 1) == Segment(0, 1)
