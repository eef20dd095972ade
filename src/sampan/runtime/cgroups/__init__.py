"""Cgroups: one interface over v1, hybrid and v2.

Owns the files below /sys/fs/cgroup and the conversions from OCI limits to what they take. Knows no container.

Life cycle: `create` (may be repeated) → `apply` limits → `attach` a process → … `freeze`, `thaw`, `apply`,
`stats` … → `kill` → `delete`, which also removes the cgroups that the container has made below its own. On
v2, `descriptor` serves clone3's CLONE_INTO_CGROUP instead of `attach`: that spares the wait for an RCU grace
period.
"""

from __future__ import annotations

from sampan.runtime.cgroups.hierarchy import Hierarchy, open_cgroups
from sampan.runtime.cgroups.interface import Cgroup, CgroupView, Stats, ViewedHierarchy

__all__ = ["Cgroup", "CgroupView", "Hierarchy", "Stats", "ViewedHierarchy", "open_cgroups"]
