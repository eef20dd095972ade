"""The device controller of cgroup v2: a program for the container's cgroup, instead of a list of rules."""

from __future__ import annotations

import os
from collections.abc import Sequence

from sampan.linux import bpf
from sampan.runtime.cgroups.device_rules import DEFAULT_RULES, compile_rules
from sampan.runtime.spec.resources import DeviceRule


def attach(folder: str, rules: Sequence[DeviceRule]) -> None:
    """Let only these rules hold, in place of those of an earlier call. Programs further up hold as well."""
    program = bpf.load_cgroup_device_program(compile_rules((*rules, *DEFAULT_RULES)))
    try:
        cgroup = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            # The new one first: between the two both hold, which never allows more than either.
            earlier = bpf.cgroup_device_programs(cgroup)
            bpf.attach_cgroup_device_program(cgroup, program)
            for number in earlier:
                bpf.detach_cgroup_device_program(cgroup, number)
        finally:
            os.close(cgroup)
    finally:
        os.close(program)
