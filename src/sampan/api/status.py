"""Which HTTP status an error has: the one table of the API.

moby's daemon/server/httpstatus is the model. Errors that only HTTP knows (a body that is too large, an
expectation that cannot be met, a foreign origin) are defined here too, so that no other layer has to know
them.
"""

from __future__ import annotations

from sampan import errors


class PayloadTooLarge(errors.InvalidArgument):
    """The request's body is longer than its route takes (HTTP 413)."""


class PageNotFound(errors.NotFound):
    """No route has this method and path (HTTP 404)."""

    def __init__(self) -> None:
        super().__init__("page not found")


class ClientGone(ConnectionError):
    """The client closed the connection before its request was complete: there is nobody to answer."""


# The first class that fits is taken, so a subclass stands before its base.
_STATUS: tuple[tuple[type[errors.SampanError], int], ...] = (
    (PayloadTooLarge, 413),
    (errors.InvalidArgument, 400),
    (errors.Unauthorized, 401),
    (errors.PermissionDenied, 403),
    (errors.NotFound, 404),
    (errors.Conflict, 409),
    (errors.NotModified, 304),
    (errors.NotImplementedYet, 501),
    (errors.Unavailable, 503),
)

_BAD_COMMAND = (126, 127)


def of(error: BaseException) -> int:
    """The status of `error`; 500 for what is nobody's fault but ours."""
    if isinstance(error, errors.StartFailed):
        # The command is missing in the image or cannot be executed: the request was wrong, not the engine.
        return 400 if error.exit_code in _BAD_COMMAND else 500
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def message(error: BaseException) -> str:
    """What the user reads. An `OSError` from below names operation and path already."""
    if isinstance(error, errors.SampanError):
        return error.message
    if isinstance(error, TimeoutError):
        return str(error) or "context deadline exceeded"
    return str(error) or type(error).__name__
