"""The engine about itself: `info`, `version`, `system df`.

Owns these documents. What is not there (plugins, swarm, registries) is shown as dockerd shows it when it
has none.
"""

from __future__ import annotations

import os
import platform
import shutil
import threading
import time
import uuid
from collections.abc import Sequence
from typing import Any

import sampan
from sampan.engine import listing
from sampan.engine.containers import Containers
from sampan.engine.listing import Selection
from sampan.engine.services import Services
from sampan.engine.states import State
from sampan.engine.volumes import Volumes
from sampan.wire import gotime

Document = dict[str, Any]

_RUNTIME = "runc"  # the name under which clients know the default one


class System:
    """The API's tag System."""

    def __init__(self, services: Services, containers: Containers, volumes: Volumes) -> None:
        self._services = services
        self._containers = containers
        self._volumes = volumes

    async def ping(self) -> str:
        return "OK"

    async def version(self) -> Document:
        """Without ApiVersion and MinAPIVersion, which the API knows."""
        host = self._services.host
        details = {
            "Arch": host.architecture,
            "BuildTime": "",
            "Experimental": "false",
            "GitCommit": "",
            "GoVersion": "",
            "KernelVersion": host.kernel,
            "Os": "linux",
            "PythonVersion": platform.python_version(),
        }
        return {
            "Platform": {"Name": "Sampan"},
            "Components": [{"Name": "Engine", "Version": sampan.__version__, "Details": details}],
            "Version": sampan.__version__,
            "GitCommit": "",
            "GoVersion": "",
            "Os": "linux",
            "Arch": host.architecture,
            "KernelVersion": host.kernel,
            "BuildTime": "",
        }

    async def info(self) -> Document:
        services = self._services
        images, identifier, forwards, descriptors = await services.threads.run(self._look)
        return (
            {"ID": identifier}
            | self._counts()
            | {"Images": images, "Driver": services.images.driver.name, "DriverStatus": []}
            | _PLUGINS
            | self._abilities()
            | {
                "IPv4Forwarding": forwards,
                "Debug": services.settings.debug,
                "NFd": descriptors,
                "NGoroutines": threading.active_count(),
                "SystemTime": gotime.format_rfc3339(time.time_ns()),
                "NEventsListener": services.events.listeners,
            }
            | self._host()
            | self._configuration()
        )

    async def disk_usage(self) -> Document:
        """`GET /system/df`, in the form of before 1.52."""
        services = self._services
        containers = listing.select(services.registry, Selection(True, 0, {}))

        usage = await services.threads.run(services.images.disk_usage)
        for image in usage["Images"]:
            image["Containers"] = sum(container.record.image == image["Id"] for container in containers)
        return {
            "LayersSize": usage["LayersSize"],
            "Images": usage["Images"],
            "Containers": await self._containers.summaries(containers, size=True),
            "Volumes": await self._volumes.usage(),
            "BuildCache": [],
            "BuilderSize": 0,
        }

    def _look(self) -> tuple[int, str, bool, int]:
        """In a thread."""
        identifier = self._services.database.fact("id", str(uuid.uuid4()))
        return self._services.images.count(), identifier, _forwards(), len(os.listdir("/proc/self/fd"))

    def _counts(self) -> Document:
        states = [container.state for container in self._services.registry]
        running, paused = states.count(State.RUNNING), states.count(State.PAUSED)
        return {
            "Containers": len(states),
            "ContainersRunning": running,
            "ContainersPaused": paused,
            "ContainersStopped": len(states) - running - paused,
        }

    def _abilities(self) -> Document:
        """What limits the host can set."""
        host = self._services.host
        has = host.controllers.__contains__
        return {
            "MemoryLimit": has("memory"),
            "SwapLimit": host.swap_limit,
            "CpuCfsPeriod": has("cpu"),
            "CpuCfsQuota": has("cpu"),
            "CPUShares": has("cpu"),
            "CPUSet": has("cpuset"),
            "PidsLimit": has("pids"),
            "OomKillDisable": host.cgroup_version == 1 and has("memory"),
        }

    def _host(self) -> Document:
        host = self._services.host
        return {
            "LoggingDriver": "json-file",
            "CgroupDriver": "cgroupfs",
            "CgroupVersion": str(host.cgroup_version),
            "KernelVersion": host.kernel,
            "OperatingSystem": host.operating_system,
            "OSVersion": host.os_version,
            "OSType": "linux",
            "Architecture": host.machine,
            "NCPU": host.processors,
            "MemTotal": host.memory,
            "Name": host.name,
        }

    def _configuration(self) -> Document:
        settings = self._services.settings
        init = shutil.which(settings.init_path)
        return {
            "IndexServerAddress": "https://index.docker.io/v1/",
            "RegistryConfig": _registries(settings.insecure_registries),
            "GenericResources": None,
            "DockerRootDir": settings.data_root,
            "HttpProxy": "",
            "HttpsProxy": "",
            "NoProxy": "",
            "Labels": list(settings.labels),
            "ExperimentalBuild": False,
            "ServerVersion": sampan.__version__,
            "Runtimes": {_RUNTIME: {"path": "sampan-runtime"}},
            "DefaultRuntime": _RUNTIME,
            "Swarm": _NO_SWARM,
            "LiveRestoreEnabled": True,
            "Isolation": "",
            "InitBinary": settings.init_path if init else "",
            "ContainerdCommit": _NO_COMMIT,
            "RuncCommit": _NO_COMMIT,
            "InitCommit": _NO_COMMIT,
            "SecurityOptions": self._security_options(),
            "FirewallBackend": {"Driver": "nftables"},
            "DiscoveredDevices": [],
            "CDISpecDirs": [],
            "Warnings": None,
        }

    def _security_options(self) -> list[str]:
        profile = ["name=seccomp,profile=builtin"]
        return [*profile, "name=cgroupns"] if self._services.host.cgroup_version == 2 else profile


_PLUGINS: Document = {
    "Plugins": {
        "Volume": ["local"],
        "Network": ["bridge", "host", "null"],
        "Authorization": None,
        "Log": ["json-file", "none"],
    }
}
_NO_SWARM: Document = {
    "NodeID": "",
    "NodeAddr": "",
    "LocalNodeState": "inactive",
    "ControlAvailable": False,
    "Error": "",
    "RemoteManagers": None,
}
_NO_COMMIT: Document = {"ID": "", "Expected": ""}


def _registries(insecure: Sequence[str]) -> Document:
    """What lies on this host is always among the insecure ones."""

    def index(name: str, *, secure: bool) -> Document:
        return {"Name": name, "Mirrors": [], "Secure": secure, "Official": name == "docker.io"}

    hosts = {name: index(name, secure=False) for name in insecure if "/" not in name}
    return {
        "AllowNondistributableArtifactsCIDRs": None,
        "AllowNondistributableArtifactsHostnames": None,
        "InsecureRegistryCIDRs": ["::1/128", "127.0.0.0/8", *(name for name in insecure if "/" in name)],
        "IndexConfigs": {"docker.io": index("docker.io", secure=True)} | hosts,
        "Mirrors": None,
    }


def _forwards() -> bool:
    try:
        with open("/proc/sys/net/ipv4/ip_forward", encoding="ascii") as file:
            return file.read().strip() == "1"
    except OSError:
        return False
