"""`logout`: forget the credentials of a registry."""

from __future__ import annotations

from sampan.cli.commands.login import domain_of
from sampan.cli.context import Context
from sampan.cli.credentials import erase, key_of
from sampan.cli.flags import Command, Options


def run(context: Context, options: Options, arguments: list[str]) -> int:
    key = key_of(domain_of(arguments[0] if arguments else ""))
    context.line(f"Removing login credentials for {key}")
    erase(key)
    return 0


COMMAND = Command(
    "[SERVER]",
    "Log out from a registry.\nIf no server is specified, the default is defined by the daemon.",
    run,
    maximum=1,
)
