"""What a container mounts besides its root: binds and tmpfs, read from `-v`, `--mount` and `--tmpfs`.

Owns the syntax of these three and dockerd's checks and messages (moby's volume/mounts). Pure but for one
thing: the source of a `--mount type=bind` has to exist when the container is created.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable, Iterator

import msgspec

from sampan import errors
from sampan.engine.schema import (
    BindOptions,
    DriverConfig,
    HostConfig,
    ImageOptions,
    Mount,
    TmpfsOptions,
    VolumeOptions,
)

_PROPAGATIONS = ("private", "rprivate", "slave", "rslave", "shared", "rshared")
_ACCESS = ("rw", "ro")
_LABELS = ("z", "Z")
"""SELinux relabelling: nothing to do where there is no SELinux, as dockerd does there."""
_COPY = ("nocopy",)
_CONSISTENCY = ("consistent", "cached", "delegated")
_MODE_KINDS = (_PROPAGATIONS, _ACCESS, _LABELS, _COPY, _CONSISTENCY)

_TMPFS_DATA = frozenset(("size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol"))
# Options that exclude each other, by the flag of mount(2) that they share.
_TMPFS_FLAGS = {
    "ro": "ro",
    "rw": "ro",
    "suid": "suid",
    "nosuid": "suid",
    "dev": "dev",
    "nodev": "dev",
    "exec": "exec",
    "noexec": "exec",
    "sync": "sync",
    "async": "sync",
    "dirsync": "dirsync",
    "atime": "atime",
    "noatime": "atime",
    "diratime": "diratime",
    "nodiratime": "diratime",
    "relatime": "relatime",
    "norelatime": "relatime",
    "strictatime": "strictatime",
    "nostrictatime": "strictatime",
    "bind": "bind",
    "rbind": "bind",
    "remount": "remount",
    **dict.fromkeys((*_PROPAGATIONS, "unbindable", "runbindable"), "propagation"),
}

DEFAULT_PROPAGATION = "rprivate"


class MountPoint(msgspec.Struct, frozen=True, kw_only=True):
    """One mount, as the container's record keeps it."""

    type: str
    destination: str
    source: str = ""
    mode: str = ""
    """The third part of a `-v`, as it was written."""
    writable: bool = True
    propagation: str = ""
    recursive: bool = True
    read_only_recursive: bool = True
    create_source: bool = False
    """Whether a source that is missing is made as a folder: so it is for `-v`, and not for `--mount`."""
    tmpfs_options: tuple[str, ...] = ()
    name: str = ""
    """Of a volume; "" until one is made for it."""
    is_named: bool = False
    """Whether the user has named the volume, so that it outlives the container."""
    labels: tuple[tuple[str, str], ...] = ()
    driver_options: tuple[tuple[str, str], ...] = ()
    """Both for a volume that has to be made."""
    copies: bool = True
    """Whether a volume that is empty gets what the image has in its place."""
    subpath: str = ""
    """The part of a volume or image that is mounted."""
    image: str = ""
    """The id of the image that is mounted; its name is in `name`."""


def collect(
    host_config: HostConfig, data_root: str, borrowed: Iterable[MountPoint] = ()
) -> tuple[MountPoint, ...]:
    """The mount points that a container asks for. `borrowed`: those of other containers (`--volumes-from`),
    which its own replace. Raises InvalidArgument, Unsupported.
    """
    found: dict[str, MountPoint] = {}
    tmpfs = host_config.tmpfs or {}
    for destination in tmpfs:
        _check_destination(destination)
    for point in _all(host_config, data_root):
        if point.destination in found or point.destination in tmpfs:
            raise errors.InvalidArgument(f"Duplicate mount point: {point.destination}")
        found[point.destination] = point
    lent = {point.destination: point for point in borrowed if point.destination not in tmpfs}
    return tuple((lent | found).values())


def with_anonymous(
    points: Iterable[MountPoint], host_config: HostConfig, destinations: Iterable[str]
) -> tuple[MountPoint, ...]:
    """The mount points, and a volume without a name for each of `destinations` (`-v /data`, VOLUME) that has
    none.
    """
    found = {point.destination: point for point in points}
    for text in destinations:
        destination = posixpath.normpath(text)
        _check_destination(destination)
        if destination not in found and destination not in (host_config.tmpfs or {}):
            found[destination] = MountPoint(type="volume", destination=destination)
    return tuple(found.values())


def borrow(points: Iterable[MountPoint], mode: str) -> list[MountPoint]:
    """The volumes and binds of another container, as `--volumes-from NAME:MODE` mounts them."""
    if mode not in ("", "ro", "rw", "z", "Z", "ro,z", "ro,Z", "rw,z", "rw,Z", "z,ro", "Z,ro", "z,rw", "Z,rw"):
        raise errors.InvalidArgument(f"invalid mode: {mode}")
    read_only = "ro" in mode.split(",")
    return [
        msgspec.structs.replace(
            point, writable=point.writable and not read_only, mode=mode, copies=False, create_source=False
        )
        for point in points
        if point.type in ("volume", "bind")
    ]


def _all(host_config: HostConfig, data_root: str) -> Iterator[MountPoint]:
    for text in host_config.binds or ():
        yield parse_bind(text, data_root)
    for mount in host_config.mounts or ():
        yield parse_mount(mount, data_root)


def parse_bind(text: str, data_root: str) -> MountPoint:
    """One `-v SOURCE:DESTINATION[:MODE]`."""
    parts = text.split(":")
    invalid = f"invalid volume specification: '{text}'"
    if not parts[0] or len(parts) > 3 or (len(parts) == 2 and _is_mode(parts[1])):
        raise errors.InvalidArgument(invalid)
    source, destination = ("", parts[0]) if len(parts) == 1 else parts[:2]
    mode = parts[2] if len(parts) == 3 else ""
    if not _is_mode(mode) and mode:
        raise errors.InvalidArgument(f"invalid mode: {mode}")
    words = mode.split(",")
    propagation = next((word for word in words if word in _PROPAGATIONS), "")
    mount = Mount(
        type="bind" if source.startswith("/") else "volume",
        source=source,
        target=destination,
        read_only="ro" in words,
        bind_options=BindOptions(propagation=propagation) if propagation else None,
    )
    try:
        _check(mount, source_must_exist=False)
        if mount.type == "volume":
            return _volume(mount, mode=mode or "z", copies="nocopy" not in words)
        point = _bind(mount, data_root)
    except errors.Unsupported:
        raise
    except errors.InvalidArgument as error:
        raise errors.InvalidArgument(f"{invalid}: {error.message}") from None
    return msgspec.structs.replace(point, mode=mode, create_source=True)


def _is_mode(text: str) -> bool:
    """Whether it is a list of mode words, at most one of each kind."""
    seen: set[tuple[str, ...]] = set()
    for word in text.split(","):
        kind = next((kind for kind in _MODE_KINDS if word in kind), None)
        if kind is None or kind in seen:
            return False
        seen.add(kind)
    return True


def parse_mount(mount: Mount, data_root: str) -> MountPoint:
    """One `--mount`."""
    _check(mount, source_must_exist=True)
    if mount.type == "bind":
        return _bind(mount, data_root)
    if mount.type == "tmpfs":
        return MountPoint(
            type="tmpfs",
            destination=posixpath.normpath(mount.target),
            writable=not mount.read_only,
            tmpfs_options=_tmpfs_words(mount.tmpfs_options, mount.read_only),
        )
    if mount.type == "volume":
        return _volume(mount, mode="z", copies=True)
    if mount.type == "image":
        return MountPoint(
            type="image",
            destination=posixpath.normpath(mount.target),
            name=mount.source,
            writable=False,
            propagation=DEFAULT_PROPAGATION,
            subpath=(mount.image_options or ImageOptions()).subpath,
        )
    raise errors.Unsupported(f"mounts of type {mount.type} are not supported yet ({mount.target})")


def _volume(mount: Mount, *, mode: str, copies: bool) -> MountPoint:
    options = mount.volume_options or VolumeOptions()
    driver = options.driver_config or DriverConfig()
    if driver.name not in ("", "local"):
        raise errors.NotFound(
            f'error looking up volume plugin {driver.name}: plugin "{driver.name}" not found'
        )
    return MountPoint(
        type="volume",
        destination=posixpath.normpath(mount.target),
        name=mount.source,
        is_named=bool(mount.source),
        mode=mode,
        writable=not mount.read_only,
        labels=tuple((options.labels or {}).items()),
        driver_options=tuple((driver.options or {}).items()),
        copies=copies and not options.no_copy and not options.subpath,
        subpath=options.subpath,
    )


def _bind(mount: Mount, data_root: str) -> MountPoint:
    options = mount.bind_options or BindOptions()
    source = posixpath.normpath(mount.source)
    if options.read_only_force_recursive and options.read_only_non_recursive:
        raise _wrong(mount, "mount options conflict: ReadOnlyNonRecursive && ReadOnlyForceRecursive")
    return MountPoint(
        type="bind",
        source=source,
        destination=posixpath.normpath(mount.target),
        writable=not mount.read_only,
        propagation=_propagation(source, options.propagation, data_root),
        recursive=not options.non_recursive,
        read_only_recursive=not options.read_only_non_recursive,
        create_source=options.create_mountpoint,
    )


def _propagation(source: str, wanted: str, data_root: str) -> str:
    """A bind that shows the data root must not hold on to the mounts in it: rslave, as with dockerd."""
    if not (data_root.startswith(source) or source.startswith(data_root)):
        return wanted or DEFAULT_PROPAGATION
    if wanted not in ("", "rslave", "rshared"):
        raise errors.InvalidArgument(
            'invalid mount config: must use either propagation mode "rslave" or "rshared" when mount source '
            f'is within the daemon root, daemon root: "{data_root}", bind mount source: "{source}", '
            f'propagation: "{wanted}"'
        )
    return wanted or "rslave"


# --- dockerd's checks ---------------------------------------------------------------------------------------


def _wrong(mount: Mount, why: str) -> errors.InvalidArgument:
    return errors.InvalidArgument(f'invalid mount config for type "{mount.type}": {why}')


def _check(mount: Mount, *, source_must_exist: bool) -> None:
    if not mount.target:
        raise _wrong(mount, "field Target must not be empty")
    try:
        _check_destination(mount.target)
    except errors.InvalidArgument as error:
        raise _wrong(mount, error.message) from None
    extra = _extra_field(mount)
    if mount.type == "bind":
        _check_bind(mount, extra, source_must_exist)
    elif mount.type == "volume":
        if extra:
            raise _wrong(mount, f"field {extra} must not be specified")
        _check_volume(mount)
    elif mount.type == "tmpfs":
        if extra or mount.source:
            raise _wrong(mount, f"field {extra or 'Source'} must not be specified")
    elif mount.type == "image":
        if extra or not mount.source:
            told = f"{extra} must not be specified" if extra else "Source must not be empty"
            raise _wrong(mount, f"field {told}")
        _check_subpath(mount, (mount.image_options or ImageOptions()).subpath)
    elif mount.type not in ("cluster", "npipe"):
        raise _wrong(mount, "mount type unknown")


def _extra_field(mount: Mount) -> str:
    """A group of options that belongs to another type."""
    groups = (
        ("bind", "BindOptions", mount.bind_options),
        ("volume", "VolumeOptions", mount.volume_options),
        ("tmpfs", "TmpfsOptions", mount.tmpfs_options),
        ("image", "ImageOptions", mount.image_options),
    )
    return next((name for kind, name, value in groups if kind != mount.type and value is not None), "")


def _check_volume(mount: Mount) -> None:
    subpath = (mount.volume_options or VolumeOptions()).subpath
    if not mount.source and subpath:
        raise _wrong(mount, "must not set Subpath when using anonymous volumes")
    _check_subpath(mount, subpath)
    if not mount.source and mount.read_only:
        raise _wrong(mount, "must not set ReadOnly mode when using anonymous volumes")


def _check_subpath(mount: Mount, subpath: str) -> None:
    """A subpath must not leave what it is a part of, whatever is there: Go's filepath.IsLocal."""
    if subpath and (subpath.startswith("/") or posixpath.normpath(subpath).split("/")[0] == ".."):
        raise _wrong(mount, "subpath must be a relative path within the volume")


def _check_destination(path: str) -> None:
    if posixpath.normpath(path) in ("/", "//"):
        raise errors.InvalidArgument("invalid specification: destination can't be '/'")
    _check_absolute(path)


def _check_absolute(path: str) -> None:
    if not path.startswith("/"):
        raise errors.InvalidArgument(f"invalid mount path: '{path}' mount path must be absolute")


def _check_bind(mount: Mount, extra: str, source_must_exist: bool) -> None:
    if not mount.source:
        raise _wrong(mount, "field Source must not be empty")
    options = mount.bind_options or BindOptions()
    if options.propagation and options.propagation not in _PROPAGATIONS:
        raise _wrong(mount, f"invalid propagation mode: {options.propagation}")
    if extra:
        raise _wrong(mount, f"field {extra} must not be specified")
    try:
        _check_absolute(mount.source)
    except errors.InvalidArgument as error:
        raise _wrong(mount, error.message) from None
    if source_must_exist and not options.create_mountpoint and not os.path.exists(mount.source):
        raise _wrong(mount, f"bind source path does not exist: {mount.source}")


# --- tmpfs --------------------------------------------------------------------------------------------------


def _tmpfs_words(options: TmpfsOptions | None, read_only: bool) -> tuple[str, ...]:
    words = ["ro"] if read_only else []
    if options is not None and options.mode:
        words.append(f"mode={options.mode:o}")
    if options is not None and options.size_bytes:
        words.append(f"size={options.size_bytes}")
    for option in (options.options if options is not None else None) or ():
        words.append("=".join(option[:2]))
    return tuple(words)


def merge_tmpfs_options(words: list[str]) -> list[str]:
    """Of options that contradict each other the last one stays. Raises InvalidArgument for an unknown one."""
    kept: dict[str, str] = {}
    for word in words:
        if word in ("", "defaults"):
            continue
        name, equals, _ = word.partition("=")
        key = _TMPFS_FLAGS.get(word) or (name if equals and name in _TMPFS_DATA else None)
        if key is None:
            shown = " ".join(f'"{part}"' for part in word.split("=", 1))
            raise errors.InvalidArgument(f"invalid tmpfs option [{shown}]")
        kept.pop(key, None)
        kept[key] = word
    return list(kept.values())
