"""What the tests of several bindings need."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from sampan.linux.processes import CLONE_NEWNET, setns, unshare


@pytest.fixture
def own_network() -> Iterator[None]:
    """Run the test in a network namespace of its own, which goes with it."""
    outside = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    unshare(CLONE_NEWNET)
    yield
    setns(outside, CLONE_NEWNET)
    os.close(outside)
