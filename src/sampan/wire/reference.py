"""Names of images, as Docker reads and shows them: `busybox` is `docker.io/library/busybox:latest`.

Owns the grammar of distribution's reference package (the comment at the head of its reference.go), Docker's
normalisation, and the way back to the familiar form. Written by hand, without `re`, so that it may be
imported anywhere. Error texts are distribution/reference's: users and tests know them.
"""

from __future__ import annotations

from sampan import errors
from sampan.records import dataclass, replace
from sampan.wire import digest as digests

DEFAULT_DOMAIN = "docker.io"
LEGACY_DOMAIN = "index.docker.io"
OFFICIAL_PREFIX = "library/"
DEFAULT_TAG = "latest"
MAX_NAME = 255
MAX_TAG = 128

_LOWER = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")
_ALNUM = _LOWER | frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_WORD = _ALNUM | frozenset("_")
_INVALID = "invalid reference format"


@dataclass(frozen=True, slots=True)
class Reference:
    """A parsed name. `path` has the `library/` that familiar names leave out."""

    domain: str
    path: str
    tag: str = ""
    digest: str = ""

    @property
    def name(self) -> str:
        """The repository with its domain: `docker.io/library/busybox`."""
        return f"{self.domain}/{self.path}"

    @property
    def familiar_name(self) -> str:
        """The repository as Docker shows it: `busybox`."""
        if self.domain != DEFAULT_DOMAIN:
            return self.name
        official = self.path.removeprefix(OFFICIAL_PREFIX)
        return self.path if "/" in official else official

    @property
    def familiar(self) -> str:
        """The whole reference as Docker shows it: `busybox:latest`, `busybox@sha256:…`."""
        return self.familiar_name + self._suffix

    def __str__(self) -> str:
        return self.name + self._suffix

    @property
    def _suffix(self) -> str:
        return (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")

    @property
    def is_name_only(self) -> bool:
        """Whether there is neither a tag nor a digest."""
        return not self.tag and not self.digest

    def with_default_tag(self) -> Reference:
        """Add `:latest` to a bare name (Docker's TagNameOnly)."""
        return replace(self, tag=DEFAULT_TAG) if self.is_name_only else self

    def with_tag(self, tag: str) -> Reference:
        """Return the repository with this tag."""
        if not is_tag(tag):
            raise errors.InvalidArgument("invalid tag format")
        return Reference(self.domain, self.path, tag=tag)


def parse(text: str) -> Reference:
    """Read a name in familiar or full form (Docker's ParseNormalizedNamed)."""
    if len(text) == digests.HEX_LENGTH and digests.is_hex(text):
        raise errors.InvalidArgument(
            f"invalid repository name ({text}), cannot specify 64-byte hexadecimal strings"
        )
    domain, remainder = _split_domain(text)
    remote = remainder.partition(":")[0]
    if remote.lower() != remote:
        raise errors.InvalidArgument(f"{_INVALID}: repository name ({remote}) must be lowercase")
    return _parse_full(domain, remainder)


def parse_any(text: str) -> Reference | str:
    """Read a name, or return the digest that a full image id is (Docker's ParseAnyReference)."""
    if len(text) == digests.HEX_LENGTH and digests.is_hex(text):
        return digests.PREFIX + text
    if digests.is_digest(text):
        return text
    return parse(text)


def is_tag(text: str) -> bool:
    """Tell whether the text is a tag."""
    return bool(text) and len(text) <= MAX_TAG and text[0] in _WORD and _made_of(text, _WORD, ".-")


def _split_domain(text: str) -> tuple[str, str]:
    first, slash, rest = text.partition("/")
    # A first part is a host name if it looks like one; otherwise it belongs to the path on Docker Hub.
    if slash and ("." in first or ":" in first or first == "localhost" or first.lower() != first):
        domain, remainder = first, rest
    else:
        domain, remainder = DEFAULT_DOMAIN, text
    if domain == LEGACY_DOMAIN:
        domain = DEFAULT_DOMAIN
    if domain == DEFAULT_DOMAIN and "/" not in remainder:
        remainder = OFFICIAL_PREFIX + remainder
    return domain, remainder


def _parse_full(domain: str, remainder: str) -> Reference:
    name, at, digest = remainder.partition("@")
    path, colon, tag = name.partition(":")
    if not _is_domain(domain) or not all(_is_component(part) for part in path.split("/")):
        raise errors.InvalidArgument(_INVALID)
    if (colon and not is_tag(tag)) or (at and not _looks_like_digest(digest)):
        raise errors.InvalidArgument(_INVALID)
    if len(domain) + 1 + len(path) > MAX_NAME:
        raise errors.InvalidArgument(f"repository name must not be more than {MAX_NAME} characters")
    return Reference(domain, path, tag, digests.check(digest) if at else "")


def _is_domain(text: str) -> bool:
    host, port = text, ""
    if text.startswith("["):
        address, bracket, after = text[1:].partition("]")
        if not bracket or not _made_of(address, frozenset("0123456789abcdefABCDEF"), ":") or not address:
            return False
        if after and not after.startswith(":"):
            return False
        return not after or (after[1:].isascii() and after[1:].isdigit())
    if ":" in text:
        host, _, port = text.partition(":")
        if not (port.isascii() and port.isdigit()):
            return False
    return all(_is_host_label(label) for label in host.split("."))


def _is_host_label(text: str) -> bool:
    return bool(text) and text[0] in _ALNUM and text[-1] in _ALNUM and _made_of(text, _ALNUM, "-")


def _is_component(text: str) -> bool:
    """`[a-z0-9]+` parts with `.`, `_`, `__` or any number of `-` between them."""
    if not text or text[0] not in _LOWER or text[-1] not in _LOWER:
        return False
    separator = ""
    for character in text:
        if character not in _LOWER:
            separator += character
        elif separator:
            if separator not in (".", "_", "__") and separator.strip("-"):
                return False
            separator = ""
    return True


def _looks_like_digest(text: str) -> bool:
    algorithm, colon, encoded = text.partition(":")
    return (
        bool(colon)
        and bool(algorithm)
        and algorithm[0].isalpha()
        and _made_of(algorithm, _ALNUM, "+._-")
        and len(encoded) >= 32
        and _made_of(encoded, frozenset("0123456789abcdefABCDEF"), "")
    )


def _made_of(text: str, characters: frozenset[str], more: str) -> bool:
    return all(character in characters or character in more for character in text)
