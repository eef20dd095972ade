"""Values of single flags of `create` and `run`: Docker's validation, in its words (ValueError)."""

from __future__ import annotations

import posix

from sampan.wire.units import ram_in_bytes

AF_INET, AF_INET6 = 2, 10
ULIMITS = frozenset(
    [
        "core",
        "cpu",
        "data",
        "fsize",
        "locks",
        "memlock",
        "msgqueue",
        "nice",
        "nofile",
        "nproc",
        "rss",
        "rtprio",
        "rttime",
        "sigpending",
        "stack",
    ]
)
SYSCTLS = frozenset(
    [
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.sem",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
        "kernel.shm_rmid_forced",
    ]
)
RATE = "invalid rate for device: {}. The correct format is <device-path>:<number>"


def environment(name: str) -> str | None:
    value = posix.environ.get(name.encode(errors="surrogateescape"))
    return None if value is None else value.decode(errors="surrogateescape")


def unsigned(text: str, bits: int) -> int:
    """strconv.ParseUint in base 10."""
    if not text or not text.isascii() or not text.isdigit():
        raise ValueError(f'strconv.ParseUint: parsing "{text}": invalid syntax')
    if int(text) >= 1 << bits:
        raise ValueError(f'strconv.ParseUint: parsing "{text}": value out of range')
    return int(text)


def integer(text: str) -> int:
    """strconv.ParseInt in base 10."""
    digits = text[1:] if text[:1] in ("-", "+") else text
    if not digits.isascii() or not digits.isdigit():
        raise ValueError(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    return int(text)


def stream(text: str) -> str:
    if text.lower() not in ("stdin", "stdout", "stderr"):
        raise ValueError("valid streams are STDIN, STDOUT and STDERR")
    return text.lower()


def env(text: str) -> str:
    """`A=b`, or `A` for the value that it has here. An unset `A` is passed on: it removes the image's."""
    name, equals, _ = text.partition("=")
    if not name:
        raise ValueError(f"invalid environment variable: {text}")
    value = None if equals else environment(name)
    return text if value is None else f"{name}={value}"


def label(text: str) -> str:
    if not text.partition("=")[0]:
        raise ValueError(f"invalid label '{text}': empty name")
    return text


def memory_swap(text: str) -> int:
    return -1 if text == "-1" else ram_in_bytes(text)


def cpus(text: str) -> int:
    """A number of CPUs, as a decimal or a fraction, in billionths."""
    numerator, slash, denominator = text.partition("/")
    try:
        top, scale = _decimal(numerator)
        bottom = int(denominator) if slash else 1
        if not bottom or (slash and (scale != 1 or not denominator.isdigit())):
            raise ValueError
    except ValueError:
        raise ValueError(f"failed to parse {text} as a rational number") from None
    billionths, rest = divmod(top * 1_000_000_000, scale * bottom)
    if rest:
        raise ValueError("value is too precise")
    return billionths


def _decimal(text: str) -> tuple[int, int]:
    """`-1.25e3` as a fraction."""
    mantissa, exponent, power = text.lower().partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = whole.lstrip("+-") + fraction
    if not digits.isascii() or not digits.isdigit() or len(whole) - len(whole.lstrip("+-")) > 1:
        raise ValueError
    shift = (int(power) if exponent else 0) - len(fraction)
    if abs(shift) > 400:
        raise ValueError
    number = int(digits) * (-1 if whole.startswith("-") else 1)
    return (number * 10**shift, 1) if shift >= 0 else (number, 10**-shift)


def ulimit(text: str) -> dict[str, object]:
    name, equals, limits = text.partition("=")
    if not equals:
        raise ValueError(f"invalid ulimit argument: {text}")
    if name not in ULIMITS:
        raise ValueError(f"invalid ulimit type: {name}")
    parts = limits.split(":")
    if len(parts) > 2:
        raise ValueError(f"too many limit value arguments - {limits}, can only have up to two, `soft[:hard]`")
    hard = integer(parts[-1])
    soft = integer(parts[0])
    order = "ulimit soft limit must be less than or equal to hard limit"
    if hard != -1 and soft == -1:
        raise ValueError(f"{order}: soft: -1 (unlimited), hard: {hard}")
    if hard != -1 and soft > hard:
        raise ValueError(f"{order}: {soft} > {hard}")
    return {"Name": name, "Hard": hard, "Soft": soft}


def _device_value(text: str) -> tuple[str, str]:
    path, colon, value = text.partition(":")
    if not colon or not path:
        raise ValueError(f"bad format: {text}")
    if not path.startswith("/dev/"):
        raise ValueError(f"bad format for device path: {text}")
    return path, value


def weight_device(text: str) -> dict[str, object]:
    path, value = _device_value(text)
    try:
        weight = unsigned(value, 16)
    except ValueError:
        weight = -1
    if weight and not 10 <= weight <= 1000:
        raise ValueError(f"invalid weight for device: {text}")
    return {"Path": path, "Weight": weight}


def bps_device(text: str) -> dict[str, object]:
    path, value = _device_value(text)
    try:
        return {"Path": path, "Rate": ram_in_bytes(value)}
    except ValueError:
        unit = "[<unit>]. Number must be a positive integer. Unit is optional and can be kb, mb, or gb"
        raise ValueError(RATE.format(text) + unit) from None


def iops_device(text: str) -> dict[str, object]:
    path, value = _device_value(text)
    try:
        return {"Path": path, "Rate": unsigned(value, 64)}
    except ValueError:
        raise ValueError(RATE.format(text) + ". Number must be a positive integer") from None


def device_rule(text: str) -> str:
    """`c 1:3 rwm` of the devices cgroup."""
    parts = text.split(" ")
    major, colon, minor = parts[1].partition(":") if len(parts) == 3 else ("", "", "")
    numbers = colon and all(
        number == "*" or (number.isascii() and number.isdigit()) for number in (major, minor)
    )
    if (
        not numbers
        or parts[0] not in ("a", "c", "b")
        or not 1 <= len(parts[2]) <= 3
        or set(parts[2]) - set("rwm")
    ):
        raise ValueError(f"invalid device cgroup format '{text}'")
    return text


def sysctl(text: str) -> str:
    name, equals, _ = text.partition("=")
    if equals and (name in SYSCTLS or name.startswith(("net.", "fs.mqueue."))):
        return text
    raise ValueError(f"sysctl '{text}' is not allowed")


def link(text: str) -> str:
    if not text:
        raise ValueError("empty string specified for links")
    if text.count(":") > 1:
        raise ValueError(f"bad format for links: {text}")
    return text


def address(text: str) -> str:
    """An IP address in its canonical form."""
    import _socket

    trimmed = text.strip()
    for family in (AF_INET, AF_INET6):
        try:
            return _socket.inet_ntop(family, _socket.inet_pton(family, trimmed))
        except OSError:
            pass
    raise ValueError(f"IP address is not correctly formatted: {text}")


def is_address(text: str) -> bool:
    try:
        address(text)
    except ValueError:
        return False
    return text == text.strip()


def domain(text: str) -> str:
    """A search domain; `.` means none."""
    trimmed = text.strip(" ")
    if trimmed == ".":
        return trimmed
    labels = trimmed.removesuffix(".").split(".")
    valid = (
        all(map(_is_domain_label, labels))
        and len(trimmed) < 255
        and any(character.isalpha() for character in trimmed)
    )
    if not valid:
        raise ValueError(f"{text} is not a valid domain")
    return trimmed.removesuffix(".") if trimmed.endswith(".") else trimmed


def _is_domain_label(text: str) -> bool:
    inner = text.replace("-", "a").replace(":", "a")
    return bool(text) and inner.isascii() and inner.isalnum() and text[0] != "-" and text[-1] != "-"


def extra_host(text: str) -> str:
    """`name=address` or `name:address`, in the form that the engine reads."""
    name, separator, target = text.partition("=")
    if not separator:
        name, separator, target = text.partition(":")
    if not separator or not name or ":" in name:
        raise ValueError(f'bad format for add-host: "{text}"')
    if target != "host-gateway":
        if len(target) > 2 and target[0] == "[" and target[-1] == "]":
            target = target[1:-1]
        if not is_address(target):
            raise ValueError(f'invalid IP address in add-host: "{target}"')
    return f"{name}:{target}"


def is_mac_address(text: str) -> bool:
    parts = text.replace("-", ":").split(":")
    digits = frozenset("0123456789abcdefABCDEF")
    return len(parts) in (6, 8, 20) and all(len(part) == 2 and set(part) <= digits for part in parts)


def gpus(text: str) -> dict[str, object]:
    """A request for GPUs: `all`, a count, or fields `device=…,capabilities=…`."""
    request: dict[str, object] = {
        "Driver": "",
        "Count": 0,
        "DeviceIDs": None,
        "Capabilities": None,
        "Options": {},
    }
    seen = set()
    from sampan.cli.containers.fields import split_fields

    for field in split_fields(text):
        key, equals, value = field.partition("=")
        if key in seen:
            raise ValueError(f"gpu request key '{key}' can be specified only once")
        seen |= {key} if equals else {key, "count"}
        if not equals or key == "count":
            request["Count"] = _gpu_count(value if equals else key)
        elif key == "driver":
            request["Driver"] = value
        elif key == "device":
            request["DeviceIDs"] = value.split(",")
        elif key == "capabilities":
            request["Capabilities"] = [[*value.split(","), "gpu"]]
        elif key == "options":
            request["Options"] = dict(option.partition("=")[::2] for option in split_fields(value))
        else:
            raise ValueError(f"unexpected key '{key}' in '{field}'")
    if "count" not in seen and request["DeviceIDs"] is None:
        request["Count"] = 1
    if request["Capabilities"] is None:
        request["Capabilities"] = [["gpu"]]
    return request


def _gpu_count(text: str) -> int:
    if text == "all":
        return -1
    try:
        return integer(text)
    except ValueError:
        raise ValueError(
            f'invalid count ({text}): value must be either "all" or an integer: invalid syntax'
        ) from None
