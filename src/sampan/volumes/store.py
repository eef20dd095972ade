"""Volumes on the local disk.

Owns `ROOT/NAME/`, with `_data` for what a volume holds and `volume.json` for what is known of it. Both appear
and vanish at once, by a rename from and to a name that begins with a dot; what a killed engine leaves under
such names is removed at the next start. Synchronous, and safe to call from several threads.

A volume with options holds what is elsewhere: its device is mounted on `_data` from the first container that
uses it until the last one ends. Who uses it is kept in memory; after a start, `restore` tells it.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import threading
import time
from collections.abc import Collection, Mapping

import msgspec

from sampan import errors
from sampan.volumes import attachment, options

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
    options: dict[str, str] | None = None

    @property
    def is_anonymous(self) -> bool:
        return ANONYMOUS in (self.labels or {})


class VolumeStore:
    """All volumes of an engine."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._lock = threading.Lock()
        # A server that does not answer must hold up nobody but those who want the same volume.
        self._attaching: dict[str, threading.Lock] = {}
        self._users: dict[str, set[str]] = {}
        os.makedirs(root, 0o701, exist_ok=True)
        self._volumes = {volume.name: volume for volume in self._recover()}

    def create(
        self,
        name: str,
        labels: dict[str, str] | None = None,
        given: dict[str, str] | None = None,
        *,
        anonymous: bool = False,
    ) -> tuple[Volume, bool]:
        """The volume of this name, and whether it is new. `anonymous`: the name is not the user's.

        `given`: options, for a new one. Raises InvalidArgument for a name or options that Docker does not
        take.
        """
        _check_name(name)
        try:
            options.check(given or {})
        except errors.InvalidArgument as error:
            raise errors.InvalidArgument(f"create {name}: {error.message}") from None
        if anonymous:
            labels = (labels or {}) | {ANONYMOUS: ""}
        with self._lock:
            if name in self._volumes:
                return self._volumes[name], False
            volume = Volume(name=name, created=time.time_ns(), labels=labels, options=given or None)
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

    def attach(self, name: str, user: str) -> None:
        """Mount a volume's device, if it has one, for a container. Raises NotFound, SampanError."""
        mount = options.device_mount(self.get(name).options or {})
        if mount is None:
            return
        with self._attachment(name):
            path = self.path(name)
            if not attachment.is_attached(path):
                attachment.attach(mount, path)
            self._users.setdefault(name, set()).add(user)

    def release(self, name: str, user: str) -> None:
        """A container does not use a volume any more; after the last one, its device is unmounted."""
        with self._attachment(name):
            users = self._users.get(name, set())
            users.discard(user)
            if not users:
                self._users.pop(name, None)
                self._detach(name)

    def restore(self, users: Mapping[str, Collection[str]]) -> None:
        """After a start: volume → the containers that use it. What nobody uses is unmounted."""
        for volume in self.all():
            with self._attachment(volume.name):
                if users.get(volume.name):
                    self._users[volume.name] = set(users[volume.name])
                else:
                    self._detach(volume.name)

    def _attachment(self, name: str) -> threading.Lock:
        return self._attaching.setdefault(name, threading.Lock())

    def _detach(self, name: str) -> None:
        volume = self._volumes.get(name)
        if volume is not None and volume.options and attachment.is_attached(self.path(name)):
            attachment.detach(self.path(name))

    def remove(self, name: str) -> None:
        """Remove a volume and all that it holds, but not what its options name. Raises NotFound."""
        self.get(name)
        with self._attachment(name), self._lock:
            self._detach(name)
            self._users.pop(name, None)
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
