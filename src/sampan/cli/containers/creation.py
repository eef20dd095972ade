"""Creating a container, for `create` and `run`: the image if it is missing, the id file, the warnings."""

from __future__ import annotations

import posix

from sampan.cli.containers.config import create_body
from sampan.cli.context import Context
from sampan.cli.failure import PROGRAM, EngineFailure, Failure, path_failure
from sampan.cli.flags import Options

PULL = frozenset(["always", "missing", "never", ""])
WINDOWS_ONLY = ("cpu-count", "cpu-percent", "io-maxbandwidth", "io-maxiops")
PLAIN_NAME = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")
SYSTEMS = frozenset(
    [
        "linux",
        "windows",
        "darwin",
        "freebsd",
        "netbsd",
        "openbsd",
        "solaris",
        "wasip1",
        "js",
        "plan9",
        "aix",
        "android",
    ]
)
ARCHITECTURES = {
    **{
        name: name
        for name in [
            "amd64",
            "arm64",
            "arm",
            "386",
            "ppc64",
            "ppc64le",
            "riscv64",
            "s390x",
            "mips",
            "mipsle",
            "mips64",
            "mips64le",
            "loong64",
            "wasm",
        ]
    },
    "aarch64": "arm64",
    "i386": "386",
    "x86-64": "amd64",
    "x86_64": "amd64",
}


def refuse_flags(options: Options) -> None:
    """Refuse what cannot be done, by name."""
    for name in ("use-api-socket", "kernel-memory"):
        if name in options.changed:
            raise Failure(f"{PROGRAM}: --{name} is not supported yet")
    for name in WINDOWS_ONLY:
        if name in options.changed:
            raise Failure(
                f'"--{name}" is only supported on a Docker daemon running on windows, '
                "but the Sampan daemon is running on linux"
            )


def check_pull(options: Options) -> None:
    if options.text("pull") not in PULL:
        raise Failure(
            f'invalid pull option: \'{options.text("pull")}\': must be one of "always", "missing" or "never"'
        )


def body_of(options: Options, arguments: list[str], detach: bool = False) -> dict[str, object]:
    """The request's body. Raises Failure for flags that contradict each other."""
    try:
        check_image_name(arguments[0])
        return create_body(options, arguments, detach)
    except ValueError as error:
        raise Failure(str(error)) from None


def check_image_name(name: str) -> None:
    """Refuse what cannot be the name of an image. A plain word needs no parser, which is slow to import."""
    word, colon, tag = name.partition(":")
    if (
        word
        and set(word) <= PLAIN_NAME
        and bool(colon) == bool(tag)
        and set(tag) <= PLAIN_NAME
        and len(word) < 64
    ):
        return
    from sampan.errors import SampanError
    from sampan.wire.reference import parse_any

    try:
        parse_any(name)
    except SampanError as error:
        raise Failure(error.message) from None


def create(context: Context, options: Options, body: dict[str, object]) -> str:
    """Create the container and return its id; pull its image if that is wanted and needed."""
    image = str(body["Image"])
    if options.text("mac-address") and not context.engine.speaks("1.44"):
        body["MacAddress"] = options.text("mac-address")  # since then it is a matter of the network
    platform = _platform(options.text("platform"))
    with IdFile(options.text("cidfile")) as id_file:
        if options.text("pull") == "always":
            _pull(context, image, platform, options.flag("quiet"))
        parameters = {"name": options.text("name"), "platform": platform}
        try:
            answer = context.engine.post("/containers/create", parameters, body)
        except EngineFailure as failure:
            if options.text("pull") not in ("missing", "") or not _is_missing_image(failure):
                raise
            if not options.flag("quiet"):
                context.error(f"Unable to find image '{_with_tag(image)}' locally")
            _pull(context, image, platform, options.flag("quiet"))
            answer = context.engine.post("/containers/create", parameters, body)
        assert isinstance(answer, dict)
        identifier = str(answer["Id"])
        for warning in answer.get("Warnings") or ():
            context.error(f"WARNING: {warning}")
        _warn(context, body)
        id_file.write(identifier)
    return identifier


def _is_missing_image(failure: EngineFailure) -> bool:
    return failure.http_status == 404 and "no such image" in failure.reason.lower()


def _warn(context: Context, body: dict[str, object]) -> None:
    host = body["HostConfig"]
    assert isinstance(host, dict)
    for server in host["Dns"]:
        if server.startswith("127.") or server == "::1":
            context.error(f"WARNING: Localhost DNS ({server}) may fail in containers.")
            break


def _with_tag(name: str) -> str:
    return name if ":" in name.rpartition("/")[2] or "@" in name else f"{name}:latest"


def _platform(text: str) -> str:
    """`linux/amd64`, or one of its parts alone, with the usual names."""
    parts = text.lower().split("/")
    if not text:
        return ""
    if len(parts) == 1:
        if parts[0] in SYSTEMS:
            return parts[0]
        if parts[0] in ARCHITECTURES:
            return f"linux/{ARCHITECTURES[parts[0]]}"
        raise Failure(
            f'error parsing specified platform: "{text}": '
            "unknown operating system or architecture: invalid argument"
        )
    parts[1] = ARCHITECTURES.get(parts[1], parts[1])
    return "/".join(parts)


def _pull(context: Context, image: str, platform: str, quiet: bool) -> None:
    from sampan.cli.credentials import header
    from sampan.cli.progress import show_progress
    from sampan.wire.reference import parse

    name, _, tag = _with_tag(image).rpartition(":")
    parameters = {"fromImage": name, "tag": tag, "platform": platform}
    known = header(parse(image).domain)
    response = context.engine.open("POST", "/images/create", parameters, extra=known)
    show_progress(response, 2, quiet=quiet)


class IdFile:
    """`--cidfile`: made before the container, so that a bad path stops us early, and removed if nothing comes
    of it.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.descriptor = -1
        self.written = False

    def __enter__(self) -> IdFile:
        if self.path:
            try:
                flags = posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_CLOEXEC
                self.descriptor = posix.open(self.path, flags, 0o666)
            except FileExistsError:
                raise Failure(
                    "container ID file found, make sure the other container isn't running or delete "
                    + self.path
                ) from None
            except OSError as error:
                failure = path_failure("open", self.path, error)
                raise Failure(f"failed to create the container ID file: {failure.message}") from None
        return self

    def write(self, identifier: str) -> None:
        if self.descriptor >= 0:
            posix.write(self.descriptor, identifier.encode())
            self.written = True

    def __exit__(self, *_: object) -> None:
        if self.descriptor >= 0:
            posix.close(self.descriptor)
            if not self.written:
                posix.unlink(self.path)
