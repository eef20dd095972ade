"""The table of the daemon's options: a flag, its key in daemon.json, and what a value may be.

One row each serves flags, file and help alike. Names, defaults and messages are dockerd's
(https://docs.docker.com/reference/cli/dockerd/); what dockerd has and Sampan has not stands in `UNSUPPORTED`,
so that it is refused by its name instead of being taken for a typing error, or worse, ignored.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable

from sampan import errors
from sampan.api import addresses
from sampan.records import dataclass

Value = str | bool | int | list[str] | dict[str, str]

STRING, BOOL, INT, LIST, MAP = "string", "bool", "int", "[]string", "map[string]string"
"""Kinds, by the name of the Go type that dockerd's messages use."""


@dataclass(frozen=True, slots=True)
class Option:
    """One option. `check` raises InvalidArgument for a value (one element of it) that cannot be."""

    key: str
    kind: str
    help: str
    default: Value | None = None
    flag: str = ""
    short: str = ""
    metavar: str = ""
    check: Callable[[str], object] | None = None

    @property
    def name(self) -> str:
        """The long flag: lists are singular there, as in dockerd."""
        return self.flag or self.key


def _ip(text: str) -> None:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, text.strip())
        except OSError:
            continue
        return
    raise errors.InvalidArgument(f"{text} is not an ip address")


def _registry(text: str) -> None:
    if "://" in text:
        raise errors.InvalidArgument(f"insecure registry {text} should not contain '://'")
    if "/" in text:
        try:
            ipaddress.ip_network(text, strict=False)
        except ValueError:
            raise errors.InvalidArgument(f"insecure registry {text} is not valid: invalid CIDR") from None


def _label(text: str) -> None:
    if "=" not in text:
        raise errors.InvalidArgument(f"bad attribute format: {text}")


def _level(text: str) -> None:
    if text not in ("debug", "info", "warn", "error", "fatal"):
        raise errors.InvalidArgument(f"unable to parse logging level: {text}")


def _one_of(*values: str) -> Callable[[str], None]:
    """A value that dockerd lets one choose, and of which Sampan has these."""

    def check(text: str) -> None:
        if text not in values:
            raise errors.Unsupported(f"{text} is not supported (only {', '.join(values)})")

    return check


TABLE = (
    Option("bip", STRING, "IPv4 address for the default bridge, with its subnet"),
    Option("bridge", STRING, "Attach containers to a network bridge", "sampan0", short="b"),
    Option("cgroup-parent", STRING, "Set parent cgroup for all containers", "sampan"),
    Option("data-root", STRING, "Root directory of persistent state", "/var/lib/sampan"),
    Option("debug", BOOL, "Enable debug mode", False, short="D"),
    Option(
        "insecure-registries",
        LIST,
        "Registry without a certificate that can be checked: a host, or a network",
        flag="insecure-registry",
        check=_registry,
    ),
    Option("dns", LIST, "DNS server to use", check=_ip),
    Option("dns-opts", LIST, "DNS options to use", flag="dns-opt"),
    Option("dns-search", LIST, "DNS search domains to use"),
    Option("exec-root", STRING, "Root directory for execution state files", "/run/sampan"),
    Option("group", STRING, "Group for the unix socket", short="G"),
    Option("hosts", LIST, "Daemon socket(s) to connect to", flag="host", short="H", check=addresses.parse),
    Option("init-path", STRING, "Program that --init puts before the container's own", "docker-init"),
    Option("labels", LIST, "Set key=value labels to the daemon", flag="label", check=_label),
    Option(
        "log-driver",
        STRING,
        "Default driver for container logs",
        "json-file",
        check=_one_of("json-file"),
    ),
    Option("log-level", STRING, "Set the logging level", "info", short="l", check=_level),
    Option("log-opts", MAP, "Default log driver options for containers", flag="log-opt"),
    Option("mtu", INT, "Set the containers network MTU", 1500),
    Option("pidfile", STRING, "Path to use for daemon PID file", "/run/sampan.pid", short="p"),
    Option("shutdown-timeout", INT, "Seconds that commands may take when the daemon ends", 15),
    Option(
        "storage-driver", STRING, "Storage driver to use", "overlay2", short="s", check=_one_of("overlay2")
    ),
)

DEFAULT_HOST = "unix:///run/sampan.sock"
DEFAULT_CONFIG_FILE = "/etc/sampan/daemon.json"

BY_KEY = {option.key: option for option in TABLE}

_DOCKERD_ONLY = """
    add-runtime allow-direct-routing allow-nondistributable-artifacts api-cors-header authorization-plugin
    authorization-plugins bip6 bridge-accept-fwmark builder cdi-spec-dir cdi-spec-dirs containerd
    containerd-namespace containerd-plugin-namespace containerd-plugins-namespace cpu-rt-period
    cpu-rt-runtime cri-containerd default-address-pool default-address-pools default-cgroupns-mode
    default-gateway default-gateway-v6 default-init default-ipc-mode default-network-opt
    default-network-opts default-runtime default-shm-size default-stop-timeout default-ulimit
    default-ulimits deprecated-key-path exec-opt exec-opts experimental feature features firewall-backend
    fixed-cidr fixed-cidr-v6 host-gateway-ip host-gateway-ips http-proxy https-proxy icc init
    ip ip-forward ip-forward-no-drop ip-masq ip6tables iptables ipv6
    live-restore log-format max-concurrent-downloads max-concurrent-uploads max-download-attempts
    metrics-addr min-api-version network-control-plane-mtu network-diagnostic-port no-new-privileges
    no-proxy node-generic-resource node-generic-resources nri-opts oom-score-adjust proxies raw-logs
    registry-mirror registry-mirrors resolv-conf rootless runtimes seccomp-profile selinux-enabled
    storage-opt storage-opts swarm-default-advertise-addr swarm-raft-election-tick swarm-raft-heartbeat-tick
    tls tlscacert tlscert tlskey tlsverify userland-proxy userland-proxy-path userns-remap
"""

UNSUPPORTED = frozenset(_DOCKERD_ONLY.split())
"""Flags and keys of dockerd that are not done yet."""
