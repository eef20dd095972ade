"""Compiled seccomp filters on disk: compiling Docker's profile takes 3-15 ms, reading the result 0.1.

A filter is found by the hash of its profile, the machine, the kernel release (a new kernel may know more
system calls), libseccomp and us, who compile it. The folder belongs to root alone: who can write there
decides what containers may do.
"""

from __future__ import annotations

import importlib
import os

import sampan
from sampan import errors
from sampan.linux import seccomp
from sampan.wire import jsontext

DIRECTORY = "/run/sampan-runtime/seccomp"

# The greatest program that seccomp(2) takes is BPF_MAXINSNS instructions of 8 bytes.
_MAX_PROGRAM = 4096 * 8

# What the parser takes beside a profile's rules, which a cached program says nothing of.
_TSYNC = seccomp.FILTER_FLAGS["SECCOMP_FILTER_FLAG_TSYNC"]
_WAIT_KILLABLE = seccomp.FILTER_FLAGS["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]


def filter_flags(profile: dict[str, object]) -> int:
    """`flags` of a profile, for seccomp(2)."""
    names = profile.get("flags")
    if names is None:
        return 0
    if not isinstance(names, list):
        raise errors.InvalidArgument("config.json: linux.seccomp.flags must be an array")
    flags = 0
    for name in names:
        if name not in seccomp.PROFILE_FLAGS:
            raise errors.InvalidArgument(f'config.json: linux.seccomp.flags: "{name}" is not known')
        flags |= seccomp.FILTER_FLAGS[name]
    # TSYNC is for the threads of a process; ours has one, and with the flag a failure would look like a
    # success. WAIT_KILLABLE_RECV is about an agent's answers, and an error without a listener (seccomp(2)).
    if not notifies(profile):
        flags &= ~_WAIT_KILLABLE
    return flags & ~_TSYNC


def notifies(profile: dict[str, object]) -> bool:
    """Whether a profile sends anything to an agent."""
    rules = profile.get("syscalls")
    return isinstance(rules, list) and any(
        isinstance(rule, dict) and rule.get("action") == "SCMP_ACT_NOTIFY" for rule in rules
    )


def key_of(profile: dict[str, object]) -> str:
    """The name under which the program of a profile is kept: what it was made of, by what, and for what."""
    host = os.uname()
    compiler = [sampan.__version__, seccomp.GENERATION, seccomp.library_identity()]
    key = jsontext.text([host.machine, host.release, compiler, profile], sort_keys=True)
    return _sha256(key.encode())


def cached_filter(profile: dict[str, object], directory: str = DIRECTORY, *, key: str | None = None) -> bytes:
    """The program of a profile, compiled if it is not there yet. Works without the folder, only slower.

    `key`: that of `key_of`, if it is known.
    """
    key = key or key_of(profile)
    program = find(key, directory)
    if program is None:
        program = seccomp.compile_filter(profile)
        _write(directory, f"{directory}/{key}", program)
    return program


def find(key: str, directory: str = DIRECTORY) -> bytes | None:
    """The program of this key, None if it is not there."""
    return _read(f"{directory}/{key}")


def _sha256(data: bytes) -> str:
    """Not by hashlib, which loads OpenSSL: 4 MB in a process that has 7. Python 3.12 renamed the module."""
    for name in ("_sha2", "_sha256", "hashlib"):
        try:
            digest: str = importlib.import_module(name).sha256(data).hexdigest()
        except ImportError:
            continue
        return digest
    raise ImportError("this Python has no SHA-256")


def _read(path: str) -> bytes | None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        found = os.fstat(fd)
        if found.st_uid != os.geteuid() or found.st_mode & 0o022:
            return None
        program = os.read(fd, _MAX_PROGRAM + 1)
    finally:
        os.close(fd)
    return program if program and len(program) <= _MAX_PROGRAM and len(program) % 8 == 0 else None


def _write(directory: str, path: str, program: bytes) -> None:
    beside = f"{path}.{os.getpid()}"
    try:
        os.makedirs(directory, 0o700, exist_ok=True)
        fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, program)
        finally:
            os.close(fd)
        os.rename(beside, path)
    except OSError:
        pass  # a cache that cannot be written is no reason to start nothing
