"""What an engine is told once, before it starts: its folders, names and defaults.

Owns the values alone: `daemon` makes them from flags and file, a program that embeds the engine by itself.
"""

from __future__ import annotations

from collections.abc import Mapping

from sampan.records import dataclass, field


@dataclass(frozen=True, slots=True)
class Settings:
    """Two engines with different folders, bridges and cgroup parents live side by side on one host."""

    data_root: str = "/var/lib/sampan"
    exec_root: str = "/run/sampan"
    bridge: str = "sampan0"
    bip: str = ""
    """Address of the bridge with its prefix length, "172.30.0.1/16"; empty: a free subnet is chosen."""
    mtu: int = 1500
    cgroup_parent: str = "sampan"
    dns: tuple[str, ...] = ()
    dns_options: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    log_options: Mapping[str, str] = field(default_factory=dict)
    """Options of the json-file log for containers that give none of their own."""
    insecure_registries: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    debug: bool = False
    init_path: str = "docker-init"
    """The program that `--init` puts before the container's own: a path, or a name to be found in PATH."""

    @property
    def database(self) -> str:
        return f"{self.data_root}/sampan.db"

    @property
    def containers_root(self) -> str:
        """Here each container has a folder for its files and its log."""
        return f"{self.data_root}/containers"

    @property
    def bundles_root(self) -> str:
        """Here each started container has the folder that it shares with its shim."""
        return f"{self.exec_root}/containers"
