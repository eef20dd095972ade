"""Reading, writing and removing the files and folders of a cgroup file system."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable


def read(path: str) -> str:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        parts = []
        while part := os.read(fd, 65536):
            parts.append(part)
    finally:
        os.close(fd)
    return b"".join(parts).decode()


def read_number(path: str) -> int | None:
    """The number in a file; None if there is no such file, or it says "max"."""
    try:
        text = read(path).strip()
    except FileNotFoundError:
        return None
    return None if text == "max" else int(text)


def read_table(path: str) -> dict[str, int]:
    """A file of lines "name number"."""
    try:
        lines = read(path).splitlines()
    except FileNotFoundError:
        return {}
    fields = (line.split() for line in lines)
    return {parts[0]: int(parts[1]) for parts in fields if len(parts) == 2 and parts[1].isdigit()}


def write(path: str, value: str) -> None:
    """One value, in one write(2), as the kernel wants it. The error names file and value."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, value.encode())
        finally:
            os.close(fd)
    except OSError as error:
        raise OSError(error.errno, os.strerror(error.errno or 0), f'{path} (writing "{value}")') from None


def make(top: str, path: str) -> list[str]:
    """Make the folders of `path` below `top`; tell those that are new."""
    made = []
    current = top
    for part in path.split("/"):
        if part:
            current = f"{current}/{part}"
            try:
                os.mkdir(current, 0o755)
                made.append(current)
            except FileExistsError:
                pass
    return made


def subfolders(path: str) -> list[str]:
    try:
        with os.scandir(path) as entries:
            return [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return []


def remove(path: str, *, patience: float = 2.0) -> None:
    """Remove a cgroup and those below. A process that has ended may keep it busy for a moment."""
    for folder in subfolders(path):
        remove(folder, patience=patience)
    pause, deadline = 0.0005, time.monotonic() + patience
    while True:
        try:
            os.rmdir(path)
            return
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno != errno.EBUSY or time.monotonic() > deadline:
                raise
        time.sleep(pause)
        pause = min(pause * 2, 0.05)


def pids(path: str) -> list[int]:
    """The processes of a cgroup and of those below."""
    try:
        found = [int(line) for line in read(f"{path}/cgroup.procs").split()]
    except FileNotFoundError:
        return []
    except OSError as error:
        # ENODEV: removed while it was read. EOPNOTSUPP: a threaded cgroup, whose processes its domain lists.
        if error.errno not in (errno.ENODEV, errno.EOPNOTSUPP):
            raise
        found = []
    for folder in subfolders(path):
        found += pids(folder)
    # 0 stands for a process of a pid namespace that this one cannot see.
    return [pid for pid in found if pid]


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Poll with growing pauses."""
    pause, deadline = 0.0005, time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
        pause = min(pause * 2, 0.02)
    return True
