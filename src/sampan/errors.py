"""The domain errors: a small tree, each error with a side (who is wrong) and so a status.

`api` maps these classes to HTTP status codes in one place; `cli` only ever sees the status and the message.
An error's message is what a user reads: it names the operation, the object and the cause, in Docker's words
where Docker has words for it. A failed system call stays an `OSError` until a layer can say what it meant.
"""

from __future__ import annotations


class SampanError(Exception):
    """Something went wrong on our side (HTTP 500)."""

    @property
    def message(self) -> str:
        """The text that a user reads."""
        return str(self.args[0]) if self.args else type(self).__name__


class InvalidArgument(SampanError):
    """The request itself is wrong (HTTP 400)."""


class Unsupported(InvalidArgument):
    """The request is right, but asks for what Sampan does not do yet (HTTP 400). Names the option."""


class Unauthorized(SampanError):
    """The caller did not say who it is (HTTP 401)."""


class PermissionDenied(SampanError):
    """The caller may not do this (HTTP 403)."""


class NotFound(SampanError):
    """The named object does not exist (HTTP 404)."""


class Conflict(SampanError):
    """The object's state, or another object, is in the way (HTTP 409)."""


class NotModified(SampanError):
    """There is nothing to do: the object is in that state already (HTTP 304)."""


class Unavailable(SampanError):
    """It cannot be done now (HTTP 503)."""


class NotImplementedYet(SampanError):
    """The route exists in Docker's API, and Sampan does not serve it yet (HTTP 501)."""


class StartFailed(SampanError):
    """A container or exec process could not be executed.

    `exit_code` is Docker's word for it: 127 (not found), 126 (cannot be executed) or 125/128 (anything else);
    the API answers 400 for the first two and 500 for the others.
    """

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code
