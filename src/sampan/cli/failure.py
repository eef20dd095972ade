"""The end of a command that went wrong: a text for standard error and an exit status."""

from __future__ import annotations

PROGRAM = "sampan"


class Failure(Exception):
    """What the user reads, and the status that the shell gets. An empty message prints nothing."""

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.message = message
        self.status = status


class EngineFailure(Failure):
    """The engine answered with an error: `http_status` and its own words in `reason`."""

    def __init__(self, reason: str, http_status: int) -> None:
        super().__init__(f"Error response from daemon: {reason}")
        self.reason = reason
        self.http_status = http_status


class ConnectFailure(Failure):
    """There is no engine at the host."""


def reason(error: OSError) -> str:
    """What the system said, in Go's lower case: "no such file or directory"."""
    text = error.strerror or str(error)
    return text[:1].lower() + text[1:]


def path_failure(operation: str, path: str, error: OSError) -> Failure:
    """A file that cannot be used, as Go's *PathError reads: `open x: no such file or directory`."""
    return Failure(f"{operation} {path}: {reason(error)}")
