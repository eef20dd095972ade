"""Carrying out a plan: one loop, which knows nothing of what the operations are.

An OSError that an operation does not explain itself is explained by what the operation says it does.
"""

from __future__ import annotations

from collections.abc import Iterable

from sampan.runtime.gotext import go_error
from sampan.runtime.operations import Context, Operation, start_failed


def run(operations: Iterable[Operation], context: Context) -> None:
    for operation in operations:
        try:
            operation.execute(context)
        except OSError as error:
            raise start_failed(f"{operation.describe()}: {go_error(error)}") from error


def describe(operations: Iterable[Operation]) -> str:
    """The plan as text, a line for each operation."""
    return "".join(f"{operation.describe()}\n" for operation in operations)
