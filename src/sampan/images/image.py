"""An image as a value: its id, its configuration document and the layers it stands on.

Owns the reading of an image configuration (OCI image specification, `config.md`, and the fields that Docker
adds). Knows nothing of where images are kept. The id is the digest of the configuration's bytes, so they are
kept as they came and never written again.
"""

from __future__ import annotations

import json
from typing import Any

from sampan import errors
from sampan.records import dataclass, field
from sampan.wire import digest, gotime

MAX_CONFIG_BYTES = 8 << 20
"""Nobody's configuration is this long; a longer one would be held in memory for a hostile archive."""

ZERO_TIME_NS = gotime.parse_rfc3339("0001-01-01T00:00:00Z")
"""Go's zero time: what Docker has for an image that does not say when it was made."""


@dataclass(frozen=True, slots=True)
class Image:
    """One image. `repo_tags` and `repo_digests` are familiar names (`busybox:latest`), sorted."""

    id: str
    config: dict[str, Any]
    """The whole configuration document; the part that containers start from is `run_config`."""
    chain_ids: tuple[str, ...]
    """Bottom layer first."""
    parent: str | None = None
    """The image that this one was built on, when it is known here."""
    repo_tags: tuple[str, ...] = field(default=())
    repo_digests: tuple[str, ...] = field(default=())

    @property
    def run_config(self) -> dict[str, Any]:
        """The `config` object: Cmd, Entrypoint, Env, User and so on, in Docker's names."""
        return self.config.get("config") or {}

    @property
    def top_layer(self) -> str | None:
        """The chain id that a container of this image stands on; None for an image without layers."""
        return self.chain_ids[-1] if self.chain_ids else None

    @property
    def diff_ids(self) -> list[str]:
        """Bottom layer first."""
        return list((self.config.get("rootfs") or {}).get("diff_ids") or [])

    @property
    def labels(self) -> dict[str, str]:
        """The labels of the image's configuration."""
        return self.run_config.get("Labels") or {}

    @property
    def created(self) -> str:
        """The moment of creation as the document has it (RFC 3339), or the empty string."""
        return self.config.get("created") or ""

    @property
    def architecture(self) -> str:
        """GOARCH of the image; empty when the document does not say."""
        return self.config.get("architecture") or ""

    @property
    def os(self) -> str:
        """GOOS of the image; `linux` when the document does not say."""
        return self.config.get("os") or "linux"


def parse_config(data: bytes) -> dict[str, Any]:
    """Read an image configuration and check the parts that this library relies on."""
    if len(data) > MAX_CONFIG_BYTES:
        raise errors.InvalidArgument(f"invalid image configuration: more than {MAX_CONFIG_BYTES} bytes")
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise errors.InvalidArgument(f"invalid image configuration: {error}") from error
    if not isinstance(document, dict):
        raise errors.InvalidArgument("invalid image configuration: not a JSON object")
    _check_rootfs(document.get("rootfs"))
    for name, kind in (
        ("config", dict),
        ("history", list),
        ("created", str),
        ("architecture", str),
        ("os", str),
    ):
        if document.get(name) is not None and not isinstance(document[name], kind):
            raise errors.InvalidArgument(f"invalid image configuration: {name!r} has the wrong type")
    if any(not isinstance(entry, dict) for entry in document.get("history") or []):
        raise errors.InvalidArgument("invalid image configuration: 'history' has the wrong type")
    return document


def _check_rootfs(rootfs: object) -> None:
    if not isinstance(rootfs, dict):
        # Docker's words for an image from before content addressing, or for something else altogether.
        raise errors.InvalidArgument("invalid image JSON, no RootFS key")
    diff_ids = rootfs.get("diff_ids") or []
    if not isinstance(diff_ids, list) or not all(isinstance(one, str) for one in diff_ids):
        raise errors.InvalidArgument("invalid image configuration: 'rootfs.diff_ids' has the wrong type")
    for one in diff_ids:
        digest.check(one)


def chain_ids_of(diff_ids: list[str]) -> tuple[str, ...]:
    """Return the chain id of each layer, bottom first (OCI image specification, "Layer ChainID")."""
    chain: list[str] = []
    for diff_id in diff_ids:
        chain.append(digest.chain_id(chain[-1] if chain else None, diff_id))
    return tuple(chain)


def created_ns(config: dict[str, Any]) -> int:
    """Return the moment of creation in nanoseconds since 1970; Docker takes a missing one for the year 1."""
    try:
        return gotime.parse_rfc3339(config.get("created") or "")
    except ValueError:
        return ZERO_TIME_NS
