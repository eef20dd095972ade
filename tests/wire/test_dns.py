"""DNS messages: real ones read and made, and anything else refused without harm."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.wire import dns


def query(name: str, kind: int = dns.A, identifier: int = 7, flags: int = 0x0100) -> bytes:
    header = struct.pack("!HHHHHH", identifier, flags, 1, 0, 0, 0)
    return header + dns.encode_name(name) + struct.pack("!HH", kind, dns.IN)


def test_a_question_and_its_answer() -> None:
    message = query("Web.Example.ORG")
    found = dns.parse_query(message)
    assert (found.id, found.name, found.type) == (7, "web.example.org", dns.A)
    reply = dns.answer(found, [bytes((10, 0, 0, 1)), bytes((10, 0, 0, 2))], 600)
    identifier, flags, questions, answers, _, _ = struct.unpack_from("!HHHHHH", reply)
    assert (identifier, questions, answers) == (7, 1, 2)
    assert flags == 0x8180  # an answer; recursion desired, and available
    assert reply[12:].startswith(message[12:])
    assert reply.endswith(struct.pack("!HHHIH", 0xC00C, 1, 1, 600, 4) + bytes((10, 0, 0, 2)))
    assert dns.is_answer_to(found, reply) and dns.lifetime(reply) == 600


def test_what_there_is_not() -> None:
    found = dns.parse_query(query("x", dns.AAAA))
    assert dns.code_of(dns.answer(found, [], 1)) == dns.NO_ERROR
    assert dns.code_of(dns.failure(found, dns.SERVER_FAILURE)) == dns.SERVER_FAILURE
    assert dns.lifetime(dns.failure(found, dns.NAME_ERROR)) == 0
    assert not dns.is_answer_to(found, dns.failure(dns.parse_query(query("y", dns.AAAA)), 0))
    assert not dns.is_answer_to(found, query("x", dns.AAAA))


def test_addresses_in_reverse() -> None:
    assert dns.reversed_address("2.0.17.172.in-addr.arpa") == "172.17.0.2"
    for name in ("2.0.17.in-addr.arpa", "2.0.17.172.ip6.arpa", "in-addr.arpa", ""):
        assert dns.reversed_address(name) is None


@pytest.mark.parametrize(
    "message",
    [
        b"",
        bytes(12),
        query("x")[:-1],
        query("x", flags=0x8100),
        query("x", flags=0x2800),
        query("x")[:4] + struct.pack("!H", 2) + query("x")[6:],
        bytes((0, 7, 1, 0, 0, 1)) + bytes(6) + b"\xc0\x0c" + bytes(4),  # points at itself
        bytes((0, 7, 1, 0, 0, 1)) + bytes(6) + b"\x3fabc",
        bytes((0, 7, 1, 0, 0, 1)) + bytes(6) + b"\x41" + bytes(80),
        bytes((0, 7, 1, 0, 0, 1)) + bytes(6) + (b"\x3f" + b"a" * 63) * 5 + bytes(5),
    ],
)
def test_what_is_no_query(message: bytes) -> None:
    with pytest.raises(ValueError):
        dns.parse_query(message)


@given(st.binary(max_size=600))
def test_anything_is_read_or_refused(message: bytes) -> None:
    for read in (dns.parse_query, dns.lifetime):
        try:
            read(message)
        except ValueError:
            pass
    refusal = dns.refusal(message, dns.FORMAT_ERROR)
    assert refusal is None or refusal[:2] == message[:2]


LABEL = st.text(
    st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="."), min_size=1, max_size=63
)


@given(st.lists(LABEL, min_size=1, max_size=3))
def test_names_come_back(labels: list[str]) -> None:
    name = ".".join(labels)
    assert dns.parse_query(query(name)).name == name.lower()


def test_names_that_cannot_be() -> None:
    for name in ("a" * 64, ".".join(["a" * 60] * 5)):
        with pytest.raises(ValueError):
            dns.encode_name(name)
