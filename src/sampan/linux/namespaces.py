"""Work in another namespace, by a thread that ends in there.

Owns the one-shot thread. What it opens (sockets, mounts as descriptors) stays where it was made, and every
thread of the process can use it: setns(2), namespaces(7).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from sampan.linux.processes import CLONE_FS, CLONE_NEWNS, setns, unshare

_T = TypeVar("_T")


def in_namespace(kind: int, namespace: int | None, function: Callable[[], _T]) -> _T:
    """Call a function in a namespace (CLONE_NEW*) given by a descriptor, or (None) in a new one.

    Takes 0.1 ms. Raises what the function raises, and OSError.
    """
    outcome: list[_T] = []
    failure: list[BaseException] = []

    def work() -> None:
        try:
            if namespace is None:
                unshare(kind)
            else:
                if kind == CLONE_NEWNS:
                    unshare(CLONE_FS)  # root and working folder must be this thread's alone
                setns(namespace, kind)
            outcome.append(function())
        except BaseException as error:  # it belongs to whoever waits
            failure.append(error)

    thread = threading.Thread(target=work, name="in-namespace")
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return outcome[0]
