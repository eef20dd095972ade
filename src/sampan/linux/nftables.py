"""Loading an nftables rule set: `nft -f -`, one atomic transaction.

Owns the call of nft(8) and the reading of its complaint. Knows no rule. 5 ms, so this is for whole tables;
single elements of a map go through `nfnetlink`, fifty times faster.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess

# sbin is not in everyone's PATH, and nft lives there.
_SEARCH_PATH = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))
_TIMEOUT = 60.0
_LONGEST_COMPLAINT = 600


def apply(ruleset: str) -> None:
    """Execute commands in nft's language, all or none. OSError with nft's words, which name the line."""
    program = shutil.which("nft", path=_SEARCH_PATH)
    if program is None:
        raise OSError(errno.ENOENT, "nft: program not found (Debian: apt-get install nftables)", "nft")
    try:
        done = subprocess.run(
            [program, "-f", "-"], input=ruleset.encode(), capture_output=True, timeout=_TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired:
        raise OSError(errno.ETIMEDOUT, f"nft -f -: no answer in {_TIMEOUT:.0f} s", program) from None
    if done.returncode:
        complaint = done.stderr.decode(errors="replace").strip()[:_LONGEST_COMPLAINT]
        raise OSError(_error_number(complaint), f"nft -f -: {complaint}", program)


def _error_number(complaint: str) -> int:
    """What the kernel said, where nft passes it on ("Error: Could not process rule: File exists")."""
    first = complaint.partition("\n")[0]
    for number in (errno.ENOENT, errno.EEXIST, errno.EPERM, errno.EBUSY, errno.EOPNOTSUPP, errno.ENOMEM):
        if f": {os.strerror(number)}" in first:
            return number
    return errno.EINVAL
