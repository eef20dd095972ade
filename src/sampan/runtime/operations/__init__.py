"""What the kernel is told to set a container up, as data: frozen operations that describe and execute
themselves.

One file per family. An operation is made by `plan`, from the specification alone and without root; it is
executed by `executor`, in the new process, against a `Context`. Its `execute` may read the Context and what
it holds, never the specification, so that a plan that was looked at is the plan that is done.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sampan import errors
from sampan.records import dataclass, field
from sampan.runtime.channel import ChildChannel
from sampan.runtime.confined import Root
from sampan.runtime.spec.process import User

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol
else:
    Protocol = object


class Operation(Protocol):
    """One step. `execute` raises OSError, or StartFailed if it has better words than the system call."""

    def describe(self) -> str:
        """One line for a person who asks what is done to start this container."""

    def execute(self, context: Context) -> None: ...


@dataclass(slots=True)
class Context:
    """The state of the new process while it carries out its plan; it lives and dies with the process."""

    channel: ChildChannel
    bundle: str = "/"
    rootfs: int | None = None  # a detached mount, given by the caller
    mount_sources: Mapping[str, int] = field(default_factory=dict)  # destination -> detached mount
    opened: dict[int, int] = field(default_factory=dict)  # number of a bind -> its source
    namespaces: Mapping[str, int] = field(default_factory=dict)  # type -> nsfs descriptor to join
    entrances: list[int] | None = None  # of a cgroup that is there already: see `EnterCgroup`
    container: int = -1  # pidfd of the container's first process, for an exec
    stdio: tuple[int, int, int] | None = None
    inside: Callable[[], None] | None = None
    gate: int | None = None
    preserve_fds: int = 0
    ignored_signals: tuple[int, ...] = ()
    null: int = -1  # the host's /dev/null, verified
    procfs: int = -1  # a private, whole procfs that no mount of the container can cover
    console: int | None = None  # our end of the container's terminal
    attached_root: Root | None = None
    mounted: dict[str, int] = field(default_factory=dict)  # destination -> what is needed later
    user: User = field(default_factory=User)
    home: str = "/"  # the user's, for programs that are told of none
    is_user_known: bool = False
    program: str = ""  # what `args[0]` was found to be

    @property
    def root(self) -> Root:
        if self.attached_root is None:
            raise errors.SampanError("the root file system is used before it is attached")
        return self.attached_root


def start_failed(message: str) -> errors.StartFailed:
    """A failure of the set-up, in the words that runc has for all of them. 125: Docker's code for "our
    fault".
    """
    return errors.StartFailed(
        f"unable to start container process: error during container init: {message}", 125
    )
