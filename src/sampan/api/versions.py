"""API versions: which ones are served, and what a document looked like before the newest.

The engine writes documents in the newest shape. Owns the gates that turn them back for an older client; each
names the version that changed the shape, as listed in the version history of Docker's API documentation
(https://docs.docker.com/reference/api/engine/version-history/). Must not know routes.
"""

from __future__ import annotations

from sampan import errors

Version = tuple[int, ...]

MINIMUM: Version = (1, 24)
MAXIMUM: Version = (1, 51)


def text(version: Version) -> str:
    return ".".join(map(str, version))


def parse(label: str) -> Version:
    """The version of a path prefix such as `1.41`. Raises InvalidArgument when it is not served, in moby's
    words.
    """
    version = tuple(int(part) if part else 0 for part in label.split("."))
    if version > MAXIMUM:
        raise errors.InvalidArgument(
            f"client version {label} is too new. Maximum supported API version is {text(MAXIMUM)}"
        )
    if version < MINIMUM:
        raise errors.InvalidArgument(
            f"client version {label} is too old. Minimum supported API version is {text(MINIMUM)}, "
            "please upgrade your client to a newer version"
        )
    return version


# --- gates: a document of the newest shape, as the client's version knows it --------------------------------

Document = dict[str, object]

# What image inspect shows of the image's configuration before 1.50, even where the image says nothing of it.
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


def container(document: Document, version: Version) -> Document:
    """Container inspect."""
    return _without(document, "ImageManifestDescriptor") if version < (1, 48) else document


def container_list(documents: list[Document], version: Version) -> list[Document]:
    if version < (1, 48):
        documents = [_without(document, "ImageManifestDescriptor") for document in documents]
    if version < (1, 46):
        documents = [document | {"HostConfig": _host_config(document)} for document in documents]
    return documents


def _host_config(document: Document) -> Document:
    """Before 1.46 the list shows no annotations."""
    config = document.get("HostConfig")
    return _without(config, "Annotations") if isinstance(config, dict) else {}


def image(document: Document, version: Version) -> Document:
    """Image inspect."""
    if version < (1, 50):
        config = document.get("Config")
        document = document | {"Config": _CONFIG_BEFORE_1_50 | (config if isinstance(config, dict) else {})}
    if version < (1, 48):
        document = _without(document, "Descriptor", "Manifests")
    if version < (1, 44):
        document = document | {"VirtualSize": document.get("Size")}
    return document


def image_list(documents: list[Document], version: Version) -> list[Document]:
    if version < (1, 51):
        documents = [document | {"Containers": -1} for document in documents]
    if version < (1, 48):
        documents = [_without(document, "Descriptor", "Manifests") for document in documents]
    if version < (1, 44):
        documents = [document | {"VirtualSize": document.get("Size")} for document in documents]
    return documents


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
