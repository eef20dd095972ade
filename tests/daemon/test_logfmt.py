"""Log lines in dockerd's form."""

from __future__ import annotations

import logging
import re
import sys

import pytest

from sampan.daemon.logfmt import Formatter


def line(level: int, message: str, *values: object) -> str:
    return Formatter().format(logging.LogRecord("x", level, "", 0, message, values, None))


@pytest.mark.parametrize(
    ("level", "message", "rest"),
    [
        (logging.INFO, "Starting up", 'level=info msg="Starting up"'),
        (logging.WARNING, "serving...", "level=warning msg=serving..."),
        (logging.ERROR, 'a "b"\nc', 'level=error msg="a \\"b\\"\\nc"'),
        (logging.DEBUG, "", 'level=debug msg=""'),
    ],
)
def test_lines(level: int, message: str, rest: str) -> None:
    pattern = r'time="\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z" ' + re.escape(rest)
    assert re.fullmatch(pattern, line(level, message))


def test_a_traceback_stays_on_the_line() -> None:
    try:
        raise ValueError("boom")
    except ValueError:
        record = logging.LogRecord("x", logging.ERROR, "", 0, "failed", (), sys.exc_info())
    text = Formatter().format(record)
    assert "\n" not in text
    assert "ValueError: boom" in text
