"""Credentials of registries, where Docker's command line keeps them: config.json and credential helpers.

Owns the file and the helpers' protocol (docker/docker-credential-helpers). Shared with Docker on purpose: who
has logged in there need not do it again. Secrets go by pipes and headers, never by arguments.
"""

from __future__ import annotations

import posix
from binascii import a2b_base64, b2a_base64

from sampan.cli.context import environment
from sampan.cli.failure import Failure, path_failure
from sampan.wire.jsontext import decode, encode

HUB = "https://index.docker.io/v1/"
TOKEN_USER = "<token>"
ABSENT = "credentials not found in native keychain"


def key_of(domain: str) -> str:
    """What a registry is called in config.json."""
    return HUB if domain in ("", "docker.io", "index.docker.io", "registry-1.docker.io") else domain


def header(domain: str) -> tuple[str, ...]:
    """The header line with what is known for a registry; none if nobody has logged in there."""
    found = find(key_of(domain))
    if found is None:
        return ()
    text = b2a_base64(encode(found), newline=False).decode().replace("+", "-").replace("/", "_")
    return (f"X-Registry-Auth: {text}",)


def find(key: str) -> dict[str, str] | None:
    """Docker's AuthConfig for a registry."""
    config = _load()
    helper = _helper(config, key)
    if helper:
        return _from_helper(helper, key)
    auths = config.get("auths")
    entry = auths.get(key) if isinstance(auths, dict) else None
    if not isinstance(entry, dict):
        return None
    found = {name: str(entry[name]) for name in ("identitytoken", "registrytoken") if entry.get(name)}
    if entry.get("auth"):
        username, _, password = a2b_base64(str(entry["auth"])).decode(errors="replace").partition(":")
        found |= {"username": username, "password": password.rstrip("\0")}
    return found | {"serveraddress": key} if found else None


def store(key: str, username: str, password: str) -> None:
    """Keep what a registry has taken."""
    config = _load()
    helper = _helper(config, key)
    if helper:
        document = {"ServerURL": key, "Username": username, "Secret": password}
        _call(helper, "store", encode(document))
        return
    auths = config.setdefault("auths", {})
    if not isinstance(auths, dict):
        raise Failure(f"{_path()}: auths is not an object")
    text = b2a_base64(f"{username}:{password}".encode(), newline=False).decode()
    auths[key] = {"auth": text}
    _save(config)


def erase(key: str) -> bool:
    """Forget it; whether there was anything."""
    config = _load()
    helper = _helper(config, key)
    if helper:
        _call(helper, "erase", key.encode())
        return True
    auths = config.get("auths")
    if not isinstance(auths, dict) or key not in auths:
        return False
    del auths[key]
    _save(config)
    return True


# --- the file ---


def _path() -> str:
    folder = environment("DOCKER_CONFIG") or f"{environment('HOME') or '/root'}/.docker"
    return f"{folder}/config.json"


def _load() -> dict[str, object]:
    try:
        descriptor = posix.open(_path(), posix.O_RDONLY | posix.O_CLOEXEC)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise path_failure("open", _path(), error) from None
    data = b""
    try:
        while block := posix.read(descriptor, 65536):
            data += block
    finally:
        posix.close(descriptor)
    try:
        document = decode(data) if data.strip() else {}
    except ValueError:
        raise Failure(f"{_path()}: invalid JSON") from None
    if not isinstance(document, dict):
        raise Failure(f"{_path()}: not a JSON object")
    return document


def _save(config: dict[str, object]) -> None:
    """Replaced whole, readable by its owner alone."""
    path = _path()
    folder = path.rpartition("/")[0]
    beside = f"{path}.{posix.getpid()}.tmp"
    try:
        try:
            posix.mkdir(folder, 0o700)
        except FileExistsError:
            pass
        flags = posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_CLOEXEC
        descriptor = posix.open(beside, flags, 0o600)
        try:
            posix.write(descriptor, encode(config))
        finally:
            posix.close(descriptor)
        posix.rename(beside, path)
    except OSError as error:
        raise path_failure("write", path, error) from None


# --- helpers ---


def _helper(config: dict[str, object], key: str) -> str:
    helpers = config.get("credHelpers")
    own = helpers.get(key) if isinstance(helpers, dict) else None
    return str(own or config.get("credsStore") or "")


def _from_helper(helper: str, key: str) -> dict[str, str] | None:
    try:
        document = decode(_call(helper, "get", key.encode()))
    except Failure as failure:
        if ABSENT in failure.message:
            return None
        raise
    if not isinstance(document, dict) or not document.get("Secret"):
        return None
    user, secret = str(document.get("Username", "")), str(document["Secret"])
    if user == TOKEN_USER:
        return {"identitytoken": secret, "serveraddress": key}
    return {"username": user, "password": secret, "serveraddress": key}


def _call(helper: str, verb: str, data: bytes) -> bytes:
    import subprocess

    program = f"docker-credential-{helper}"
    try:
        done = subprocess.run([program, verb], input=data, capture_output=True, check=False)
    except OSError as error:
        raise Failure(f"error getting credentials - {program}: {error.strerror}") from None
    if done.returncode != 0:
        raise Failure(f"error getting credentials - err: {done.stdout.decode(errors='replace').strip()}")
    return done.stdout
