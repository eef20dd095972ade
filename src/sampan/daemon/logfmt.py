"""Log lines as dockerd writes them (logfmt): `time="…" level=info msg="…"`, one line each, on stderr."""

from __future__ import annotations

import logging
import sys
import time

from sampan.wire import gojson, gotime

_LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
    "fatal": logging.CRITICAL,
}
_NAMES = {
    logging.DEBUG: "debug",
    logging.INFO: "info",
    logging.WARNING: "warning",
    logging.ERROR: "error",
    logging.CRITICAL: "fatal",
}
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._/@^+")


class Formatter(logging.Formatter):
    """`time`, `level` and `msg`; the traceback of an unexpected error follows as a quoted `error`."""

    def format(self, record: logging.LogRecord) -> str:
        moment = gotime.format_rfc3339(time.time_ns(), fixed=True)
        level = _NAMES.get(record.levelno, record.levelname.lower())
        line = f'time="{moment}" level={level} msg={_value(record.getMessage())}'
        if record.exc_info:
            line += f" error={_value(self.formatException(record.exc_info))}"
        return line


def _value(text: str) -> str:
    """Quoted when it holds anything beyond letters, digits and a few signs, as logrus does."""
    return text if text and _PLAIN.issuperset(text) else gojson.quote(text, escape_html=False)


def configure(level: str) -> None:
    """Send all log records from `level` on to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Formatter())
    logging.basicConfig(handlers=[handler], level=_LEVELS[level], force=True)
    logging.captureWarnings(True)
