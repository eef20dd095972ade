"""Layers in use by work that is not in the catalog yet.

Owns a count in memory: a load that found a layer present, or made one, holds it until its image is in the
catalog, so that a removal meanwhile does not take it away. Of no use after a crash: what is not in the
catalog then is garbage.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


class Leases:
    """Which layers are held, and how often."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: Counter[str] = Counter()

    @contextmanager
    def holder(self) -> Iterator[Lease]:
        """Hold layers until the block ends."""
        lease = Lease(self)
        try:
            yield lease
        finally:
            with self._lock:
                self._held.subtract(lease.chain_ids)
                self._held += Counter()

    def hold(self, chain_id: str) -> None:
        """Count one more holder."""
        with self._lock:
            self._held[chain_id] += 1

    def held(self) -> list[str]:
        """Return the layers that are held now."""
        with self._lock:
            return list(self._held)


class Lease:
    """What one piece of work holds."""

    def __init__(self, leases: Leases) -> None:
        self._leases = leases
        self.chain_ids: list[str] = []

    def hold(self, chain_id: str) -> None:
        """Keep a layer, which is there or about to be."""
        self._leases.hold(chain_id)
        self.chain_ids.append(chain_id)
