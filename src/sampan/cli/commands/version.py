"""`version`: the versions of this program and of the engine."""

from __future__ import annotations

import posix
import sys
import time

from sampan import __version__
from sampan.cli.context import Context
from sampan.cli.engine import NEWEST
from sampan.cli.failure import Failure
from sampan.cli.flags import Command, Options
from sampan.cli.inspecting import FORMAT_HELP, USAGE_STATUS
from sampan.cli.tables import align
from sampan.wire.gotime import NANOSECONDS, parse_rfc3339

COLUMN = 20
MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
ENGINE_DETAILS = (
    ("Go version", "GoVersion"),
    ("Git commit", "GitCommit"),
    ("Built", "BuildTime"),
)


def _plain_date(text: str) -> str:
    """The date of a build without its machine form: Thu May  7 21:09:36 2026."""
    try:
        seconds = parse_rfc3339(text) // NANOSECONDS
    except ValueError:
        return text
    return time.strftime("%a %b %e %H:%M:%S %Y", time.gmtime(seconds))


def client_version(api: str) -> dict[str, object]:
    """The client's half of the document, in Docker's keys."""
    machine = posix.uname().machine
    return {
        "Version": __version__,
        "ApiVersion": api,
        "DefaultAPIVersion": NEWEST,
        "GitCommit": "",
        "GoVersion": f"Python {sys.version.partition(' ')[0]}",
        "Os": "linux",
        "Arch": MACHINES.get(machine, machine),
        "BuildTime": "",
        "Context": "default",
    }


def _client_text(client: dict[str, object]) -> str:
    api = str(client["ApiVersion"])
    if api != NEWEST:
        api += f" (downgraded from {NEWEST})"
    python = str(client["GoVersion"]).removeprefix("Python ")
    return (
        f"Client:\n Version:\t{client['Version']}\n API version:\t{api}\n Python version:\t{python}\n"
        f" OS/Arch:\t{client['Os']}/{client['Arch']}\n Context:\t{client['Context']}\n"
    )


def _components(server: object) -> list[dict[str, object]]:
    components = server.get("Components") if isinstance(server, dict) else None
    return components if isinstance(components, list) else []


def _server_text(server: dict[str, object]) -> str:
    platform = server.get("Platform")
    name = platform.get("Name", "") if isinstance(platform, dict) else ""
    lines = [f"\nServer: {name}".rstrip(" ") if name else "\nServer:"]
    for component in _components(server):
        lines.append(f" {component['Name']}:\n  Version:\t{component['Version']}")
        details = component.get("Details") or {}
        assert isinstance(details, dict)
        if component["Name"] != "Engine":
            lines += [f"  {key}:\t{details[key]}" for key in sorted(details)]
            continue
        minimum = details.get("MinAPIVersion", "")
        lines.append(f"  API version:\t{details.get('ApiVersion', '')} (minimum version {minimum})")
        lines += [f"  {title}:\t{details[key]}" for title, key in ENGINE_DETAILS if key in details]
        lines.append(f"  OS/Arch:\t{details.get('Os', '')}/{details.get('Arch', '')}")
        lines.append(f"  Experimental:\t{details.get('Experimental', '')}")
    return "\n".join(lines) + "\n"


def run(context: Context, options: Options, arguments: list[str]) -> int:
    form = options.text("format")
    template = _compile(form) if form else None
    failure: Failure | None = None
    server = None
    engine = context.engine
    try:
        server = engine.get("/version")
        api = engine.negotiate()
    except Failure as error:
        failure, api = error, engine.version
    client = client_version(api)
    for component in _components(server):
        details = component.get("Details")
        if component.get("Name") == "Engine" and isinstance(details, dict) and "BuildTime" in details:
            details["BuildTime"] = _plain_date(str(details["BuildTime"]))
    if template is not None:
        _print_template(context, template, {"Client": client, "Server": server})
    else:
        text = _client_text(client) + (_server_text(server) if isinstance(server, dict) else "")
        context.out(align(text, minimum=COLUMN, padding=1))
    if failure is not None:
        raise failure
    return 0


def _compile(form: str):  # type: ignore[no-untyped-def]
    from sampan.cli.templates import TemplateError, compile_template

    try:
        return compile_template("{{json .}}" if form == "json" else form, "version")
    except TemplateError as error:
        raise Failure(f"template parsing error: {error}", USAGE_STATUS) from None


def _print_template(context: Context, template, document: dict[str, object]) -> None:  # type: ignore[no-untyped-def]
    from sampan.cli.templates import TemplateError, run_template
    from sampan.cli.typed.decode import struct

    try:
        context.line(run_template(template, struct("system.versionInfo", document)))
    except TemplateError as error:
        context.line(error.output)
        raise Failure(str(error)) from None


COMMAND = Command(
    "[OPTIONS]",
    "Show the Sampan version information",
    run,
    flags=(("format", "f", "string", FORMAT_HELP),),
    maximum=0,
)
