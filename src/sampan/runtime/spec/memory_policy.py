"""`linux.memoryPolicy` of config.json: which NUMA nodes the memory comes from (set_mempolicy(2))."""

from __future__ import annotations

from sampan.linux.scheduling import MAX_NODES
from sampan.records import dataclass
from sampan.runtime.spec.fields import Fields
from sampan.runtime.spec.numbers import parse_numbers

# include/uapi/linux/mempolicy.h
MODES = {
    "MPOL_DEFAULT": 0,
    "MPOL_PREFERRED": 1,
    "MPOL_BIND": 2,
    "MPOL_INTERLEAVE": 3,
    "MPOL_LOCAL": 4,
    "MPOL_PREFERRED_MANY": 5,
    "MPOL_WEIGHTED_INTERLEAVE": 6,
}
FLAGS = {
    "MPOL_F_NUMA_BALANCING": 1 << 13,
    "MPOL_F_RELATIVE_NODES": 1 << 14,
    "MPOL_F_STATIC_NODES": 1 << 15,
}


@dataclass(frozen=True, slots=True)
class MemoryPolicy:
    """`mode`: the mode with its flags, as the kernel takes them."""

    mode: int
    nodes: tuple[int, ...] = ()


def parse_memory_policy(fields: Fields) -> MemoryPolicy:
    mode = MODES[fields.word("mode", MODES)]
    for flag in fields.words("flags", FLAGS):
        mode |= FLAGS[flag]
    try:
        return MemoryPolicy(mode, parse_numbers(fields.string("nodes"), MAX_NODES))
    except ValueError as error:
        raise fields.fail("nodes", f"is not a list of nodes: {error}") from None
