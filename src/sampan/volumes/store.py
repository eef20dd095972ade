"""Volumes on the local disk.

Owns `ROOT/NAME/`, with `_data` for what a volume holds and `volume.json` for what is known of it. Both appear
and vanish at once, by a rename from and to a name that begins with a dot; what a killed engine leaves under
such names is removed at the next start. Synchronous, and safe to call from several threads.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import threading
import time

import msgspec

from sampan import errors

DRIVER = "local"
ANONYMOUS = "com.docker.volume.anonymous"
"""The label of a volume that nobody has named, as Docker sets it."""

_ALPHANUMERIC = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
_CHARACTERS = _ALPHANUMERIC | frozenset("_.-")


def new_name() -> str:
    """The name of a volume that nobody names."""
    return secrets.token_hex(32)


class Volume(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a volume. `created` is in nanoseconds since 1970."""

    name: str
    created: int
    labels: dict[str, str] | None = None

    @property
    def is_anonymous(self) -> bool:
        return ANONYMOUS in (self.labels or {})


class VolumeStore:
    """All volumes of an engine."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._lock = threading.Lock()
        os.makedirs(root, 0o701, exist_ok=True)
        self._volumes = {volume.name: volume for volume in self._recover()}

    def create(
        self, name: str, labels: dict[str, str] | None = None, *, anonymous: bool = False
    ) -> tuple[Volume, bool]:
        """The volume of this name, and whether it is new. `anonymous`: the name is not the user's.

        Raises InvalidArgument for a name that Docker does not take.
        """
        _check_name(name)
        if anonymous:
            labels = (labels or {}) | {ANONYMOUS: ""}
        with self._lock:
            if name in self._volumes:
                return self._volumes[name], False
            volume = Volume(name=name, created=time.time_ns(), labels=labels)
            beside = f"{self._root}/.new-{secrets.token_hex(8)}"
            os.mkdir(beside, 0o701)
            os.mkdir(f"{beside}/_data", 0o755)
            with open(f"{beside}/volume.json", "wb") as file:
                file.write(msgspec.json.encode(volume))
                file.flush()
                os.fsync(file.fileno())
            os.rename(beside, f"{self._root}/{name}")
            self._volumes[name] = volume
            return volume, True

    def get(self, name: str) -> Volume:
        """Raises NotFound."""
        with self._lock:
            if name not in self._volumes:
                raise errors.NotFound(f"get {name}: no such volume")
            return self._volumes[name]

    def all(self) -> list[Volume]:
        with self._lock:
            return sorted(self._volumes.values(), key=lambda volume: volume.name)

    def path(self, name: str) -> str:
        """Where what a volume holds is on the host."""
        return f"{self._root}/{name}/_data"

    def remove(self, name: str) -> None:
        """Remove a volume and all that it holds. Raises NotFound."""
        self.get(name)
        with self._lock:
            self._volumes.pop(name, None)
            buried = f"{self._root}/.old-{secrets.token_hex(8)}"
            os.rename(f"{self._root}/{name}", buried)
        shutil.rmtree(buried)

    def size(self, name: str) -> int:
        """Bytes of the files of a volume, each counted once."""
        seen: set[tuple[int, int]] = set()
        total = 0
        for folder, _, files in os.walk(self.path(name)):
            for file in files:
                try:
                    found = os.lstat(f"{folder}/{file}")
                except FileNotFoundError:
                    continue  # a container is at work
                if (found.st_dev, found.st_ino) not in seen:
                    seen.add((found.st_dev, found.st_ino))
                    total += found.st_size
        return total

    def fill(self, name: str, source: int) -> None:
        """Copy a folder into a volume that is empty, with owners, modes, times, links, devices and xattrs.

        `source` is a descriptor of the folder. No link in it is followed. Raises SampanError.
        """
        path = self.path(name)
        if os.listdir(path):
            return
        done = subprocess.run(
            ["cp", "--archive", "--no-target-directory", f"/proc/self/fd/{source}/.", path],
            pass_fds=[source],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        if done.returncode != 0:
            told = done.stderr.decode(errors="replace").strip().partition("\n")[0]
            raise errors.SampanError(f"failed to copy the image's content into volume {name}: {told}")

    def _recover(self) -> list[Volume]:
        found = []
        for entry in os.listdir(self._root):
            if entry.startswith("."):
                shutil.rmtree(f"{self._root}/{entry}", ignore_errors=True)
                continue
            with open(f"{self._root}/{entry}/volume.json", "rb") as file:
                found.append(msgspec.json.decode(file.read(), type=Volume))
        return found


def _check_name(name: str) -> None:
    if len(name.encode(errors="surrogateescape")) == 1:
        raise errors.InvalidArgument(
            f"create {name}: volume name is too short, names should be at least two alphanumeric characters"
        )
    if name[0] not in _ALPHANUMERIC or not _CHARACTERS.issuperset(name):
        raise errors.InvalidArgument(
            f'create {name}: "{name}" includes invalid characters for a local volume name, only '
            '"[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute '
            "path"
        )
