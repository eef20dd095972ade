"""config.json as frozen dataclasses: validated once, at the edge; nothing behind it sees JSON.

Owns the OCI runtime specification's fields, as far as they concern Linux. Unknown fields are ignored, wrong
ones refused (`InvalidArgument`), those that cannot be done here refused by their name (`Unsupported`). What
becomes of which field is told by `coverage`.
"""

from __future__ import annotations

from sampan import errors
from sampan.records import dataclass, field
from sampan.runtime.spec.fields import Fields
from sampan.runtime.spec.hooks import Hook, Hooks, parse_hooks
from sampan.runtime.spec.id_mappings import IdMapping
from sampan.runtime.spec.linux import Device, Linux, NetDevice, TimeOffset, parse_linux
from sampan.runtime.spec.mounts import Attributes, Mount, MountOptions, parse_mount, parse_options
from sampan.runtime.spec.process import Capabilities, Process, Rlimit, User, parse_process
from sampan.runtime.spec.resources import Resources, parse_resources
from sampan.runtime.version import OCI_VERSION
from sampan.wire import jsontext

__all__ = [
    "Attributes",
    "Capabilities",
    "Device",
    "Hook",
    "Hooks",
    "IdMapping",
    "Linux",
    "Mount",
    "MountOptions",
    "NetDevice",
    "Process",
    "Resources",
    "Rlimit",
    "Root",
    "Spec",
    "TimeOffset",
    "User",
    "load",
    "parse",
    "parse_options",
    "parse_process",
    "parse_resources",
]

# The specification: these must not be set for Linux; a virtual machine is something that we do not make.
_OTHER_PLATFORMS = ("vm", "windows", "solaris", "zos", "freebsd")

# Far above every real config.json, so that a hostile one cannot exhaust memory.
MAX_CONFIG = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Root:
    """The root file system: `path` may be relative to the bundle."""

    path: str
    readonly: bool = False


@dataclass(frozen=True, slots=True)
class Spec:
    """The whole of config.json. `process` is None if there is none: such a container can be created, not
    started.
    """

    root: Root
    linux: Linux
    oci_version: str = OCI_VERSION
    process: Process | None = None
    hostname: str = ""
    domainname: str = ""
    mounts: tuple[Mount, ...] = ()
    hooks: Hooks = field(default_factory=Hooks)
    annotations: dict[str, str] = field(default_factory=dict)


def load(bundle: str) -> Spec:
    """Read and parse `bundle`/config.json."""
    path = f"{bundle}/config.json"
    try:
        with open(path, "rb") as file:
            raw = file.read(MAX_CONFIG + 1)
    except FileNotFoundError:
        raise errors.InvalidArgument(f"JSON specification file {path} not found") from None
    if len(raw) > MAX_CONFIG:
        raise errors.InvalidArgument(f"{path} is larger than {MAX_CONFIG} bytes")
    try:
        document = jsontext.parse(raw)
    except (ValueError, RecursionError) as error:
        raise errors.InvalidArgument(f"{path} is not JSON: {error}") from None
    return parse(document)


def parse(document: object) -> Spec:
    """Validate a decoded config.json."""
    fields = Fields(document)
    version = fields.required_string("ociVersion")
    if not version.startswith("1."):
        raise errors.InvalidArgument(f'config.json: ociVersion "{version}" is not 1.x')
    fields.refuse(*_OTHER_PLATFORMS)
    root = fields.child("root")
    if root is None or not root.string("path"):
        raise errors.InvalidArgument("config.json: root.path is required")
    process = fields.document.get("process")
    spec = Spec(
        root=Root(root.string("path"), root.boolean("readonly")),
        linux=parse_linux(fields.child_or_empty("linux")),
        oci_version=version,
        process=None if process is None else parse_process(process),
        hostname=fields.string("hostname"),
        domainname=fields.string("domainname"),
        mounts=tuple(parse_mount(entry) for entry in fields.children("mounts")),
        hooks=parse_hooks(fields.child_or_empty("hooks")),
        annotations=fields.string_map("annotations"),
    )
    _validate(spec)
    return spec


def _validate(spec: Spec) -> None:
    """Refuse what could only fail, or do harm, later: rules about more than one field."""
    linux = spec.linux
    if "mount" not in linux.namespaces:
        raise errors.Unsupported("config.json: linux.namespaces without a mount namespace is not supported")
    if (spec.hostname or spec.domainname) and "uts" not in linux.namespaces:
        raise errors.InvalidArgument("unable to set hostname without a private UTS namespace")
    if linux.time_offsets and not linux.is_new("time"):
        raise errors.InvalidArgument("config.json: linux.timeOffsets needs a new time namespace")
    mapped = bool(linux.uid_mappings or linux.gid_mappings)
    if mapped and "user" not in linux.namespaces:
        raise errors.InvalidArgument("config.json: linux.uidMappings without a user namespace")
    if linux.is_new("user") and not (linux.uid_mappings and linux.gid_mappings):
        raise errors.InvalidArgument("config.json: a new user namespace needs uidMappings and gidMappings")
    if linux.net_devices and "network" not in linux.namespaces:
        raise errors.InvalidArgument("unable to move network devices without a private NET namespace")
    for mount in spec.mounts:
        if mount.options.idmap and not mount.uid_mappings and "user" not in linux.namespaces:
            raise errors.InvalidArgument(
                f"config.json: mounts: {mount.destination} is to be id-mapped, but there are neither mappings"
                " nor a user namespace"
            )
    _validate_sysctls(spec)


# Sysctls that belong to a namespace; another one would change the host. The list is runc's.
_IPC_SYSCTLS = frozenset(
    [
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.sem",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
        "kernel.shm_rmid_forced",
    ]
)


def _validate_sysctls(spec: Spec) -> None:
    private = spec.linux.namespaces
    for written in spec.linux.sysctl:
        # sysctl(8): with "/" before any "." the roles are swapped, so that "." may be part of a device name.
        path = sysctl_path(written)
        if not {"", ".", ".."}.isdisjoint(path.split("/")):
            raise errors.InvalidArgument(f'sysctl "{written}" is not a name')
        name = path.replace("/", ".")
        if name in _IPC_SYSCTLS or name.startswith("fs.mqueue."):
            wanted = "ipc"
        elif name.startswith("net."):
            wanted = "network"
        elif name == "kernel.domainname":
            wanted = "uts"
        elif name == "kernel.hostname":
            raise errors.InvalidArgument(
                f'sysctl "{written}" is not allowed as it conflicts with the OCI "hostname" field'
            )
        else:
            raise errors.InvalidArgument(f'sysctl "{written}" is not in a separate kernel namespace')
        if wanted not in private:
            raise errors.InvalidArgument(f'sysctl "{written}" not allowed in host {wanted} namespace')


def sysctl_path(name: str) -> str:
    """Path of a sysctl below /proc/sys."""
    dot, slash = name.find("."), name.find("/")
    if slash == -1 or (dot != -1 and dot < slash):
        name = name.translate({ord("."): "/", ord("/"): "."})
    return name
