"""What a document looks like for the API version that a client asked for.

The engine writes documents that hold the fields of all versions. Owns the gates that take away what a
client's version did not have yet, or has no longer, and puts in what only old ones had; each gate names the
version that made the change (https://docs.docker.com/reference/api/engine/version-history/). Pure: documents
are copied, not changed.
"""

from __future__ import annotations

from collections.abc import Container

from msgspec.structs import replace

from sampan.api.versions import Version
from sampan.engine.schema import ContainerCreate, HealthConfig, HostConfig, Mount

Document = dict[str, object]

# The default bridge's addresses stood beside `Networks` until 1.52.
_NETWORK_SETTINGS_UNTIL_1_52 = (
    "Bridge",
    "EndpointID",
    "Gateway",
    "GlobalIPv6Address",
    "GlobalIPv6PrefixLen",
    "HairpinMode",
    "IPAddress",
    "IPPrefixLen",
    "IPv6Gateway",
    "LinkLocalIPv6Address",
    "LinkLocalIPv6PrefixLen",
    "MacAddress",
    "SecondaryIPAddresses",
    "SecondaryIPv6Addresses",
)

# What image inspect showed of the image's configuration before 1.50, even where the image says nothing of it.
_CONFIG_BEFORE_1_50: Document = {
    "Hostname": "",
    "Domainname": "",
    "User": "",
    "AttachStdin": False,
    "AttachStdout": False,
    "AttachStderr": False,
    "Tty": False,
    "OpenStdin": False,
    "StdinOnce": False,
    "Env": None,
    "Cmd": None,
    "Image": "",
    "Volumes": None,
    "WorkingDir": "",
    "Entrypoint": None,
    "OnBuild": None,
    "Labels": None,
}


def _without(document: Document, *keys: str) -> Document:
    return {key: value for key, value in document.items() if key not in keys}


def _inner(document: Document, key: str) -> Document:
    """The object at `key`; an empty one when there is none."""
    value = document.get(key)
    return value if isinstance(value, dict) else {}


def _number(document: Document, key: str) -> int:
    value = document.get(key)
    return value if isinstance(value, int) else 0


def container(document: Document, version: Version) -> Document:
    """Container inspect."""
    if version < (1, 48):
        document = _without(_with_older_endpoints(document, version), "ImageManifestDescriptor")
    if version >= (1, 52):
        settings = _without(_inner(document, "NetworkSettings"), *_NETWORK_SETTINGS_UNTIL_1_52)
        document = document | {"NetworkSettings": settings}
    return document


def _with_older_endpoints(document: Document, version: Version) -> Document:
    """A container with what its networks did not show before 1.48, and before 1.44."""
    unknown = ("GwPriority",) if version >= (1, 44) else ("GwPriority", "DNSNames")
    settings = _inner(document, "NetworkSettings")
    networks = {
        name: _without(network, *unknown)
        for name, network in _inner(settings, "Networks").items()
        if isinstance(network, dict)
    }
    return document | {"NetworkSettings": settings | {"Networks": networks}}


def container_list(documents: list[Document], version: Version) -> list[Document]:
    if version < (1, 52):
        documents = [_without(document, "Health") for document in documents]
    if version < (1, 48):
        documents = [
            _without(_with_older_endpoints(document, version), "ImageManifestDescriptor")
            for document in documents
        ]
    if version < (1, 46):
        documents = [
            document | {"HostConfig": _without(_inner(document, "HostConfig"), "Annotations")}
            for document in documents
        ]
    return documents


def image(document: Document, version: Version) -> Document:
    """Image inspect. The engine was asked for the fields that older versions had (`LEGACY_IMAGE_BEFORE`)."""
    if version < (1, 50):
        document = document | {"Config": _CONFIG_BEFORE_1_50 | _inner(document, "Config")}
    if version < (1, 48):
        document = _without(document, "Descriptor", "Manifests")
    if version >= (1, 45):
        document = _without(document, "Container", "ContainerConfig")
    return _without(document, "VirtualSize") if version >= (1, 44) else document


LEGACY_IMAGE_BEFORE: Version = (1, 45)
"""Container, ContainerConfig (until 1.45) and VirtualSize (until 1.44) were part of image inspect."""


def image_list(documents: list[Document], version: Version) -> list[Document]:
    if version < (1, 51):
        documents = [document | {"Containers": -1} for document in documents]
    if version < (1, 48):
        documents = [_without(document, "Descriptor", "Manifests") for document in documents]
    return _with_virtual_size(documents) if version < (1, 44) else documents


def _with_virtual_size(images: list[Document]) -> list[Document]:
    return [image | {"VirtualSize": image.get("Size")} for image in images]


def info(document: Document, version: Version) -> Document:
    if version < (1, 50):
        document = _without(document, "DiscoveredDevices")
    if version < (1, 49):
        document = _without(document, "FirewallBackend")
    if version < (1, 46):
        document = _without(document, "Containerd")
    return _without(document, "CDISpecDirs") if version < (1, 44) else document


def network(document: Document, version: Version) -> Document:
    return _without(document, "EnableIPv4") if version < (1, 48) else document


def event(document: Document, version: Version) -> Document:
    """`status`, `id` and `from` repeated what Action and Actor say."""
    return _without(document, "status", "id", "from") if version >= (1, 52) else document


# --- disk usage ---------------------------------------------------------------------------------------------


def disk_usage(document: Document, version: Version, *, types: Container[str], verbose: bool) -> Document:
    """`/system/df`. `types` are the kinds that were asked for (since 1.42)."""
    if version >= (1, 52):
        return _disk_usage_since_1_52(document, types, verbose)
    shown = document
    if version < (1, 42):
        shown = document | {"BuilderSize": 0}
    for kind, keys in (
        ("image", ("LayersSize", "Images")),
        ("container", ("Containers",)),
        ("volume", ("Volumes",)),
        ("build-cache", ("BuildCache",)),
    ):
        if kind not in types:
            shown = shown | {key: 0 if key == "LayersSize" else None for key in keys}
    if version < (1, 44) and "image" in types:
        shown = shown | {"Images": _with_virtual_size(_items(document, "Images"))}
    return shown


def _items(document: Document, key: str) -> list[Document]:
    value = document.get(key)
    return value if isinstance(value, list) else []


def _disk_usage_since_1_52(document: Document, types: Container[str], verbose: bool) -> Document:
    usage: Document = {}
    if "image" in types:
        images = _items(document, "Images")
        idle = [image for image in images if _number(image, "Containers") <= 0]
        freed = sum(_number(image, "Size") - max(0, _number(image, "SharedSize")) for image in idle)
        usage["ImageUsage"] = _usage(images, idle, freed, _number(document, "LayersSize"), verbose)
    if "container" in types:
        containers = _items(document, "Containers")
        idle = [item for item in containers if item.get("State") not in ("running", "paused", "restarting")]
        total, freed = (sum(_number(item, "SizeRw") for item in items) for items in (containers, idle))
        usage["ContainerUsage"] = _usage(containers, idle, freed, total, verbose)
    if "volume" in types:
        usage["VolumeUsage"] = _usage([], [], 0, 0, verbose)
    if "build-cache" in types:
        usage["BuildCacheUsage"] = _usage([], [], 0, 0, verbose)
    return usage


def _usage(items: list[Document], idle: list[Document], freed: int, total: int, verbose: bool) -> Document:
    usage: Document = {
        "ActiveCount": len(items) - len(idle),
        "TotalCount": len(items),
        "Reclaimable": freed,
        "TotalSize": total,
    }
    return usage | {"Items": items} if verbose and items else usage


# --- what older clients say ---------------------------------------------------------------------------------


def container_create(body: ContainerCreate, version: Version) -> ContainerCreate:
    """The body as a client of `version` meant it: fields that it could not know are dropped, as dockerd
    does.
    """
    if body.host_config is not None:
        body = replace(body, host_config=_host_config(body.host_config, version))
    if body.healthcheck is not None and version < (1, 44):
        body = replace(body, healthcheck=_healthcheck(body.healthcheck))
    return body


def _host_config(config: HostConfig, version: Version) -> HostConfig:
    if version < (1, 43):
        config = replace(config, annotations=None)
    if version < (1, 42):
        config = replace(config, console_size=None)
    if version < (1, 40) and not config.ipc_mode:
        # Until then another container could always join the IPC namespace.
        config = replace(config, ipc_mode="shareable")
    if config.mounts and version < (1, 44):
        config = replace(config, mounts=[_mount(mount, version) for mount in config.mounts])
    return config


def _mount(mount: Mount, version: Version) -> Mount:
    options = mount.bind_options
    if options is None:
        return mount
    options = replace(options, read_only_non_recursive=False, read_only_force_recursive=False)
    if version < (1, 42):
        options = replace(options, create_mountpoint=False)
    if version < (1, 40):
        options = replace(options, non_recursive=False)
    return replace(mount, bind_options=options)


def _healthcheck(config: HealthConfig) -> HealthConfig:
    return replace(config, start_interval=0)
