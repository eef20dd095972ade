"""Docker's JSON documents of an image: inspect, a line of the list, history.

Owns the field names and what Docker writes where a configuration says nothing. Pure: rows and configurations
in, plain dicts out. API 1.51; the fields that older versions had are added on demand.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sampan.images.catalog import ImageRow
from sampan.images.image import Image, created_ns
from sampan.images.layers import Layer
from sampan.wire import gotime

Document = dict[str, Any]

_ZERO_TIME = "0001-01-01T00:00:00Z"
_LEGACY_CONFIG: Document = {
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
"""What Go writes for a container configuration in which nothing is set (moby, api/types/container)."""
_CONFIG_ORDER = (
    "Hostname",
    "Domainname",
    "User",
    "AttachStdin",
    "AttachStdout",
    "AttachStderr",
    "ExposedPorts",
    "Tty",
    "OpenStdin",
    "StdinOnce",
    "Env",
    "Cmd",
    "Healthcheck",
    "ArgsEscaped",
    "Image",
    "Volumes",
    "WorkingDir",
    "Entrypoint",
    "NetworkDisabled",
    "MacAddress",
    "OnBuild",
    "Labels",
    "StopSignal",
    "StopTimeout",
    "Shell",
)
_IMAGE_CONFIG = (
    "User",
    "ExposedPorts",
    "Env",
    "Entrypoint",
    "Cmd",
    "Volumes",
    "WorkingDir",
    "Labels",
    "StopSignal",
    "ArgsEscaped",
    "Healthcheck",
    "OnBuild",
    "Shell",
)


def full_config(config: Document | None) -> Document:
    """Return a container configuration as Docker writes it: its order, empty values for what is unset."""
    values = {**_LEGACY_CONFIG, **(config or {})}
    return {key: values[key] for key in _CONFIG_ORDER if key in values}


def inspect(
    image: Image, row: ImageRow, layers: Sequence[Layer], graph_driver: Document, *, legacy: bool = False
) -> Document:
    """Return `GET /images/{name}/json`."""
    config = image.config
    history = config.get("history") or [{}]
    size = sum(layer.size for layer in layers)
    run_config = config.get("config")
    document: Document = {
        "Id": image.id,
        "RepoTags": list(image.repo_tags),
        "RepoDigests": list(image.repo_digests),
        "Parent": image.parent or "",
        "Comment": config.get("comment") or history[-1].get("comment") or "",
        "Created": image.created or _ZERO_TIME,
        "DockerVersion": config.get("docker_version") or "",
        "Author": config.get("author") or "",
        "Config": _image_config(run_config),
        "Architecture": image.architecture,
    }
    if legacy:
        document["Container"] = config.get("container") or ""
        document["ContainerConfig"] = full_config(config.get("container_config"))
        document["Config"] = None if run_config is None else full_config(run_config)
        document["VirtualSize"] = size
    if config.get("variant"):
        document["Variant"] = config["variant"]
    document["Os"] = image.os
    if config.get("os.version"):
        document["OsVersion"] = config["os.version"]
    return {
        **document,
        "Size": size,
        "GraphDriver": graph_driver,
        "RootFS": {"Type": "layers", "Layers": image.diff_ids} if image.diff_ids else {"Type": "layers"},
        "Metadata": {
            "LastTagTime": _ZERO_TIME if row.last_tagged is None else gotime.format_rfc3339(row.last_tagged)
        },
    }


def _image_config(config: Document | None) -> Document | None:
    """Return the fields of an image's configuration that are set (API 1.50 on leaves the others out)."""
    if config is None:
        return None
    return {key: config[key] for key in _IMAGE_CONFIG if config.get(key)}


def summary(image: Image, size: int, *, shared_size: int = -1) -> Document:
    """Return an element of `GET /images/json`."""
    return {
        "Containers": -1,
        "Created": created_ns(image.config) // 10**9,
        "Id": image.id,
        "Labels": image.run_config.get("Labels"),
        "ParentId": image.parent or "",
        "RepoDigests": list(image.repo_digests),
        "RepoTags": list(image.repo_tags),
        "SharedSize": shared_size,
        "Size": size,
    }


def history(image: Image, layers: Sequence[Layer], ancestors: Sequence[Image]) -> list[Document]:
    """Return `GET /images/{name}/history`: newest first; only images that are here have an id.

    `ancestors` are the parents, nearest first.
    """
    entries = image.config.get("history") or []
    sizes = iter(layers)
    lines: list[Document] = []
    for entry in entries:
        layer = None if entry.get("empty_layer") else next(sizes, None)
        lines.append(
            {
                "Comment": entry.get("comment") or "",
                "Created": created_ns(entry) // 10**9,
                "CreatedBy": entry.get("created_by") or "",
                "Id": "<missing>",
                "Size": layer.size if layer else 0,
                "Tags": None,
            }
        )
    lines.reverse()
    for line, owner in zip(lines, (image, *ancestors), strict=False):
        line["Id"] = owner.id
        line["Tags"] = list(owner.repo_tags) or None
    return lines
