"""The messages between a controller (the engine) and a shim.

Owns their fields, their JSON form and the names of the descriptors that travel with them; both ends import
this one module. Knows no socket (`packets` moves the bytes) and no container.

Theory of operation
===================

The zygote forks a shim on `spawning.Spawn`; with the request travels one end of a SOCK_SEQPACKET pair, which
becomes the shim's first controller connection. Each message is one packet: a JSON object, and descriptors as
SCM_RIGHTS. Several requests may share a packet: they are done in turn, and when one fails, so do the rest.
More controllers may connect to `DIR/shim.sock` (a restarted engine does), and all are equal: each gets the
replies to its own requests, and every event.

A controller sends requests, numbered by itself with `seq`; each gets exactly one `Reply` or `Failure` with
this number, in the order of the requests. A controller that does not read is cut off, and one that breaks the
protocol as well: no controller can block the shim. `DIR` is the OCI bundle (`config.json`) and the shim's own
folder:

    config.json        OCI configuration                  not to be changed while the container runs
    shim.sock          socket for further controllers     from `start` until just before `released`
    shim.pid           pid of the shim, in decimal        as above
    exit.json          fields of the `exited` event       whole, before the event is sent; until another start
    shim.log           a traceback                        only after an error in the shim itself; stays

The container moves through these states (`Phase`), one way only:

    phase    | attach start exec  resize kill  state | is left when                               | to
    ---------|---------------------------------------|--------------------------------------------|---------
    new      | kept   yes   fails fails  fails yes   | `start` succeeds                           | running
             |                                       | `start` fails; the last controller is gone | (ends)
    running  | joins  fails yes   yes    yes   yes   | the container's init ends                  | draining
    draining | joins  fails fails fails  fails yes   | output is read to its end; 2 s have passed | exited
    exited   | fails  fails fails fails  fails yes   | cgroup, socket and pid file are gone       | released
    released |                                       | attached clients have taken their output   | (ends)

 *  An attach in phase `new` is kept and gets everything from the first byte; later, what comes after it.
 *  Before the init starts nothing outlives the last controller; once it runs, nothing depends on one.
 *  `exited` is sent as soon as exit code, log and exit.json are final. Then the cgroup is removed and
    `released` is sent, and the controllers' connections are closed: from here on the same container can be
    started again by a new shim. A controller that finds its connection closed without having seen `exited`
    reads `exit.json`: if there is none, the shim was killed (and the container, which is still alive then, is
    found by its cgroup).
 *  An exec has the same life in small: attach with its `exec` id (before: kept), `exec`, `exec_exited`. Its
    exit code is remembered until a controller has been told of it: a new one gets the event at once.
 *  Clients that wait for an exec are let go when a controller leaves: the one that attached them will not
    start it any more.
 *  When an `exec` fails, the shim closes its descriptors of the clients that came before, but does not end
    their connections: a controller that kept descriptors of its own can still tell them why.

An attached client is a stream socket, usually the HTTP connection that the engine has hijacked: the shim
talks to the client directly. Container to client: Docker's multiplex frames (or raw bytes), then a shutdown
and close at the end of the output. Client to container: raw bytes; the client's half-close is the end of its
input. As in Docker, that closes the container's stdin if `stdin_once` holds and there is no terminal, and
else ends this client's attach. Execs behave as if `stdin_once` held. A client that does not read fills a
queue (256 KiB) and then holds up the container, as a pipe would; one that is gone is forgotten. With a
terminal, the detach keys end the attach, with a `detached` event.
"""

from __future__ import annotations

import binascii
import enum
from collections.abc import Mapping, Sequence

from sampan import errors
from sampan.records import dataclass, fields
from sampan.shim.document import Document, decode, encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ClassVar, Self

# `early` and all the rest have to fit one packet.
MAX_EARLY = 64 * 1024

SOCKET_NAME = "shim.sock"
PID_NAME = "shim.pid"
EXIT_NAME = "exit.json"
ERROR_NAME = "shim.log"
CONFIG_NAME = "config.json"

# Names of the descriptors of `Start.fds`.
ROOTFS = "rootfs"
MOUNT_PREFIX = "mount:"
NAMESPACE_PREFIX = "namespace:"


class Phase(enum.Enum):
    """Where a container is in its life, as its shim sees it; the table above tells the moves."""

    NEW = "new"
    RUNNING = "running"
    DRAINING = "draining"
    EXITED = "exited"
    RELEASED = "released"


# --- requests -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LogPolicy:
    """The json-file log: at `max_size` bytes (None: never) it is rotated, and `max_file` files are kept."""

    path: str
    max_size: int | None = None
    max_file: int = 1

    @classmethod
    def from_document(cls, document: object) -> Self:
        taken = Document("log", document)
        if taken.optional("compress", bool):
            raise errors.Unsupported("log option compress is not supported")
        max_size, max_file = taken.optional("max_size", int), taken.optional("max_file", int)
        return cls(taken.required("path", str), max_size, 1 if max_file is None else max_file)


@dataclass(frozen=True, slots=True)
class Start:
    """Launch the container of DIR/config.json.

    `fds` names the descriptors that travel with the request, in order: "rootfs" (a detached mount),
    "mount:/destination" (from open_tree) and "namespace:network" (an nsfs file). `user` ("name:group") is
    looked up in the container's own files and replaces process.user; `groups` are further groups, by name.
    """

    OP: ClassVar[str] = "start"
    seq: int
    terminal: bool = False
    console_size: tuple[int, int] | None = None  # height, width
    stdin_open: bool = False
    stdin_once: bool = False
    log: LogPolicy | None = None
    network: Mapping[str, Any] | None = None  # see `network.NetworkPlan`
    user: str | None = None
    groups: tuple[str, ...] = ()
    fds: tuple[str, ...] = ()

    @classmethod
    def from_document(cls, taken: Document) -> Self:
        log = taken.optional("log", dict)
        return cls(
            seq=taken.required("seq", int),
            terminal=taken.flag("terminal"),
            console_size=taken.size("console_size"),
            stdin_open=taken.flag("stdin_open"),
            stdin_once=taken.flag("stdin_once"),
            log=None if log is None else LogPolicy.from_document(log),
            network=taken.optional("network", dict),
            user=taken.optional("user", str),
            groups=tuple(taken.list_of("groups", str)),
            fds=tuple(taken.list_of("fds", str)),
        )


@dataclass(frozen=True, slots=True)
class Attach:
    """Join a client to the streams of the container or of an exec.

    One descriptor travels with it: the client's socket. `client` is a name that the controller chooses;
    `early` are bytes that the client has already sent.
    """

    OP: ClassVar[str] = "attach"
    seq: int
    client: str
    exec: str | None = None
    stdin: bool = False
    stdout: bool = True
    stderr: bool = True
    multiplex: bool = False
    detach_keys: tuple[int, ...] = ()  # none: nothing detaches; looked for only with a terminal
    early: bytes = b""

    @property
    def fds(self) -> tuple[str, ...]:
        return ("client",)

    @classmethod
    def from_document(cls, taken: Document) -> Self:
        detach_keys = tuple(taken.list_of("detach_keys", int))
        if not all(0 <= key <= 255 for key in detach_keys):
            raise errors.InvalidArgument("attach: detach_keys are not bytes")
        try:
            early = binascii.a2b_base64(taken.optional("early", str) or "", strict_mode=True)
        except ValueError:
            raise errors.InvalidArgument("attach: early is not base64") from None
        return cls(
            seq=taken.required("seq", int),
            client=taken.required("client", str),
            exec=taken.optional("exec", str),
            stdin=taken.flag("stdin"),
            stdout=taken.flag("stdout"),
            stderr=taken.flag("stderr"),
            multiplex=taken.flag("multiplex"),
            detach_keys=detach_keys,
            early=early,
        )


@dataclass(frozen=True, slots=True)
class Exec:
    """Run a process in the container, as `user` and `groups` say (see `Start`).

    One descriptor travels with it: a file with the OCI process object in JSON, which need not have a name.
    With `detach` and no terminal the process' stdio is /dev/null.
    """

    OP: ClassVar[str] = "exec"
    fds: ClassVar[tuple[str, ...]] = ("process",)
    seq: int
    exec: str
    terminal: bool = False
    console_size: tuple[int, int] | None = None
    stdin_open: bool = False
    detach: bool = False
    user: str | None = None
    groups: tuple[str, ...] = ()

    @classmethod
    def from_document(cls, taken: Document) -> Self:
        return cls(
            seq=taken.required("seq", int),
            exec=taken.required("exec", str),
            terminal=taken.flag("terminal"),
            console_size=taken.size("console_size"),
            stdin_open=taken.flag("stdin_open"),
            detach=taken.flag("detach"),
            user=taken.optional("user", str),
            groups=tuple(taken.list_of("groups", str)),
        )


@dataclass(frozen=True, slots=True)
class Resize:
    """Set the size of the terminal of the container, or of an exec. Without a terminal it does nothing."""

    OP: ClassVar[str] = "resize"
    fds: ClassVar[tuple[str, ...]] = ()
    seq: int
    height: int
    width: int
    exec: str | None = None

    @classmethod
    def from_document(cls, taken: Document) -> Self:
        height, width = taken.required("height", int), taken.required("width", int)
        return cls(taken.required("seq", int), height, width, taken.optional("exec", str))


@dataclass(frozen=True, slots=True)
class Kill:
    """Send a signal to the container's init, or to the process of an exec."""

    OP: ClassVar[str] = "kill"
    fds: ClassVar[tuple[str, ...]] = ()
    seq: int
    signal: int
    exec: str | None = None

    @classmethod
    def from_document(cls, taken: Document) -> Self:
        return cls(taken.required("seq", int), taken.required("signal", int), taken.optional("exec", str))


@dataclass(frozen=True, slots=True)
class State:
    """Ask for the container's phase and its execs: the answer is a `StateResult`."""

    OP: ClassVar[str] = "state"
    fds: ClassVar[tuple[str, ...]] = ()
    seq: int

    @classmethod
    def from_document(cls, taken: Document) -> Self:
        return cls(taken.required("seq", int))


Request = Start | Attach | Exec | Resize | Kill | State
_REQUESTS: dict[str, type[Request]] = {kind.OP: kind for kind in (Start, Attach, Exec, Resize, Kill, State)}

# --- replies ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reply:
    """The request was done. `result` is the document of one of the result types below, or empty."""

    seq: int
    result: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Failure:
    """The request was not done, and nothing of it is left.

    `exit_code` is set when a process could not be executed: 125, 126 or 127, as in `errors.StartFailed`.
    """

    seq: int
    message: str
    exit_code: int | None = None


@dataclass(frozen=True, slots=True)
class StartResult:
    """Answer to `Start`. `warnings`: what the runtime could not do, and need not fail for."""

    pid: int
    started_at: str
    warnings: tuple[str, ...] = ()

    @classmethod
    def from_document(cls, document: object) -> Self:
        taken = Document("start result", document)
        warnings = tuple(taken.list_of("warnings", str))
        return cls(taken.required("pid", int), taken.required("started_at", str), warnings)


@dataclass(frozen=True, slots=True)
class ExecResult:
    """Answer to `Exec`."""

    pid: int

    @classmethod
    def from_document(cls, document: object) -> Self:
        return cls(Document("exec result", document).required("pid", int))


@dataclass(frozen=True, slots=True)
class ExecState:
    """One exec in a `StateResult`. `exit_code` is None while it runs."""

    pid: int
    exit_code: int | None

    @classmethod
    def from_document(cls, document: object) -> Self:
        taken = Document("exec state", document)
        return cls(taken.required("pid", int), taken.optional("exit_code", int))


@dataclass(frozen=True, slots=True)
class StateResult:
    """Answer to `State`. `pid` and `started_at` are None in phase `new`."""

    phase: Phase
    pid: int | None
    started_at: str | None
    execs: dict[str, ExecState]

    @classmethod
    def from_document(cls, document: object) -> Self:
        taken = Document("state result", document)
        execs = taken.required("execs", dict)
        return cls(
            phase=Phase(taken.required("phase", str)),
            pid=taken.optional("pid", int),
            started_at=taken.optional("started_at", str),
            execs={str(name): ExecState.from_document(value) for name, value in execs.items()},
        )


Result = StartResult | ExecResult | StateResult

# --- events -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Exited:
    """The container ended: its log is complete and exit.json (the same fields) is written."""

    EVENT: ClassVar[str] = "exited"
    exit_code: int
    oom_killed: bool
    finished_at: str

    @classmethod
    def from_document(cls, document: object) -> Self:
        taken = Document("exited", document)
        oom_killed = taken.required("oom_killed", bool)
        return cls(taken.required("exit_code", int), oom_killed, taken.required("finished_at", str))


@dataclass(frozen=True, slots=True)
class Released:
    """The container's cgroup is removed and DIR is free for another shim. The connection is closed next."""

    EVENT: ClassVar[str] = "released"

    @classmethod
    def from_document(cls, _document: object) -> Self:
        return cls()


@dataclass(frozen=True, slots=True)
class ExecExited:
    """The process of an exec ended, and its output is read to its end."""

    EVENT: ClassVar[str] = "exec_exited"
    exec: str
    exit_code: int

    @classmethod
    def from_document(cls, document: object) -> Self:
        taken = Document("exec_exited", document)
        return cls(taken.required("exec", str), taken.required("exit_code", int))


@dataclass(frozen=True, slots=True)
class Detached:
    """A client left by its detach keys; its socket is closed."""

    EVENT: ClassVar[str] = "detached"
    client: str
    exec: str | None

    @classmethod
    def from_document(cls, document: object) -> Self:
        taken = Document("detached", document)
        return cls(taken.required("client", str), taken.optional("exec", str))


Event = Exited | Released | ExecExited | Detached
_EVENTS: dict[str, type[Event]] = {kind.EVENT: kind for kind in (Exited, Released, ExecExited, Detached)}

# --- codec --------------------------------------------------------------------------------------------------


def encode_requests(requests: Sequence[Request]) -> bytes:
    """The packet for `requests`; its descriptors are named by the `fds` of one after the other."""
    for request in requests:
        if isinstance(request, Attach) and len(request.early) > MAX_EARLY:
            raise errors.InvalidArgument(f"attach: more than {MAX_EARLY} early bytes")
    documents = [{"op": request.OP} | document_of(request) for request in requests]
    return encode(documents[0] if len(documents) == 1 else {"all": documents})


def decode_requests(packet: bytes) -> list[Request]:
    """The requests in `packet`. Raises InvalidArgument."""
    requests = []
    for taken in _request_documents(packet):
        kind = _REQUESTS.get(taken.required("op", str))
        if kind is None:
            raise errors.InvalidArgument(f"unknown operation {taken.required('op', str)}")
        requests.append(kind.from_document(taken))
    return requests


def sequences_of(packet: bytes) -> list[int]:
    """The `seq` of each request in a packet that is wrong otherwise, so that they can be answered."""
    try:
        return [taken.required("seq", int) for taken in _request_documents(packet)]
    except errors.InvalidArgument:
        return []


def _request_documents(packet: bytes) -> list[Document]:
    taken = Document("request", decode(packet))
    several = taken.list_of("all", dict)
    return [Document("request", document) for document in several] if several else [taken]


def encode_response(response: Reply | Failure | Event) -> bytes:
    """The packet for what a shim sends to a controller."""
    if isinstance(response, Reply):
        return encode({"seq": response.seq, "ok": response.result})
    if isinstance(response, Failure):
        error = {"message": response.message, "exit_code": response.exit_code}
        return encode({"seq": response.seq, "error": error})
    return encode({"event": response.EVENT} | document_of(response))


def decode_response(packet: bytes) -> Reply | Failure | Event:
    """What a shim sent. Raises InvalidArgument."""
    taken = Document("response", decode(packet))
    event = taken.optional("event", str)
    if event is not None:
        if event not in _EVENTS:
            raise errors.InvalidArgument(f"unknown event {event}")
        return _EVENTS[event].from_document(taken.document)
    error = taken.optional("error", dict)
    if error is None:
        return Reply(taken.required("seq", int), taken.required("ok", dict))
    failed = Document("error", error)
    message = failed.required("message", str)
    return Failure(taken.required("seq", int), message, failed.optional("exit_code", int))


def document_of(message: Request | Result | ExecState | LogPolicy | Event) -> dict[str, Any]:
    """The JSON object of a message: its fields by name."""
    return {field.name: _plain(getattr(message, field.name)) for field in fields(message)}


def _plain(value: object) -> object:
    """`value` in JSON's types; bytes go as base64."""
    if isinstance(value, bytes):
        return binascii.b2a_base64(value, newline=False).decode()
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, LogPolicy | ExecState):
        return document_of(value)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return value
