"""Digests as registries and images write them: `sha256:` and 64 lower-case hexadecimal digits.

Owns the syntax and the two ways a digest is made here (of bytes, of a chain of layers). Costs the standard
library's hashlib. The OCI image specification registers sha512 as well, but neither Docker's image store nor
its archives use it, so it is refused by name rather than half supported.
"""

from __future__ import annotations

import hashlib

from sampan import errors

PREFIX = "sha256:"
HEX_LENGTH = 64
_HEX_DIGITS = frozenset("0123456789abcdef")


def is_hex(text: str) -> bool:
    """Tell whether the text is made of lower-case hexadecimal digits only (and at least one)."""
    return bool(text) and _HEX_DIGITS.issuperset(text)


def is_digest(text: str) -> bool:
    """Tell whether the text is a sha256 digest in full."""
    return text.startswith(PREFIX) and len(text) == len(PREFIX) + HEX_LENGTH and is_hex(text[len(PREFIX) :])


def check(text: str) -> str:
    """Return the digest, or raise InvalidArgument in the words of Docker's digest library."""
    if is_digest(text):
        return text
    algorithm, colon, encoded = text.partition(":")
    if not colon or not algorithm or not encoded:
        raise errors.InvalidArgument("invalid checksum digest format")
    if algorithm != "sha256":
        raise errors.InvalidArgument(f"unsupported digest algorithm {algorithm!r}")
    if len(encoded) != HEX_LENGTH:
        raise errors.InvalidArgument("invalid checksum digest length")
    raise errors.InvalidArgument("invalid checksum digest format")


def hex_of(digest: str) -> str:
    """Return the hexadecimal part of a digest: what names its file."""
    return check(digest)[len(PREFIX) :]


def of_bytes(data: bytes) -> str:
    """Return the digest of the bytes."""
    return PREFIX + hashlib.sha256(data).hexdigest()


def chain_id(parent: str | None, diff_id: str) -> str:
    """Return the id of a layer on top of the chain `parent` (OCI image specification, "Layer ChainID")."""
    return diff_id if parent is None else of_bytes(f"{parent} {diff_id}".encode())


def short(digest: str) -> str:
    """Return the first twelve digits, as Docker shows ids (`stringid.TruncateID`)."""
    return digest.partition(":")[2][:12] if ":" in digest else digest[:12]
