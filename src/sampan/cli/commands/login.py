"""`login`: keep credentials that a registry has taken."""

from __future__ import annotations

import posix

from sampan.cli.context import Context
from sampan.cli.credentials import key_of, store
from sampan.cli.failure import Failure
from sampan.cli.flags import Command, Options
from sampan.cli.terminal import is_terminal


def run(context: Context, options: Options, arguments: list[str]) -> int:
    key = key_of(domain_of(arguments[0] if arguments else ""))
    username, password = options.text("username"), options.text("password")
    from_input = options.flag("password-stdin")
    if from_input and password:
        raise Failure("--password and --password-stdin are mutually exclusive")
    if from_input and not username:
        raise Failure("Must provide --username with --password-stdin")
    if password:
        context.error("WARNING! Using --password via the CLI is insecure. Use --password-stdin.")
    if from_input:
        password = _read_all().rstrip("\r\n")
    if not (username and password):
        username, password = _ask(context, username)
    body = {"username": username, "password": password, "serveraddress": key}
    answer = context.engine.post("/auth", body=body)
    store(key, username, password)
    told = answer.get("Status") if isinstance(answer, dict) else None
    context.line(str(told or "Login Succeeded"))
    return 0


def domain_of(text: str) -> str:
    return text.removeprefix("https://").removeprefix("http://").partition("/")[0]


def _read_all() -> str:
    data = b""
    while block := posix.read(0, 4096):
        data += block
    return data.decode(errors="surrogateescape")


def _ask(context: Context, username: str) -> tuple[str, str]:
    if not is_terminal(0):
        raise Failure("Error: Cannot perform an interactive login from a non TTY device")
    import getpass

    if not username:
        context.out("Username: ")
        username = _line().strip()
    if not username:
        raise Failure("Error: Non-null Username Required")
    password = getpass.getpass("Password: ")
    if not password:
        raise Failure("Error: Password Required")
    return username, password


def _line() -> str:
    data = b""
    while (character := posix.read(0, 1)) not in (b"", b"\n"):
        data += character
    return data.decode(errors="surrogateescape")


COMMAND = Command(
    "[OPTIONS] [SERVER]",
    "Authenticate to a registry.\nDefaults to Docker Hub if no server is specified.",
    run,
    flags=(
        ("password", "p", "string", "Password or Personal Access Token (PAT)"),
        ("password-stdin", "", "bool", "Take the Password or Personal Access Token (PAT) from stdin"),
        ("username", "u", "string", "Username"),
    ),
    maximum=1,
)
