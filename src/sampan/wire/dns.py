"""DNS messages, as much of them as a forwarding resolver has to understand: RFC 1035, sections 3 and 4.

Owns reading the question of a query, making answers to it, and finding how long an answer of somebody else
may be kept. Everything else of a message is passed on as it came. A message may be anybody's: whatever is
wrong with it is a ValueError.
"""

from __future__ import annotations

import struct

from sampan.records import dataclass

A, PTR, AAAA = 1, 12, 28
IN = 1
NO_ERROR, FORMAT_ERROR, SERVER_FAILURE, NAME_ERROR, NOT_IMPLEMENTED = 0, 1, 2, 3, 4

_HEADER = struct.Struct("!HHHHHH")
_QUESTION = struct.Struct("!HH")
_RECORD = struct.Struct("!HHIH")
_RESPONSE, _TRUNCATED = 0x8000, 0x0200
_RECURSION_DESIRED, _RECURSION_AVAILABLE = 0x0100, 0x0080
_OPCODE = 0x7800
_MAX_NAME, _MAX_LABEL = 255, 63
_QUESTION_NAME = b"\xc0\x0c"  # a pointer to where the question's name is
_OPT = 41


@dataclass(frozen=True, slots=True)
class Query:
    """A question with one name. `question` are its bytes, which an answer repeats."""

    id: int
    flags: int
    name: str
    """In lower case, without the last dot."""
    type: int
    question: bytes


def parse_query(message: bytes) -> Query:
    """Raises ValueError for what is no query, or has not exactly one question."""
    identifier, flags, questions, _, _, _ = _header(message)
    if flags & (_RESPONSE | _OPCODE) or questions != 1:
        raise ValueError("not a standard query with one question")
    name, end = _name(message, _HEADER.size)
    if end + _QUESTION.size > len(message):
        raise ValueError("the question is cut off")
    kind, _class = _QUESTION.unpack_from(message, end)
    return Query(identifier, flags, name, kind, message[_HEADER.size : end + _QUESTION.size])


def answer(query: Query, records: list[bytes], seconds: int) -> bytes:
    """An answer with these records' data (none: there is such a name, but not of this type)."""
    body = b"".join(
        _QUESTION_NAME + _RECORD.pack(query.type, IN, seconds, len(data)) + data for data in records
    )
    return _response(query, NO_ERROR, len(records)) + query.question + body


def failure(query: Query, code: int) -> bytes:
    """An answer that says why there is none."""
    return _response(query, code, 0) + query.question


def refusal(message: bytes, code: int) -> bytes | None:
    """The same for a message that could not be read; None if it has not even an id, or is no query."""
    if len(message) < _HEADER.size:
        return None
    identifier, flags, *_ = _header(message)
    if flags & _RESPONSE:
        return None
    return _HEADER.pack(identifier, flags & (_OPCODE | _RECURSION_DESIRED) | _RESPONSE | code, 0, 0, 0, 0)


def is_answer_to(query: Query, message: bytes) -> bool:
    """Whether a message from a server answers this question."""
    if len(message) < _HEADER.size:
        return False
    _, flags, questions, _, _, _ = _header(message)
    asked = message[_HEADER.size : _HEADER.size + len(query.question)]
    return bool(flags & _RESPONSE) and questions == 1 and asked.lower() == query.question.lower()


def code_of(message: bytes) -> int:
    return _header(message)[1] & 0xF


def is_truncated(message: bytes) -> bool:
    return bool(_header(message)[1] & _TRUNCATED)


def with_identifier(message: bytes, identifier: int) -> bytes:
    return identifier.to_bytes(2, "big") + message[2:]


def identifier_of(message: bytes) -> int:
    return _header(message)[0]


def lifetime(message: bytes) -> int:
    """The least time to live, in seconds, of the records of an answer; 0 without any. Raises ValueError."""
    _, _, questions, answers, authorities, _ = _header(message)
    position = _HEADER.size
    for _ in range(questions):
        position = _name(message, position)[1] + _QUESTION.size
    least: int | None = None
    for _ in range(answers + authorities):
        position = _name(message, position)[1]
        if position + _RECORD.size > len(message):
            raise ValueError("a record is cut off")
        kind, _, seconds, length = _RECORD.unpack_from(message, position)
        position += _RECORD.size + length
        if kind != _OPT:
            least = seconds if least is None else min(least, seconds)
    return least or 0


def encode_name(name: str) -> bytes:
    """A name as labels. Raises ValueError for one that cannot be."""
    data = b""
    for label in filter(None, name.split(".")):
        text = label.encode("utf-8", "surrogateescape")
        if len(text) > _MAX_LABEL:
            raise ValueError("a label is too long")
        data += bytes((len(text),)) + text
    if len(data) >= _MAX_NAME:
        raise ValueError("a name is too long")
    return data + b"\0"


def reversed_address(name: str) -> str | None:
    """The IPv4 address that a PTR question is about: "2.0.17.172.in-addr.arpa" is "172.17.0.2"."""
    parts = name.removesuffix(".in-addr.arpa").split(".")
    if not name.endswith(".in-addr.arpa") or len(parts) != 4:
        return None
    return ".".join(reversed(parts))


def _response(query: Query, code: int, answers: int) -> bytes:
    flags = _RESPONSE | _RECURSION_AVAILABLE | query.flags & _RECURSION_DESIRED | code
    return _HEADER.pack(query.id, flags, 1, answers, 0, 0)


def _header(message: bytes) -> tuple[int, int, int, int, int, int]:
    if len(message) < _HEADER.size:
        raise ValueError("a message is cut off")
    return _HEADER.unpack_from(message)


def _name(message: bytes, position: int) -> tuple[str, int]:
    """The name at a position, and where it ends there. Raises ValueError."""
    labels: list[str] = []
    total = 0
    end = 0
    while True:
        if position >= len(message):
            raise ValueError("a name is cut off")
        length = message[position]
        if length & 0xC0 == 0xC0:
            if position + 1 >= len(message):
                raise ValueError("a name is cut off")
            target = (length & 0x3F) << 8 | message[position + 1]
            end = end or position + 2
            if target >= position:
                raise ValueError("a name points forwards")  # backwards only, so there is no loop
            position = target
            continue
        if length & 0xC0:
            raise ValueError("a label of an unknown kind")
        position += 1
        if not length:
            return ".".join(labels).lower(), end or position
        total += length + 1
        if total > _MAX_NAME or position + length > len(message):
            raise ValueError("a name is too long")
        labels.append(message[position : position + length].decode("utf-8", "surrogateescape"))
        position += length
