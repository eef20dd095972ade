"""Configurations of images that are made here: by `import` and by `commit`.

Owns what goes into the document (OCI image specification, `config.md`, and the fields that Docker adds), and
its bytes. Pure but for the clock.
"""

from __future__ import annotations

import json
import os
import time
from typing import Any

from sampan import errors
from sampan.images import documents
from sampan.records import dataclass
from sampan.wire import gotime

Document = dict[str, Any]

EMPTY_DIFF_ID = "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"
"""The digest of a tar without members: such a layer is left out."""


@dataclass(frozen=True, slots=True)
class Commit:
    """What a container's image is made from, besides its files. Configurations have Docker's names."""

    container_id: str
    run_config: Document
    """The container's own configuration."""
    changed_config: Document
    """That of the image: with the changes that were asked for."""
    author: str = ""
    comment: str = ""


def imported(run_config: Document, diff_id: str, message: str, platform: tuple[str, str, str]) -> bytes:
    """`platform`: operating system, architecture, variant."""
    system, architecture, variant = platform
    created = gotime.format_rfc3339(time.time_ns())
    return _encode(
        {
            "architecture": architecture,
            **({"variant": variant} if variant else {}),
            "comment": message,
            "config": documents.full_config(run_config),
            "container_config": documents.full_config({}),
            "created": created,
            "history": [{"created": created, "comment": message}],
            "os": system,
            "rootfs": {"type": "layers", "diff_ids": [diff_id]},
        }
    )


def committed(parent: Document, commit: Commit, diff_id: str) -> bytes:
    """The child of an image whose configuration is `parent`."""
    created = gotime.format_rfc3339(time.time_ns())
    is_empty = diff_id == EMPTY_DIFF_ID
    entry = {
        "created": created,
        **({"author": commit.author} if commit.author else {}),
        "created_by": " ".join(commit.run_config.get("Cmd") or ()),
        **({"comment": commit.comment} if commit.comment else {}),
        **({"empty_layer": True} if is_empty else {}),
    }
    diff_ids = [*(parent["rootfs"].get("diff_ids") or ()), *([] if is_empty else [diff_id])]
    document = {
        "architecture": parent.get("architecture") or "",
        **({"variant": parent["variant"]} if parent.get("variant") else {}),
        **({"author": commit.author} if commit.author else {}),
        **({"comment": commit.comment} if commit.comment else {}),
        "config": documents.full_config(commit.changed_config),
        "container": commit.container_id,
        "container_config": documents.full_config(commit.run_config),
        "created": created,
        "history": [*(parent.get("history") or ()), entry],
        "os": parent.get("os") or "linux",
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    }
    return _encode(document)


_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def platform_of(text: str) -> tuple[str, str, str]:
    """Split `os[/architecture[/variant]]`; what is left out is this machine's."""
    os_name, _, rest = text.lower().partition("/")
    wanted, _, variant = rest.partition("/")
    if os_name not in ("", "linux"):
        raise errors.InvalidArgument("operating system is not supported")
    return "linux", wanted or architecture(), variant


def architecture() -> str:
    own = os.uname().machine
    return _ARCHITECTURES.get(own, own)


def _encode(document: Document) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()
