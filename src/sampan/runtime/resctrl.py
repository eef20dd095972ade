"""Intel RDT and its like (AMD QoS, Arm MPAM): a container's group in the resctrl file system.

Owns the files of resctrl (Documentation/filesystems/resctrl.rst) and the rules of the specification about who
makes and removes a group. Loaded only for a container with `linux.intelRdt`.
"""

from __future__ import annotations

import os

from sampan import errors
from sampan.linux import mounts
from sampan.runtime.gotext import go_error
from sampan.runtime.operations import start_failed
from sampan.runtime.spec.intel_rdt import IntelRdt


def find_resctrl(mountinfo: str = "/proc/self/mountinfo") -> str:
    """Where resctrl is mounted. Raises InvalidArgument, in runc's words, if it is not."""
    for entry in mounts.read_mountinfo(mountinfo):
        if entry.filesystem == "resctrl":
            return entry.mount_point
    raise errors.InvalidArgument("intelRdt is specified in config, but Intel RDT is not enabled")


class ResctrlGroup:
    """The group of one container: a class of service, and in it perhaps a group of its own for monitoring."""

    def __init__(self, top: str, wanted: IntelRdt, container_id: str) -> None:
        self._wanted = wanted
        self._folder = f"{top}/{wanted.clos_id or container_id}"
        self._monitoring = f"{self._folder}/mon_groups/{container_id}"
        self._is_own = not wanted.clos_id
        self._made: list[str] = []

    def prepare(self) -> None:
        """Make the groups, or look whether the existing one is what is asked for."""
        try:
            self._prepare()
        except OSError as error:
            raise _failed(error) from error

    def _prepare(self) -> None:
        lines = self._wanted.schemata
        if not self._is_own and not lines and not os.path.isdir(self._folder):
            raise start_failed(f"intelRdt.closID: the class of service {self._folder} does not exist")
        is_new = self._make(self._folder)
        if lines and is_new:
            # One write(2) for each: the file takes several lines, but tells the error of the last alone.
            for line in lines:
                _write(f"{self._folder}/schemata", f"{line}\n")
        elif lines:
            self._compare(lines)
        if self._wanted.monitoring:
            self._make(self._monitoring)

    def _compare(self, lines: tuple[str, ...]) -> None:
        """A group that is there already belongs to others as well: it must be as asked for, not become so."""
        with open(f"{self._folder}/schemata", encoding="ascii") as file:
            found = dict(_domains(line) for line in file if ":" in line)
        for line in lines:
            resource, domains = _domains(line)
            if not domains.items() <= found.get(resource, {}).items():
                raise start_failed(f'intelRdt: "{line}" does not match the schemata of {self._folder}')

    def _make(self, folder: str) -> bool:
        try:
            os.mkdir(folder, 0o755)
        except FileExistsError:
            return False
        self._made.append(folder)
        return True

    def add(self, pid: int) -> None:
        """Move a process, and all that it will fork, into the group."""
        try:
            _write(f"{self._folder}/tasks", str(pid))
            if self._wanted.monitoring:
                _write(f"{self._monitoring}/tasks", str(pid))
        except OSError as error:
            raise _failed(error) from error

    def undo(self) -> None:
        """Remove what `prepare` has made: the start has failed."""
        for folder in reversed(self._made):
            _remove(folder)

    def remove(self) -> None:
        """Remove what is the container's alone: a class of service with a given name has other owners."""
        if self._wanted.monitoring:
            _remove(self._monitoring)
        if self._is_own:
            _remove(self._folder)


def _domains(line: str) -> tuple[str, dict[str, str]]:
    """ "L3:0=0ff;1=f" as ("L3", {"0": "ff", "1": "f"}): leading zeros and blanks mean nothing."""
    resource, _, rest = line.strip().partition(":")
    pairs = (part.partition("=") for part in rest.split(";") if "=" in part)
    return resource.strip(), {
        domain.strip(): value.strip().lower().lstrip("0") or "0" for domain, _, value in pairs
    }


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from None
    finally:
        os.close(fd)


def _remove(folder: str) -> None:
    try:
        os.rmdir(folder)
    except FileNotFoundError:
        pass


def _failed(error: OSError) -> errors.StartFailed:
    return start_failed(f"unable to apply Intel RDT configuration: {error.filename}: {go_error(error)}")
