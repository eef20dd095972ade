"""Docker's filters for `docker images` and `docker image prune`.

Owns which filters there are, how their values are read and what they match (moby, daemon/images/images.go and
image_prune.go, and the filter reference of the CLI). Pure but for the clock: images in, yes or no out.
"""

from __future__ import annotations

import operator
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from sampan import errors
from sampan.images.image import Image, created_ns
from sampan.records import dataclass
from sampan.wire import gotime, reference

Filters = Mapping[str, Sequence[str]]

_LIST = frozenset(("before", "dangling", "label", "reference", "since", "until"))
_PRUNE = frozenset(("dangling", "label", "label!", "until"))
_TRUE, _FALSE = ("1", "true"), ("0", "false")


@dataclass(frozen=True, slots=True)
class ListFilter:
    """What `docker images` is to show."""

    dangling: bool | None
    labels: tuple[str, ...]
    references: tuple[str, ...]
    before: int | None
    since: int | None

    @classmethod
    def parse(cls, filters: Filters, resolve: Callable[[str], Image]) -> ListFilter:
        """Read the filters; `before` and `since` name images."""
        _check_names(filters, _LIST)
        before = [created_ns(resolve(name).config) for name in filters.get("before", ())]
        before += [_moment(text) for text in filters.get("until", ())]
        since = [created_ns(resolve(name).config) for name in filters.get("since", ())]
        return cls(
            dangling=_boolean(filters, "dangling"),
            labels=tuple(filters.get("label", ())),
            references=tuple(filters.get("reference", ())),
            before=min(before, default=None),
            since=max(since, default=None),
        )

    def matches(self, image: Image) -> bool:
        """Tell whether to show the image; names are `shown_names`' business."""
        created = created_ns(image.config)
        if self.before is not None and created >= self.before:
            return False
        if self.since is not None and created <= self.since:
            return False
        return _has_labels(image.labels, self.labels)

    def wants_names(self, names: Sequence[str]) -> bool:
        """Tell whether an image with these names may be shown at all."""
        if not names:
            return self.dangling is not False and not self.references
        has_tag = any(not reference.parse(name).digest for name in names)
        return not (self.dangling and has_tag) and bool(self.shown_names(names))

    def shown_names(self, names: Sequence[str]) -> list[str]:
        """Return those of an image's names that are asked for."""
        if not self.references:
            return list(names)
        return [name for name in names if any(familiar_match(pattern, name) for pattern in self.references)]


@dataclass(frozen=True, slots=True)
class PruneFilter:
    """What `docker image prune` is to remove."""

    dangling_only: bool
    labels: tuple[str, ...]
    without_labels: tuple[str, ...]
    until: int | None

    @classmethod
    def parse(cls, filters: Filters) -> PruneFilter:
        """Read the filters; only dangling images go unless `dangling=false`."""
        _check_names(filters, _PRUNE)
        until = filters.get("until", ())
        if len(until) > 1:
            raise errors.InvalidArgument("more than one until filter specified")
        dangling = _boolean(filters, "dangling")
        return cls(
            dangling_only=dangling is not False,
            labels=tuple(filters.get("label", ())),
            without_labels=tuple(filters.get("label!", ())),
            until=_moment(until[0]) if until else None,
        )

    def matches(self, image: Image) -> bool:
        """Tell whether the image may go."""
        if self.until is not None and created_ns(image.config) > self.until:
            return False
        if not _has_labels(image.labels, self.labels):
            return False
        return not (self.without_labels and _has_labels(image.labels, self.without_labels))


def familiar_match(pattern: str, name: str) -> bool:
    """Match a stored name, or its repository alone, against a shell pattern (reference.FamiliarMatch)."""
    parsed = reference.parse(name)
    return path_match(pattern, parsed.familiar) or path_match(pattern, parsed.familiar_name)


def path_match(pattern: str, name: str) -> bool:
    """Go's path.Match: `*` and `?` stop at a slash. Takes time in proportion to both lengths."""
    positions = {0}
    for token in _tokens(pattern):
        if token is None:
            positions = {end for start in positions for end in _star_ends(name, start)}
        else:
            positions = {at + 1 for at in positions if at < len(name) and token(name[at])}
        if not positions:
            # Go on reading, for an error later in the pattern.
            positions = set()
    return len(name) in positions


_Token = Callable[[str], bool] | None


def _tokens(pattern: str) -> list[_Token]:
    """Return a test for each character of the name; None stands for `*`."""
    tokens: list[_Token] = []
    at = 0
    while at < len(pattern):
        character = pattern[at]
        at += 1
        if character == "*":
            if not tokens or tokens[-1] is not None:
                tokens.append(None)
        elif character == "?":
            tokens.append(lambda one: one != "/")
        elif character == "[":
            token, at = _character_class(pattern, at)
            tokens.append(token)
        else:
            if character == "\\":
                character, at = _escaped(pattern, at)
            tokens.append(partial(operator.eq, character))
    return tokens


def _character_class(pattern: str, at: int) -> tuple[_Token, int]:
    negated = pattern[at : at + 1] == "^"
    at += negated
    ranges: list[tuple[str, str]] = []
    while pattern[at : at + 1] != "]" or not ranges:
        low, at = _class_character(pattern, at)
        high = low
        if pattern[at : at + 1] == "-":
            high, at = _class_character(pattern, at + 1)
        ranges.append((low, high))
    return lambda one: any(low <= one <= high for low, high in ranges) != negated, at + 1


def _class_character(pattern: str, at: int) -> tuple[str, int]:
    if at >= len(pattern) or pattern[at] in "-]":
        raise errors.InvalidArgument("syntax error in pattern")
    return _escaped(pattern, at + 1) if pattern[at] == "\\" else (pattern[at], at + 1)


def _escaped(pattern: str, at: int) -> tuple[str, int]:
    if at >= len(pattern):
        raise errors.InvalidArgument("syntax error in pattern")
    return pattern[at], at + 1


def _star_ends(name: str, start: int) -> range:
    slash = name.find("/", start)
    return range(start, (len(name) if slash < 0 else slash) + 1)


def _check_names(filters: Filters, known: frozenset[str]) -> None:
    for name in filters:
        if name not in known:
            raise errors.InvalidArgument(f"invalid filter '{name}'")


def _boolean(filters: Filters, name: str) -> bool | None:
    values = filters.get(name)
    if not values:
        return None
    # Docker takes one value only, and neither "yes" nor "True".
    if len(values) == 1 and values[0] in _TRUE + _FALSE:
        return values[0] in _TRUE
    raise errors.InvalidArgument(f"invalid filter '{name}=[{' '.join(values)}]'")


def _moment(text: str) -> int:
    try:
        return gotime.parse_since(text, time.time_ns())
    except ValueError as error:
        raise errors.InvalidArgument(str(error)) from error


def _has_labels(labels: Mapping[str, str], wanted: Sequence[str]) -> bool:
    for text in wanted:
        key, equals, value = text.partition("=")
        if key not in labels or (equals and labels[key] != value):
            return False
    return True
