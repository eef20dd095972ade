"""Where Sampan answers otherwise than Debian's dockerd (20.10) on purpose: each line, and why.

The exit code has to be the same all the same, but for the lines where dockerd itself fails on the machine.
"""

from __future__ import annotations

# Sampan says the same as Docker 28, which words it otherwise than 20.10, or does what 28 does.
_NEWER = "as newer versions of Docker have it"
_LATER = "not supported yet, and refused by name"

REASONS = {
    'docker run --rm busybox sh -c \'cut -d" " -f2-4 /proc/mounts'
    ' | grep -vE "^(/ |/etc/|/sys/fs/cgroup)" | sort\'': "masks are the host's verified /dev/null",
    "docker run --rm nosuchimage:none true": _LATER,
    "docker run --rm --link network-b busybox true": _LATER,
    "docker run --rm --log-driver nonsense busybox true": _LATER,
    "docker run --rm --network none busybox ip -o addr | awk '{print $2, $3, $4}'": f"::1 on lo: {_NEWER}",
    "docker image inspect nosuch": _NEWER,
    "docker inspect --type image inspect-c": _NEWER,
    "curl -s --unix-socket $SOCKET -X POST -H 'Content-Type: application/json' -d '{'"
    " http://x/v1.41/containers/create": _NEWER,
    "curl -s --unix-socket $SOCKET -X POST -H 'Content-Type: text/plain' -d '{}'"
    " http://x/v1.41/containers/create": _NEWER,
    "docker save busybox app | tar -t | grep -c json": f"an OCI layout: {_NEWER}",
}

# runc refuses --privileged where the engine itself lacks a capability; Sampan gives what there is.
PEER_FAILS = (
    "docker run --rm --privileged ",
    "docker exec --privileged ",
)


def accepted(line: str, expected: str, got: str) -> bool:
    """Whether the two answers to `line` may differ as they do."""
    if line.startswith(PEER_FAILS) and "operation not permitted" in expected:
        return True
    return line in REASONS and expected.splitlines()[0] == got.splitlines()[0]
