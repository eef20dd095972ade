"""`python -m tests.vm`: build what is missing, boot, and pass on pytest's exit code."""

from __future__ import annotations

import sys
import time

from tests.vm import image, machine

# What talks to the kernel. Two at a time, as the machine has two processors; each instruction takes ten times
# as long as outside, so tests get more time and a second try, and those that count on speed are left out
# (`slow`).
ARGUMENTS = ["-n2", "--dist=loadgroup", "--timeout=600", "--reruns=2", "-mnot slow"]
TESTS = ["tests/linux", "tests/runtime", "tests/shim", "tests/vm"]
SECONDS = 1500.0


def main(arguments: list[str]) -> int:
    began = time.monotonic()
    built = image.build(arguments or [*ARGUMENTS, *TESTS])
    print(f"vm: built after {time.monotonic() - began:.0f} seconds, booting", flush=True)
    status = machine.boot(built, image.CACHE / "console.log", SECONDS)
    print(f"vm: {time.monotonic() - began:.0f} seconds in all", flush=True)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
