"""A config.json in which every field of the specification is set, each to something that could be done."""

from __future__ import annotations

import json
from typing import Any

_MAPPINGS = [{"containerID": 0, "hostID": 100000, "size": 65536}]
_DEVICE = {"major": 8, "minor": 0}
_HOOK = [{"path": "/bin/hook", "args": ["hook", "x"], "env": ["A=1"], "timeout": 5}]
_HOOKS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")

_FULL: dict[str, Any] = {
    "ociVersion": "1.3.0",
    "root": {"path": "rootfs", "readonly": True},
    "hostname": "host",
    "domainname": "domain",
    "annotations": {"com.example.key": "value"},
    "hooks": dict.fromkeys(_HOOKS, _HOOK),
    "mounts": [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {
            "destination": "/data",
            "type": "bind",
            "source": "/srv",
            "options": ["rbind", "ridmap", "ro"],
            "uidMappings": _MAPPINGS,
            "gidMappings": _MAPPINGS,
        },
    ],
    "process": {
        "terminal": True,
        "consoleSize": {"height": 24, "width": 80},
        "cwd": "/",
        "env": ["PATH=/bin"],
        "args": ["sh"],
        "commandLine": "",
        "user": {"uid": 1, "gid": 2, "umask": 18, "additionalGids": [3], "username": ""},
        "capabilities": {
            name: ["CAP_KILL"] for name in ("bounding", "permitted", "effective", "inheritable", "ambient")
        },
        "noNewPrivileges": True,
        "oomScoreAdj": 10,
        "rlimits": [{"type": "RLIMIT_CORE", "soft": 0, "hard": 1}],
        "scheduler": {
            "policy": "SCHED_DEADLINE",
            "nice": 0,
            "priority": 0,
            "flags": ["SCHED_FLAG_RESET_ON_FORK"],
            "runtime": 1000000,
            "deadline": 2000000,
            "period": 3000000,
        },
        "ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 3},
        "execCPUAffinity": {"initial": "0", "final": "0-1"},
        "apparmorProfile": "profile",
        "selinuxLabel": "system_u:system_r:container_t:s0",
    },
    "linux": {
        "namespaces": [
            {"type": "mount"},
            {"type": "pid", "path": "/proc/1/ns/pid"},
            *({"type": kind} for kind in ("network", "ipc", "uts", "user", "cgroup", "time")),
        ],
        "uidMappings": _MAPPINGS,
        "gidMappings": _MAPPINGS,
        "timeOffsets": {"boottime": {"secs": 1, "nanosecs": 2}, "monotonic": {"secs": 3, "nanosecs": 4}},
        "devices": [
            {
                "type": "c",
                "path": "/dev/x",
                "major": 1,
                "minor": 3,
                "fileMode": 438,
                "uid": 0,
                "gid": 0,
            }
        ],
        "netDevices": {"eth0": {"name": "lan%d"}},
        "cgroupsPath": "/x/y",
        "sysctl": {"net.ipv4.ip_forward": "1"},
        "rootfsPropagation": "slave",
        "maskedPaths": ["/proc/kcore"],
        "readonlyPaths": ["/proc/sys"],
        "mountLabel": "system_u:object_r:container_file_t:s0",
        "personality": {"domain": "LINUX", "flags": []},
        "intelRdt": {
            "closID": "gold",
            "schemata": ["L3:0=f"],
            "l3CacheSchema": "L3:0=ff",
            "memBwSchema": "MB:0=20",
            "enableMonitoring": True,
        },
        "memoryPolicy": {"mode": "MPOL_BIND", "nodes": "0-1", "flags": ["MPOL_F_STATIC_NODES"]},
        "seccomp": {
            "defaultAction": "SCMP_ACT_ERRNO",
            "defaultErrnoRet": 1,
            "architectures": ["SCMP_ARCH_X86_64"],
            "flags": ["SECCOMP_FILTER_FLAG_LOG"],
            "listenerPath": "/run/agent.sock",
            "listenerMetadata": "x",
            "syscalls": [
                {
                    "names": ["mkdir"],
                    "action": "SCMP_ACT_ERRNO",
                    "errnoRet": 2,
                    "args": [{"index": 1, "value": 2, "valueTwo": 3, "op": "SCMP_CMP_MASKED_EQ"}],
                }
            ],
        },
        "resources": {
            "devices": [{"allow": False, "type": "c", "major": 1, "minor": 2, "access": "rwm"}],
            "memory": {
                "limit": 1,
                "reservation": 1,
                "swap": 2,
                "kernel": 1,
                "kernelTCP": 1,
                "swappiness": 10,
                "disableOOMKiller": False,
                "useHierarchy": True,
                "checkBeforeUpdate": False,
            },
            "cpu": {
                "shares": 1024,
                "quota": 1000,
                "burst": 100,
                "period": 1000,
                "realtimeRuntime": 1,
                "realtimePeriod": 1,
                "cpus": "0",
                "mems": "0",
                "idle": 0,
            },
            "pids": {"limit": 10},
            "blockIO": {
                "weight": 10,
                "leafWeight": 10,
                "weightDevice": [{**_DEVICE, "weight": 10, "leafWeight": 10}],
                **{
                    f"throttle{direction}{unit}Device": [{**_DEVICE, "rate": 1}]
                    for direction in ("Read", "Write")
                    for unit in ("Bps", "IOPS")
                },
            },
            "hugepageLimits": [{"pageSize": "2MB", "limit": 1}],
            "network": {"classID": 1, "priorities": [{"name": "eth0", "priority": 1}]},
            "rdma": {"mlx5_1": {"hcaHandles": 1, "hcaObjects": 2}},
            "unified": {"memory.high": "1"},
        },
    },
}


def full_config() -> dict[str, Any]:
    """A copy, to be changed."""
    document: dict[str, Any] = json.loads(json.dumps(_FULL))
    return document
