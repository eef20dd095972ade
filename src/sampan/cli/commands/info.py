"""`info`, `system info`: the engine and its machine."""

from __future__ import annotations

from sampan.cli.commands.version import client_version
from sampan.cli.context import Context
from sampan.cli.failure import ConnectFailure, Failure
from sampan.cli.flags import Command, Options
from sampan.cli.inspecting import FORMAT_HELP, USAGE_STATUS
from sampan.wire.units import bytes_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    Info = Mapping[str, object]


def run(context: Context, options: Options, arguments: list[str]) -> int:
    form = options.text("format")
    failure: Failure | None = None
    info: dict[str, object] = {}
    try:
        found = context.engine.get("/info")
        assert isinstance(found, dict)
        info = found
    except Failure as error:
        if isinstance(error, ConnectFailure) and form:
            raise
        failure = error
    client = client_version(context.engine.version)
    if form:
        _print_template(context, form, info | {"ClientInfo": client | {"Debug": context.debug}})
        return 0
    lines = ["Client:", f" Version:    {client['Version']}", " Context:    default"]
    lines += [f" Debug Mode: {_word(context.debug)}", "", "Server:"]
    if failure is None:
        lines += [*_containers(info), *_engine(info), *_machine(info), *_registries(info), ""]
    context.out("\n".join(lines) + "\n")
    for warning in _list(info, "Warnings"):
        context.error(str(warning))
    if failure is not None:
        raise Failure(f"{failure.message}\nerrors pretty printing info")
    return 0


def _word(value: object) -> str:
    return "true" if value else "false"


def _list(info: Info, name: str) -> list[object]:
    value = info.get(name)
    return value if isinstance(value, list) else []


def _map(info: Info, name: str) -> dict[str, object]:
    value = info.get(name)
    return value if isinstance(value, dict) else {}


def _present(info: Info, *names: tuple[str, str]) -> list[str]:
    """Lines for what the engine says something about."""
    return [f" {title}: {info[key]}" for title, key in names if info.get(key)]


def _joined(values: object) -> str:
    return " ".join(map(str, values)) if isinstance(values, list) else ""


def _containers(info: Info) -> list[str]:
    lines = [f" Containers: {info.get('Containers', 0)}"]
    lines += [f"  {word}: {info.get('Containers' + word, 0)}" for word in ("Running", "Paused", "Stopped")]
    lines.append(f" Images: {info.get('Images', 0)}")
    return lines


def _engine(info: Info) -> list[str]:
    lines = _present(info, ("Server Version", "ServerVersion"), ("Storage Driver", "Driver"))
    lines += [f"  {pair[0]}: {pair[1]}" for pair in _list(info, "DriverStatus") if isinstance(pair, list)]
    lines += _present(
        info,
        ("Logging Driver", "LoggingDriver"),
        ("Cgroup Driver", "CgroupDriver"),
        ("Cgroup Version", "CgroupVersion"),
    )
    plugins = _map(info, "Plugins")
    lines += [" Plugins:", f"  Volume: {_joined(plugins.get('Volume'))}"]
    lines.append(f"  Network: {_joined(plugins.get('Network'))}")
    if plugins.get("Authorization"):
        lines.append(f"  Authorization: {_joined(plugins['Authorization'])}")
    lines.append(f"  Log: {_joined(plugins.get('Log'))}")
    directories = _list(info, "CDISpecDirs")
    if directories:
        lines += [" CDI spec directories:", *(f"  {directory}" for directory in directories)]
    lines.append(f" Swarm: {_map(info, 'Swarm').get('LocalNodeState', '')}")
    runtimes = _map(info, "Runtimes")
    if runtimes:
        lines.append(f" Runtimes: {' '.join(sorted(runtimes))}")
        lines.append(f" Default Runtime: {info.get('DefaultRuntime', '')}")
    lines.append(f" Init Binary: {info.get('InitBinary', '')}")
    for title, key in (("containerd", "ContainerdCommit"), ("runc", "RuncCommit"), ("init", "InitCommit")):
        lines.append(f" {title} version: {_map(info, key).get('ID', '')}")
    return lines + _security(info)


def _security(info: Info) -> list[str]:
    """`name=seccomp,profile=default` as a line and an indented one."""
    options = _list(info, "SecurityOptions")
    lines = [" Security Options:"] if options else []
    for option in options:
        pairs = [part.partition("=")[::2] for part in str(option).split(",")]
        for key, value in pairs:
            if key == "name":
                lines.append(f"  {value}")
            else:
                lines.append(f"   {'Profile' if key == 'profile' else key}: {value}")
    return lines


def _machine(info: Info) -> list[str]:
    lines = _present(
        info,
        ("Kernel Version", "KernelVersion"),
        ("Operating System", "OperatingSystem"),
        ("OSType", "OSType"),
        ("Architecture", "Architecture"),
    )
    memory = info.get("MemTotal", 0)
    lines.append(f" CPUs: {info.get('NCPU', 0)}")
    lines.append(f" Total Memory: {bytes_size(memory if isinstance(memory, int) else 0)}")
    lines += _present(info, ("Name", "Name"), ("ID", "ID"))
    lines.append(f" Docker Root Dir: {info.get('DockerRootDir', '')}")
    lines.append(f" Debug Mode: {_word(info.get('Debug'))}")
    if info.get("Debug"):
        lines.append(f"  File Descriptors: {info.get('NFd', 0)}")
        lines.append(f"  Goroutines: {info.get('NGoroutines', 0)}")
        lines.append(f"  System Time: {info.get('SystemTime', '')}")
        lines.append(f"  EventsListeners: {info.get('NEventsListener', 0)}")
    lines += _present(
        info, ("HTTP Proxy", "HttpProxy"), ("HTTPS Proxy", "HttpsProxy"), ("No Proxy", "NoProxy")
    )
    labels = _list(info, "Labels")
    if labels:
        lines += [" Labels:", *(f"  {label}" for label in labels)]
    lines.append(f" Experimental: {_word(info.get('ExperimentalBuild'))}")
    return lines


def _registries(info: Info) -> list[str]:
    registries = _map(info, "RegistryConfig")
    networks = _list(registries, "InsecureRegistryCIDRs")
    indexes = _map(registries, "IndexConfigs")
    lines = []
    if networks or indexes:
        lines.append(" Insecure Registries:")
        lines += [
            f"  {index.get('Name', '')}"
            for index in indexes.values()
            if isinstance(index, dict) and not index.get("Secure")
        ]
        lines += [f"  {network}" for network in networks]
    mirrors = _list(registries, "Mirrors")
    if mirrors:
        lines += [" Registry Mirrors:", *(f"  {mirror}" for mirror in mirrors)]
    lines.append(f" Live Restore Enabled: {_word(info.get('LiveRestoreEnabled'))}")
    return lines + _present(info, ("Product License", "ProductLicense"))


def _print_template(context: Context, form: str, document: dict[str, object]) -> None:
    from sampan.cli.templates import TemplateError, compile_template, run_template
    from sampan.cli.typed.decode import struct

    try:
        template = compile_template("{{json .}}" if form == "json" else form)
    except TemplateError as error:
        raise Failure(f"template parsing error: {error}", USAGE_STATUS) from None
    try:
        context.line(run_template(template, struct("system.dockerInfo", document)))
    except TemplateError as error:
        context.line(error.output)
        raise Failure(str(error)) from None


COMMAND = Command(
    "[OPTIONS]",
    "Display system-wide information",
    run,
    aliases=("system info", "info"),
    flags=(("format", "f", "string", FORMAT_HELP),),
    maximum=0,
)
