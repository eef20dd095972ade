"""API versions: which ones are served, and what a document looked like before the newest.

The engine writes documents in the newest shape. Owns the gates that turn them back for an older client; each
names the version that changed the shape, as listed in the version history of Docker's API documentation
(https://docs.docker.com/reference/api/engine/version-history/). Must not know routes.
"""

from __future__ import annotations

from sampan import errors

Version = tuple[int, ...]

MINIMUM: Version = (1, 24)
MAXIMUM: Version = (1, 56)


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
