"""`mounts` of config.json: the option words, sorted into what the kernel's mount calls take.

Owns the table of words. A word that is not in it belongs to the file system (`size=64m`).
"""

from __future__ import annotations

from sampan.linux import mounts
from sampan.records import dataclass
from sampan.runtime.spec.fields import Fields
from sampan.runtime.spec.id_mappings import IdMapping, parse_mappings

# word -> (attribute, set it?): each has a recursive twin with the prefix "r" (mount_setattr(2),
# AT_RECURSIVE).
_ATTRIBUTES: dict[str, tuple[int, bool]] = {
    "ro": (mounts.MOUNT_ATTR_RDONLY, True),
    "rw": (mounts.MOUNT_ATTR_RDONLY, False),
    "nosuid": (mounts.MOUNT_ATTR_NOSUID, True),
    "suid": (mounts.MOUNT_ATTR_NOSUID, False),
    "nodev": (mounts.MOUNT_ATTR_NODEV, True),
    "dev": (mounts.MOUNT_ATTR_NODEV, False),
    "noexec": (mounts.MOUNT_ATTR_NOEXEC, True),
    "exec": (mounts.MOUNT_ATTR_NOEXEC, False),
    "nodiratime": (mounts.MOUNT_ATTR_NODIRATIME, True),
    "diratime": (mounts.MOUNT_ATTR_NODIRATIME, False),
    "nosymfollow": (mounts.MOUNT_ATTR_NOSYMFOLLOW, True),
    "symfollow": (mounts.MOUNT_ATTR_NOSYMFOLLOW, False),
}

# The access time modes are one field of three values. Relatime is 0, and what is left when a mode is switched
# off (mount(2): the default since Linux 2.6.30).
_ATIME: dict[str, int] = {
    "noatime": mounts.MOUNT_ATTR_NOATIME,
    "atime": mounts.MOUNT_ATTR_RELATIME,
    "relatime": mounts.MOUNT_ATTR_RELATIME,
    "norelatime": mounts.MOUNT_ATTR_RELATIME,
    "strictatime": mounts.MOUNT_ATTR_STRICTATIME,
    "nostrictatime": mounts.MOUNT_ATTR_RELATIME,
}

_PROPAGATION: dict[str, tuple[int, bool]] = {
    "private": (mounts.MS_PRIVATE, False),
    "rprivate": (mounts.MS_PRIVATE, True),
    "shared": (mounts.MS_SHARED, False),
    "rshared": (mounts.MS_SHARED, True),
    "slave": (mounts.MS_SLAVE, False),
    "rslave": (mounts.MS_SLAVE, True),
    "unbindable": (mounts.MS_UNBINDABLE, False),
    "runbindable": (mounts.MS_UNBINDABLE, True),
}

# Words for the superblock, as fsconfig(2) takes them: word -> flag, None where the word is the default.
_SUPERBLOCK: dict[str, str | None] = {
    "sync": "sync",
    "async": "async",
    "dirsync": "dirsync",
    "lazytime": "lazytime",
    "nolazytime": "nolazytime",
    "mand": "mand",
    "nomand": "nomand",
    "iversion": "iversion",
    "noiversion": "noiversion",
    "silent": "silent",
    "loud": None,
    "defaults": None,
}

# Every word that is ours; any other one is the file system's. A test compares them with runc's.
OPTION_WORDS = frozenset(
    [
        *("bind", "rbind", "remount", "tmpcopyup", "idmap", "ridmap"),
        *_PROPAGATION,
        *_SUPERBLOCK,
        *(prefix + word for prefix in ("", "r") for word in (*_ATTRIBUTES, *_ATIME)),
    ]
)


@dataclass(frozen=True, slots=True)
class Attributes:
    """Arguments of mount_setattr(2): attributes to set and to clear."""

    to_set: int = 0
    to_clear: int = 0

    def changed(self, attribute: int, enable: bool) -> Attributes:
        if enable:
            return Attributes(self.to_set | attribute, self.to_clear & ~attribute)
        return Attributes(self.to_set & ~attribute, self.to_clear | attribute)

    def with_atime(self, mode: int) -> Attributes:
        # mount_setattr(2): to change the access time mode, the whole field has to be cleared.
        field = mounts.MOUNT_ATTR__ATIME
        return Attributes(self.to_set & ~field | mode, self.to_clear | field)

    def __bool__(self) -> bool:
        return bool(self.to_set or self.to_clear)


@dataclass(frozen=True, slots=True)
class MountOptions:
    """The option words of one mount, sorted."""

    bind: bool = False
    recursive_bind: bool = False
    remount: bool = False
    copy_up: bool = False
    attributes: Attributes = Attributes()
    recursive_attributes: Attributes = Attributes()
    propagation: tuple[tuple[int, bool], ...] = ()  # (MS_SHARED …, recursive), applied in order
    superblock: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    idmap: str = ""  # "idmap", or "ridmap" for the mounts below as well

    @property
    def read_only(self) -> bool:
        return bool(self.attributes.to_set & mounts.MOUNT_ATTR_RDONLY)


@dataclass(frozen=True, slots=True)
class Mount:
    """One entry of `mounts`. `destination` is absolute and clean, `source` may be relative to the bundle."""

    destination: str
    source: str
    type: str
    options: MountOptions
    uid_mappings: tuple[IdMapping, ...] = ()
    gid_mappings: tuple[IdMapping, ...] = ()

    @property
    def is_id_mapped(self) -> bool:
        """By a word, or by mappings: the word without mappings means those of the user namespace."""
        return bool(self.options.idmap or self.uid_mappings)


def parse_mount(fields: Fields) -> Mount:
    destination = fields.required_string("destination")
    options = parse_options(fields.strings("options"))
    kind = fields.string("type")
    if not options.bind and not options.remount and kind in ("", "none", "bind"):
        if kind != "bind":
            raise fields.fail("type", "is required unless the mount is a bind")
        # Like runc, since many callers write type "bind" with neither bind nor rbind.
        options = parse_options(("bind", *fields.strings("options")))
    mount = Mount(
        clean_path(destination),
        fields.string("source"),
        kind,
        options,
        parse_mappings(fields, "uidMappings"),
        parse_mappings(fields, "gidMappings"),
    )
    _validate(fields, mount)
    return mount


def _validate(fields: Fields, mount: Mount) -> None:
    is_bind = mount.options.bind
    if is_bind and not mount.source and not mount.options.remount:
        raise fields.fail("source", "is required for a bind")
    if is_bind and mount.options.data:
        # The kernel would silently ignore them.
        raise fields.fail("options", "bind mounts cannot have any filesystem-specific options applied")
    if bool(mount.uid_mappings) != bool(mount.gid_mappings):
        raise fields.fail("uidMappings", "and gidMappings must be specified together")
    if mount.is_id_mapped and not is_bind:
        raise fields.fail("options", "id-mapped mounts are only supported for bind-mounts")


def clean_path(path: str) -> str:
    """An absolute path without "", "." and "..", by its text alone, as runc cleans destinations.

    A relative destination is deprecated; the specification counts it from "/".
    """
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            parts = parts[:-1]
        elif part not in ("", "."):
            parts.append(part)
    return "/" + "/".join(parts)


def parse_options(words: tuple[str, ...]) -> MountOptions:
    """Sort option words. Later words win over earlier ones, as in mount(8)."""
    bind = recursive_bind = remount = copy_up = False
    idmap = ""
    own, recursive = Attributes(), Attributes()
    propagation, superblock, data = [], [], []
    for word in words:
        if word in _ATTRIBUTES:
            own = own.changed(*_ATTRIBUTES[word])
        elif word in _ATIME:
            own = own.with_atime(_ATIME[word])
        elif word in _PROPAGATION:
            propagation.append(_PROPAGATION[word])
        elif word in ("bind", "rbind"):
            bind, recursive_bind = True, recursive_bind or word == "rbind"
        elif word == "remount":
            remount = True
        elif word == "tmpcopyup":
            copy_up = True
        elif word in _SUPERBLOCK:
            flag = _SUPERBLOCK[word]
            superblock.extend([flag] if flag else [])
        elif word in ("idmap", "ridmap"):
            idmap = word
        elif word[:1] == "r" and word[1:] in _ATTRIBUTES:
            recursive = recursive.changed(*_ATTRIBUTES[word[1:]])
        elif word[:1] == "r" and word[1:] in _ATIME:
            recursive = recursive.with_atime(_ATIME[word[1:]])
        elif word:
            data.append(word)
    return MountOptions(
        bind,
        recursive_bind,
        remount,
        copy_up,
        own,
        recursive,
        tuple(propagation),
        tuple(superblock),
        tuple(data),
        idmap,
    )
