"""Being let through by other firewalls on the host: Docker's, ufw's, the administrator's.

A packet must be accepted by every base chain of the forward hook, and our own table can only speak for
itself. Docker and ufw set the policy of iptables' FORWARD chain to DROP, so beside them our containers
would have no network. Docker asks for rules like ours to be in DOCKER-USER, which it jumps to first and
never flushes; without it they go to the top of FORWARD. They say nothing about who may reach a container:
our own table drops what was not published.

Owns those rules and no others. Each look or change is one run of an iptables program, 4 ms. iptables itself
is used, since only it knows whether the host's rules are kept in nf_tables or in the older form.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess

_SEARCH_PATH = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))
_TIMEOUT = 30.0
# "-w": wait for the lock of the older form, since another program may be in the middle of a change.
_DOCKER_USER, _FORWARD = "DOCKER-USER", "FORWARD"
_UNTOUCHED = "-P FORWARD ACCEPT"


def accept(bridge: str) -> bool:
    """See to it that packets from and to the bridge are accepted where something else may drop them.
    Idempotent.

    Whether there was anything to do. A host without iptables has no such chain. Raises OSError.
    """
    if _program("iptables") is None:
        return False
    listed = _list_chains()
    present = _present(bridge, listed)
    wanted = _wanted(bridge, listed, present)
    if present == wanted:
        return False
    deletions = [f"-D {rule}" for rule in present]
    # Each goes to the top, so the last one first.
    insertions = [f"-I {rule}" for rule in reversed(wanted)]
    _change(deletions + insertions)
    return True


def withdraw(bridge: str) -> None:
    """Take the bridge's rules out of the chains of others. Idempotent. Raises OSError."""
    if _program("iptables") is None:
        return
    present = _present(bridge, _list_chains())
    if present:
        _change([f"-D {rule}" for rule in present])


def concerns(chain: str) -> bool:
    """Whether a change in this chain of the table `ip filter` may have touched our rules, or the need for
    them."""
    return chain in (_DOCKER_USER, _FORWARD)


def _wanted(bridge: str, listed: dict[str, list[str]], present: list[str]) -> list[str]:
    """The rules as they should be, "CHAIN rule", for the chains that there are now."""
    mark = _mark(bridge)
    accepting = [f"-i {bridge} {mark} -j ACCEPT", f"-o {bridge} {mark} -j ACCEPT"]
    if listed[_DOCKER_USER]:
        # Who may reach Docker's containers is for Docker's own rules to say, which come later in FORWARD.
        dockers = [f"-i {bridge} -o {device} {mark} -j RETURN" for device in ("docker0", "br-+")]
        return [f"{_DOCKER_USER} {rule}" for rule in dockers + accepting]
    others = [line for line in listed[_FORWARD] if _rule(line) not in present]
    if others != [_UNTOUCHED]:
        return [f"{_FORWARD} {rule}" for rule in accepting]
    return []


def _present(bridge: str, listed: dict[str, list[str]]) -> list[str]:
    """Our rules as they are, in the same form and order."""
    rules = [_rule(line) for lines in listed.values() for line in lines]
    return [rule for rule in rules if f" {_mark(bridge)} " in rule]


def _rule(line: str) -> str:
    """A line of `iptables -S` as "CHAIN rule". A comment with a dot in it stands in quotes there."""
    return line.replace('"', "").removeprefix("-A ")


def _mark(bridge: str) -> str:
    return f"-m comment --comment sampan-{bridge}"


def _list_chains() -> dict[str, list[str]]:
    """The two chains in iptables' own words; an empty list for one that is not there."""
    listed = {}
    for chain in (_DOCKER_USER, _FORWARD):
        done = _run(["iptables", "-w", "-S", chain])
        listed[chain] = done.stdout.splitlines() if done.returncode == 0 else []
    return listed


def _change(commands: list[str]) -> None:
    """Several commands in one transaction."""
    text = "\n".join(["*filter", *commands, "COMMIT", ""])
    done = _run(["iptables-restore", "-w", "--noflush"], text)
    if done.returncode:
        raise OSError(errno.EINVAL, f"iptables-restore: {done.stderr.strip()}", _FORWARD)


def _run(argv: list[str], text: str = "") -> subprocess.CompletedProcess[str]:
    program = _program(argv[0])
    if program is None:
        raise OSError(errno.ENOENT, f"{argv[0]}: program not found", argv[0])
    try:
        return subprocess.run(
            [program, *argv[1:]], input=text, capture_output=True, text=True, timeout=_TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired:
        raise OSError(errno.ETIMEDOUT, f"{argv[0]}: no answer in {_TIMEOUT:.0f} s", program) from None


def _program(name: str) -> str | None:
    return shutil.which(name, path=_SEARCH_PATH)
