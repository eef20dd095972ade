"""A layer's tar made again from its record and its files.

Owns the reading of both and the proof that the bytes are the old ones: the digest is checked at the end, so a
file that was changed or lost on the disk is an error and never a wrong layer in somebody's registry.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator

from sampan import errors
from sampan.images.record import read_record
from sampan.linux import files
from sampan.wire import digest
from sampan.wire.tarstream import Segment

_CHUNK = 1 << 18
_NO_LINKS = files.RESOLVE_BENEATH | files.RESOLVE_NO_SYMLINKS | files.RESOLVE_NO_XDEV
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def reassemble(layer_path: str, diff_id: str) -> Iterator[bytes]:
    """Yield the tar in chunks of a useful size; raises when it is not the one that `diff_id` names."""
    sha256 = hashlib.sha256()
    for chunk in _gather(_parts(layer_path)):
        sha256.update(chunk)
        yield chunk
    if digest.PREFIX + sha256.hexdigest() != diff_id:
        raise errors.SampanError(f"the layer {diff_id} is damaged on the disk")


def _gather(parts: Iterable[bytes]) -> Iterator[bytes]:
    """Join small parts: a header of 512 bytes is no chunk to send."""
    held: list[bytes] = []
    size = 0
    for part in parts:
        held.append(part)
        size += len(part)
        if size >= _CHUNK:
            yield b"".join(held)
            held, size = [], 0
    if held:
        yield b"".join(held)


def _parts(layer_path: str) -> Iterator[bytes]:
    diff_fd = os.open(f"{layer_path}/diff", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        shadows = (
            frozenset(os.listdir(f"{layer_path}/shadow")) if os.path.isdir(f"{layer_path}/shadow") else ()
        )
        number = 0
        with open(f"{layer_path}/record", "rb") as file:
            for part in read_record(file):
                if isinstance(part, bytes):
                    yield part
                    continue
                path, segments = part
                if str(number) in shadows:
                    fd = os.open(f"{layer_path}/shadow/{number}", _OPEN)
                else:
                    fd = files.openat2(path, _OPEN, dir_fd=diff_fd, resolve=_NO_LINKS)
                number += 1
                try:
                    yield from _content(fd, path, segments)
                finally:
                    os.close(fd)
    except OSError as error:
        raise errors.SampanError(f"cannot read a layer: {error.strerror}") from error
    finally:
        os.close(diff_fd)


def _content(fd: int, path: str, segments: list[Segment]) -> Iterator[bytes]:
    for segment in segments:
        offset, end = segment.offset, segment.offset + segment.length
        while offset < end:
            data = os.pread(fd, min(_CHUNK, end - offset), offset)
            if not data:
                raise errors.SampanError(f"a file of a layer is cut short: {path}")
            offset += len(data)
            yield data
