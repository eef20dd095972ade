"""What AppArmor and SELinux are told: the profile or label that the program gets at its execve.

Loaded only for a config.json that names one. Through the private procfs: what lies on /proc inside may be
anything (CVE-2019-16884).
"""

from __future__ import annotations

from sampan.records import dataclass
from sampan.runtime.gotext import go_error
from sampan.runtime.operations import Context, start_failed
from sampan.runtime.operations.namespaces import write_procfs


@dataclass(frozen=True, slots=True)
class ChangeProfileOnExec:
    """AppArmor: aa_change_onexec(2)."""

    profile: str

    def describe(self) -> str:
        return f"change to the AppArmor profile {self.profile} on execve"

    def execute(self, context: Context) -> None:
        command = f"exec {self.profile}"
        try:
            try:
                # With other modules in the kernel, the common file may be theirs (Linux 5.8).
                write_procfs(context, "thread-self/attr/apparmor/exec", command)
            except FileNotFoundError:
                write_procfs(context, "thread-self/attr/exec", command)
        except OSError as error:
            why = f"apparmor failed to apply profile: write /proc/self/attr/exec: {go_error(error)}"
            raise start_failed(f"unable to apply apparmor profile: {why}") from error


@dataclass(frozen=True, slots=True)
class SetExecLabel:
    """SELinux: setexeccon(3)."""

    label: str

    def describe(self) -> str:
        return f"change to the SELinux label {self.label} on execve"

    def execute(self, context: Context) -> None:
        try:
            write_procfs(context, "thread-self/attr/exec", self.label)
        except OSError as error:
            raise start_failed(f"can't set process label: {go_error(error)}") from error
