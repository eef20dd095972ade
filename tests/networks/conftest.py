"""Each test of the kernel's part gets a host of its own: nothing can leak, and tests can run beside each
other."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.networks.stage import Stage, fresh_host


@pytest.fixture
def stage() -> Iterator[Stage]:
    with fresh_host() as stage:
        yield stage
