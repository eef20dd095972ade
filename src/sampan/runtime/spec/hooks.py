"""`hooks` of config.json: programs that run at fixed points of a container's life."""

from __future__ import annotations

from sampan.records import dataclass
from sampan.runtime.spec.fields import Fields


@dataclass(frozen=True, slots=True)
class Hook:
    """`timeout` in seconds; None: wait for ever. No `args` means: the path alone; no `env`: what there is."""

    path: str
    args: tuple[str, ...] = ()
    env: tuple[str, ...] | None = None
    timeout: int | None = None


@dataclass(frozen=True, slots=True)
class Hooks:
    """In the order of a container's life. `prestart` is deprecated, and runs before `create_runtime`."""

    prestart: tuple[Hook, ...] = ()
    create_runtime: tuple[Hook, ...] = ()
    create_container: tuple[Hook, ...] = ()
    start_container: tuple[Hook, ...] = ()
    poststart: tuple[Hook, ...] = ()
    poststop: tuple[Hook, ...] = ()


def parse_hooks(fields: Fields) -> Hooks:
    keys = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")
    return Hooks(*(tuple(_hook(entry) for entry in fields.children(key)) for key in keys))


def _hook(fields: Fields) -> Hook:
    path = fields.string("path")
    if not path.startswith("/"):
        raise fields.fail("path", "must be absolute")
    has_env = fields.document.get("env") is not None
    env = fields.strings("env") if has_env else None
    return Hook(path, fields.strings("args"), env, fields.integer("timeout", 1))
