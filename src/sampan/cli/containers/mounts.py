"""The `--mount` and `--volume` flags."""

from __future__ import annotations

from sampan.cli.containers.fields import split_fields
from sampan.cli.flags import parse_bool
from sampan.wire.units import ram_in_bytes

KEYS = {"src": "source", "dst": "target", "destination": "target", "ro": "readonly"}
FAMILIES = {
    "volume": "VolumeOptions",
    "bind": "BindOptions",
    "tmpfs": "TmpfsOptions",
    "image": "ImageOptions",
}


def parse_mount(text: str) -> dict[str, object]:
    """`type=bind,source=/a,target=/b,readonly` as the API's Mount. Raises ValueError in Docker's words."""
    mount: dict[str, object] = {"Type": "volume"}
    for field in split_fields(text):
        key, equals, value = field.partition("=")
        key = key.lower()
        if not equals:
            if KEYS.get(key, key) == "readonly":
                mount["ReadOnly"] = True
                continue
            if key == "volume-nocopy":
                _options(mount, "volume")["NoCopy"] = True
                continue
            raise ValueError(f"invalid field '{field}' must be a key=value pair")
        _set(mount, KEYS.get(key, key), key, value, field)
    return _checked(mount)


def _options(mount: dict[str, object], family: str) -> dict[str, object]:
    found = mount.setdefault(FAMILIES[family], {})
    assert isinstance(found, dict)
    return found


def _set(mount: dict[str, object], key: str, written: str, value: str, field: str) -> None:
    match key:
        case "type":
            mount["Type"] = value.lower()
        case "source":
            mount["Source"] = absolute(value) if value.startswith(".") else value
        case "target":
            mount["Target"] = value
        case "readonly":
            mount["ReadOnly"] = _bool(written, value)
        case "consistency":
            mount["Consistency"] = value.lower()
        case "bind-propagation":
            _options(mount, "bind")["Propagation"] = value.lower()
        case "bind-nonrecursive":
            _options(mount, "bind")["NonRecursive"] = _bool(written, value)
        case "bind-recursive":
            _recursive(mount, value)
        case "tmpfs-size" | "tmpfs-mode":
            _tmpfs(mount, key, value)
        case "image-subpath":
            _options(mount, "image")["Subpath"] = value
        case _ if key.startswith("volume-"):
            _volume(mount, key, value, field)
        case _:
            raise ValueError(f"unexpected key '{key}' in '{field}'")


def _bool(key: str, value: str) -> bool:
    try:
        return parse_bool(value)
    except ValueError:
        raise ValueError(f"invalid value for {key}: {value}") from None


def _recursive(mount: dict[str, object], value: str) -> None:
    names = {
        "disabled": "NonRecursive",
        "writable": "ReadOnlyNonRecursive",
        "readonly": "ReadOnlyForceRecursive",
    }
    if value in names:
        _options(mount, "bind")[names[value]] = True
    elif value != "enabled":
        raise ValueError(
            f"invalid value for bind-recursive: {value} "
            '(must be "enabled", "disabled", "writable", or "readonly")'
        )


def _tmpfs(mount: dict[str, object], key: str, value: str) -> None:
    options = _options(mount, "tmpfs")
    try:
        if key == "tmpfs-size":
            options["SizeBytes"] = ram_in_bytes(value)
        else:
            options["Mode"] = int(value, 8)
    except ValueError:
        raise ValueError(f"invalid value for {key}: {value}") from None


def _volume(mount: dict[str, object], key: str, value: str, field: str) -> None:
    options = _options(mount, "volume")
    name, _, content = value.partition("=")
    match key:
        case "volume-subpath":
            options["Subpath"] = value
        case "volume-nocopy":
            options["NoCopy"] = _bool(key, value)
        case "volume-label":
            options["Labels"] = {**_mapping(options.get("Labels")), name: content}
        case "volume-driver":
            options["DriverConfig"] = {**_mapping(options.get("DriverConfig")), "Name": value}
        case "volume-opt":
            driver = _mapping(options.get("DriverConfig"))
            driver["Options"] = {**_mapping(driver.get("Options")), name: content}
            options["DriverConfig"] = driver
        case _:
            raise ValueError(f"unexpected key '{key}' in '{field}'")


def _mapping(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}


def _checked(mount: dict[str, object]) -> dict[str, object]:
    kind = mount["Type"]
    if not kind:
        raise ValueError("type is required")
    if not mount.get("Target"):
        raise ValueError("target is required")
    for family, name in FAMILIES.items():
        if name in mount and kind != family:
            raise ValueError(f"cannot mix '{family}-*' options with mount type '{kind}'")
    bind = _mapping(mount.get("BindOptions"))
    for value, name in (("writable", "ReadOnlyNonRecursive"), ("readonly", "ReadOnlyForceRecursive")):
        option = f"option 'bind-recursive={value}' requires"
        if bind.get(name) and not mount.get("ReadOnly"):
            raise ValueError(f"{option} 'readonly' to be specified in conjunction")
        if value == "readonly" and bind.get(name) and bind.get("Propagation") != "rprivate":
            raise ValueError(f"{option} 'bind-propagation=rprivate' to be specified in conjunction")
    return mount


def absolute(path: str) -> str:
    """The path from the root, without `.` and `..`, as filepath.Abs."""
    import posix

    whole = path if path.startswith("/") else f"{posix.getcwd()}/{path}"
    parts: list[str] = []
    for part in whole.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    return "/" + "/".join(parts)


def volume_source(spec: str) -> bool:
    """Whether `-v` names a source: a folder or a volume. What it means is the engine's matter."""
    if len(spec) <= 2:
        return False
    # A single letter in front of the colon is a Windows drive to Docker's parser, and part of the path.
    return spec.find(":", 2 if spec[0].isalpha() and spec[1] == ":" else 0) > 0


def bind(spec: str) -> str:
    """A `-v` with a source, with `./x` made absolute."""
    host, _, rest = spec.partition(":")
    if host == "." or host.startswith("./"):
        return f"{absolute(host)}:{rest}"
    return spec
