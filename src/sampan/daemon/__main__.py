"""`python -m sampan.daemon`: the command line of the daemon. What is wrong with it costs no import of the
engine.
"""

from __future__ import annotations

import sys

# asyncio imports ssl for its TLS transports, which Sampan cannot use (they cannot half-close, so `docker run
# -i` would lose its output). Without it the idle daemon is 4.4 MB smaller. Everybody else can import ssl
# afterwards.
sys.modules["ssl"] = None  # type: ignore[assignment]
import asyncio  # noqa: E402, F401

del sys.modules["ssl"]

from sampan import __version__, errors  # noqa: E402
from sampan.daemon import config, flags, logfmt  # noqa: E402

_USAGE_STATUS = 125


def main(arguments: list[str]) -> int:
    """Run the daemon. Returns the exit status."""
    try:
        given = flags.parse(arguments)
        if given.wants("help"):
            print(flags.usage())
            return 0
        if given.wants("version"):
            print(f"Sampan version {__version__}")
            return 0
        configuration = config.load(given)
        if given.wants("validate"):
            print("configuration OK", file=sys.stderr)
            return 0
        return _run(configuration)
    except flags.UsageError as error:
        print(f"{error}\nSee 'sampan daemon --help'.", file=sys.stderr)
        return _USAGE_STATUS
    except (errors.SampanError, OSError) as error:
        print(error, file=sys.stderr)
        return 1


def _run(configuration: config.Config) -> int:
    from sampan.daemon.run import run

    logfmt.configure(configuration.log_level)
    try:
        run(configuration)
    except (errors.SampanError, OSError) as error:
        print(f"failed to start daemon: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
