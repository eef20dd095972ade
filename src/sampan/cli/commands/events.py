"""`events`: what happens in the engine, as it happens."""

from __future__ import annotations

import time

from sampan.cli.context import Context
from sampan.cli.failure import Failure
from sampan.cli.flags import Command, Options, filters
from sampan.cli.inspecting import FORMAT_HELP, USAGE_STATUS
from sampan.cli.progress import messages
from sampan.cli.times import timestamp
from sampan.wire.gotime import NANOSECONDS, format_rfc3339

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def _plain(event: Mapping[str, object]) -> str:
    nanoseconds = event.get("timeNano") or 0
    assert isinstance(nanoseconds, int)
    moment = ""
    if nanoseconds:
        offset = time.localtime(nanoseconds // NANOSECONDS).tm_gmtoff
        moment = format_rfc3339(nanoseconds, offset=offset, fixed=True) + " "
    actor = event.get("Actor") or {}
    assert isinstance(actor, dict)
    attributes = actor.get("Attributes") or {}
    shown = ", ".join(f"{name}={attributes[name]}" for name in sorted(attributes))
    line = f"{moment}{event.get('Type', '')} {event.get('Action', '')} {actor.get('ID', '')}"
    return f"{line} ({shown})" if shown else line


def _template(form: str) -> Callable[[Mapping[str, object]], str]:
    from sampan.cli.templates import TemplateError, compile_template, run_template
    from sampan.cli.typed.decode import struct

    def show(event: Mapping[str, object]) -> str:
        return run_template(template, struct("events.Message", event, pointer=True))

    try:
        template = compile_template("{{json .}}" if form == "json" else form)
        show({})  # so that a field that does not exist is known now
    except TemplateError as error:
        raise Failure(f"Error parsing format: {error}", USAGE_STATUS) from None
    return show


def run(context: Context, options: Options, arguments: list[str]) -> int:
    form = options.text("format")
    show = _template(form) if form else _plain
    try:
        since, until = timestamp(options.text("since")), timestamp(options.text("until"))
    except ValueError as error:
        raise Failure(str(error)) from None
    parameters = {"since": since, "until": until, "filters": filters(options)}
    for event in messages(context.engine.open("GET", "/events", parameters)):
        context.line(show(event))
    return 0


COMMAND = Command(
    "[OPTIONS]",
    "Get real time events from the server",
    run,
    aliases=("system events", "events"),
    flags=(
        ("filter", "f", "filter", "Filter output based on conditions provided"),
        ("format", "", "string", FORMAT_HELP),
        ("since", "", "string", "Show all events created since timestamp"),
        ("until", "", "string", "Stream events until this timestamp"),
    ),
    maximum=0,
)
