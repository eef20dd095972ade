"""AppArmor and SELinux: which of them this kernel runs, and what a container may therefore ask for.

Loaded only for a config.json that names a profile or a label.
"""

from __future__ import annotations

from sampan import errors
from sampan.runtime.spec import Process, Spec

_APPARMOR = "/sys/module/apparmor/parameters/enabled"
_FILESYSTEMS = "/proc/filesystems"


def check(spec: Spec) -> None:
    """Refuse what the kernel does not have. Raises InvalidArgument, in runc's words."""
    labelled = bool(spec.linux.mount_label)
    if spec.process is not None:
        check_process(spec.process)
    if labelled and not has_selinux():
        raise _no_selinux()


def check_process(process: Process) -> None:
    if process.selinux_label and not has_selinux():
        raise _no_selinux()
    if process.apparmor_profile and not has_apparmor():
        raise errors.InvalidArgument(
            f'apparmor profile "{process.apparmor_profile}" is specified in config,'
            " but apparmor is disabled or not supported"
        )


def has_apparmor() -> bool:
    try:
        with open(_APPARMOR, "rb") as file:
            return file.read(1) == b"Y"
    except FileNotFoundError:
        return False


def has_selinux() -> bool:
    """The kernel has its file system only if it was not switched off at boot."""
    with open(_FILESYSTEMS, "rb") as file:
        return b"\tselinuxfs\n" in file.read()


def _no_selinux() -> errors.InvalidArgument:
    return errors.InvalidArgument(
        "selinux label is specified in config, but selinux is disabled or not supported"
    )
