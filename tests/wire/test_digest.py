"""Digests: syntax, refusals in the words of Docker's digest library, chain ids."""

from __future__ import annotations

import pytest

from sampan import errors
from sampan.wire import digest

HEX = "ab" * 32


def test_a_digest_is_taken_and_its_hex_part_given() -> None:
    assert digest.check(f"sha256:{HEX}") == f"sha256:{HEX}"
    assert digest.hex_of(f"sha256:{HEX}") == HEX
    assert digest.short(f"sha256:{HEX}") == HEX[:12] == digest.short(HEX)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "invalid checksum digest format"),
        (HEX, "invalid checksum digest format"),
        ("sha256:", "invalid checksum digest format"),
        (f"sha256:{HEX}0", "invalid checksum digest length"),
        ("sha256:abc", "invalid checksum digest length"),
        (f"sha256:{HEX.upper()}", "invalid checksum digest format"),
        (f"sha256:{HEX[:-2]}/x", "invalid checksum digest format"),
        (f"sha512:{HEX}{HEX}", "unsupported digest algorithm 'sha512'"),
    ],
)
def test_what_is_no_digest_is_refused(text: str, words: str) -> None:
    assert not digest.is_digest(text)
    with pytest.raises(errors.InvalidArgument) as failure:
        digest.check(text)
    assert failure.value.message == words


def test_chain_ids_follow_the_specification() -> None:
    first, second = digest.of_bytes(b"first"), digest.of_bytes(b"second")
    assert digest.chain_id(None, first) == first
    assert digest.chain_id(first, second) == digest.of_bytes(f"{first} {second}".encode())
