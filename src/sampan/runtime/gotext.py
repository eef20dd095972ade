"""Go's words for things: what Docker's and runc's users know, and what programs look for in messages."""

from __future__ import annotations

import os


def go_error(error: OSError) -> str:
    """The text of an error number as Go prints it: that of libc in lower case."""
    return os.strerror(error.errno).lower() if error.errno else str(error).lower()
