"""A disk that is soon full, for tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sampan.linux import mounts


@contextmanager
def small_disk(path: Path, size: str) -> Iterator[Path]:
    """Mount a tmpfs of this size at a path that is made for it."""
    path.mkdir()
    mounts.mount("tmpfs", str(path), "tmpfs", 0, f"size={size}")
    try:
        yield path
    finally:
        if os.path.ismount(path):
            mounts.umount2(str(path), mounts.MNT_DETACH)
