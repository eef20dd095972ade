"""Pulls from a registry that breaks, lies or asks who is there: all of an image comes, or nothing of it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from sampan import errors
from sampan.images import pulling
from sampan.images.pulling import Puller
from sampan.images.store import ImageStore
from sampan.records import replace
from sampan.registry.client import RegistryClient
from sampan.registry.credentials import NOBODY, Credentials, parse_challenge, parse_header
from sampan.registry.manifests import Platform
from sampan.wire import reference
from tests.busybox import busybox_rootfs_tar
from tests.engines import EngineProcess, sampan_engine
from tests.registry.fake import INDEX, FakeRegistry, digest

pytestmark = pytest.mark.root

USER = Credentials("user", "secret")
BIG = os.urandom(300_000)


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    registry = FakeRegistry()
    yield registry
    registry.close()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ImageStore]:
    store = ImageStore(str(tmp_path / "data"))
    yield store
    store.close()


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulling, "_FIRST_PAUSE", 0)


def pull(
    registry: FakeRegistry, store: ImageStore, tag: str = "1", credentials: Credentials = NOBODY
) -> list[str]:
    """Pull `proj/box`; returns the lines about the whole image."""
    name = reference.parse(f"{registry.host}/proj/box")
    name = replace(name, digest=tag) if tag.startswith("sha256:") else name.with_tag(tag)
    puller = Puller(RegistryClient(registry.host, credentials), name)
    image = puller.resolve(Platform("linux", "amd64"))
    return [str(line["status"]) for line in store.pull(image, puller)]


def is_empty(store: ImageStore, tmp_path: Path) -> bool:
    left = [entry for _, _, files in os.walk(tmp_path / "data/content") for entry in files]
    return store.count() == 0 and not left and not os.listdir(tmp_path / "data/layers/overlay2/layers")


def test_an_image_comes_and_is_not_fetched_twice(registry: FakeRegistry, store: ImageStore) -> None:
    top = registry.add_image("1", {"etc/a": b"1"}, {"etc/b": BIG})
    lines = pull(registry, store)
    assert lines[-2:] == [f"Digest: {top}", f"Status: Downloaded newer image for {registry.host}/proj/box:1"]
    image = store.resolve(f"{registry.host}/proj/box:1")
    assert image.repo_digests == (f"{registry.host}/proj/box@{top}",)
    registry.requests.clear()
    lines = pull(registry, store)
    assert lines == ["Already exists"] * 2 + [
        f"Digest: {top}",
        f"Status: Image is up to date for {registry.host}/proj/box:1",
    ]
    assert sum("/blobs/" in path for path, _ in registry.requests) == 1  # the configuration
    assert pull(registry, store, top)[-1].startswith("Status: ")


@pytest.mark.parametrize("does_parts", [True, False])
def test_a_broken_connection_is_gone_on_with(
    registry: FakeRegistry, store: ImageStore, does_parts: bool
) -> None:
    registry.add_image("1", {"big": BIG})
    registry.cut_after, registry.does_parts = 1000, does_parts
    assert "Pull complete" in pull(registry, store)


def test_an_index_gives_the_platforms_image(registry: FakeRegistry, store: ImageStore) -> None:
    other = registry.add_image("other", {"a": b"arm"})
    wanted = registry.add_image("wanted", {"a": b"amd"})
    entries = [
        {"digest": found, "size": 1, "platform": {"os": "linux", "architecture": architecture}}
        for found, architecture in ((other, "arm64"), (wanted, "amd64"))
    ]
    top = registry.add_manifest("1", {"manifests": entries}, INDEX)
    assert f"Digest: {top}" in pull(registry, store)
    registry.add_manifest("2", {"manifests": entries[:1]}, INDEX)
    with pytest.raises(errors.NotFound, match="no matching manifest for linux/amd64"):
        pull(registry, store, "2")


@pytest.mark.parametrize("scheme", ["basic", "bearer"])
def test_who_is_asking(registry: FakeRegistry, store: ImageStore, scheme: str) -> None:
    registry.add_image("1", {"a": b"1"})
    registry.auth = scheme
    assert "Pull complete" in pull(registry, store, credentials=USER)
    asked = [path for path, _ in registry.requests if path.startswith("/token")]
    assert all("scope=repository%3Aproj%2Fbox%3Apull" in path for path in asked)
    if scheme == "basic":
        with pytest.raises(errors.NotFound, match="may require 'docker login'"):
            pull(registry, store)
    RegistryClient(registry.host, USER).check()


def test_credentials_stay_with_their_registry(registry: FakeRegistry, store: ImageStore) -> None:
    elsewhere = FakeRegistry()
    try:
        registry.add_image("1", {"a": b"1"})
        elsewhere.blobs = registry.blobs
        registry.auth, registry.redirect = "basic", f"http://{elsewhere.host}"
        assert "Pull complete" in pull(registry, store, credentials=USER)
        assert elsewhere.requests and all(sent == "" for _, sent in elsewhere.requests)
    finally:
        elsewhere.close()
    assert "secret" not in repr(USER)


def test_lies_leave_nothing(registry: FakeRegistry, store: ImageStore, tmp_path: Path) -> None:
    registry.add_image("1", {"a": b"1"}, {"b": BIG})
    good = dict(registry.blobs)
    layer = next(name for name, data in good.items() if len(data) > 100_000)
    for lie, told in (
        (b"x" * len(good[layer]), "verification failed"),
        (good[layer] + b"more", "longer than announced"),
        (good[layer][:-5], "unexpected EOF"),
    ):
        registry.blobs = good | {layer: lie}
        with pytest.raises(errors.SampanError, match=told):
            pull(registry, store)
        assert is_empty(store, tmp_path)
    registry.blobs = good
    kind, data = registry.manifests["1"]
    registry.manifests[digest(data)] = (kind, data + b" ")
    with pytest.raises(errors.SampanError, match="manifest verification failed"):
        pull(registry, store, digest(data))
    registry.add_manifest("2", {"manifests": [], "layers": [], "config": {}}, INDEX)
    with pytest.raises(errors.InvalidArgument, match="either an image or an index"):
        pull(registry, store, "2")
    other = registry.add_image("3", {"a": b"3"})
    document = registry.manifests[other][1].replace(b'"layers"', b'"x": 1, "layers"')
    registry.manifests["3"] = (kind, document)
    registry.redirect = f"http://{registry.host}"
    with pytest.raises(errors.SampanError, match="redirects"):
        pull(registry, store, "3")
    registry.status = 429
    with pytest.raises(errors.Unavailable):
        pull(registry, store)
    assert is_empty(store, tmp_path)


def test_words_for_what_is_not_there(registry: FakeRegistry, store: ImageStore) -> None:
    name = f"{registry.host}/proj/box:nope"
    with pytest.raises(errors.NotFound, match=f"manifest for {name} not found: manifest unknown"):
        pull(registry, store, "nope")
    host = registry.host
    registry.close()
    with pytest.raises(
        errors.SampanError, match=f'Get "http://{host}/v2/": dial tcp {host}: connect: connection refused'
    ):
        RegistryClient(host).check()


def test_forms_of_credentials() -> None:
    assert parse_header("") == NOBODY
    assert parse_header("eyJ1c2VybmFtZSI6InVzZXIiLCJwYXNzd29yZCI6InNlY3JldCJ9") == USER
    assert parse_header("eyJhdXRoIjoiZFhObGNqcHpaV055WlhRPSJ9") == USER
    for text in ("!", "W10=", "bm8="):
        with pytest.raises(errors.InvalidArgument):
            parse_header(text)
    found = parse_challenge('Bearer realm="https://x/token", service="a,b" ,scope=c')
    assert (found.scheme, found.parameters["service"], found.parameters["scope"]) == ("bearer", "a,b", "c")
    for text in ("", "Bearer", 'Bearer realm="x', "Negotiate =,="):
        parse_challenge(text)


@pytest.mark.xdist_group("pull")
def test_the_real_registry_and_both_clients(tmp_path: Path) -> None:
    engine = sampan_engine(tmp_path / "engine")
    config = tmp_path / "registry.yml"
    storage = f"storage: {{filesystem: {{rootdirectory: {tmp_path}/registry}}}}"
    config.write_text(f"version: 0.1\n{storage}\nhttp: {{addr: '127.0.0.1:5055'}}\nlog: {{level: error}}\n")
    server: subprocess.Popen[bytes] | None = None
    try:
        engine.launch()
        server = subprocess.Popen(engine.in_netns("docker-registry", "serve", str(config)))
        tar = tmp_path / "rootfs.tar"
        tar.write_bytes(busybox_rootfs_tar())
        assert engine.docker("import", "-c", 'CMD ["echo", "pulled"]', str(tar), "box:1").returncode == 0
        assert engine.docker("save", "-o", str(tmp_path / "box.tar"), "box:1").returncode == 0
        assert engine.docker("rmi", "box:1").returncode == 0
        name = "127.0.0.1:5055/lib/box:1"
        copy = [
            "skopeo",
            "copy",
            "--dest-tls-verify=false",
            "--retry-times",
            "9",
            f"docker-archive:{tmp_path}/box.tar",
        ]
        subprocess.run(engine.in_netns(*copy, f"docker://{name}"), check=True, capture_output=True)
        check_clients(engine, name)
        check_login(engine, tmp_path)
    finally:
        if server is not None:
            server.kill()
            server.wait()
        engine.close()


def check_clients(engine: EngineProcess, name: str) -> None:
    pulled = engine.docker("pull", name)
    assert pulled.returncode == 0, pulled.stderr
    lines = pulled.stdout.splitlines()
    assert lines[0] == "1: Pulling from lib/box" and lines[1].endswith(": Pulling fs layer")
    assert lines[-2] == f"Status: Downloaded newer image for {name}" and lines[-1] == name
    assert engine.docker("run", "--rm", name).stdout == "pulled\n"
    assert engine.docker("rmi", name).returncode == 0
    ran = engine.sampan("run", "--rm", name)
    assert ran.stdout == "pulled\n" and "Unable to find image" in ran.stderr
    assert engine.sampan("pull", "-q", name).stdout == f"{name}\n"

    for cli in (engine.docker, engine.sampan):
        done = cli("pull", "127.0.0.1:5055/lib/box:nope")
        assert done.returncode == 1 and "not found: manifest unknown" in done.stderr


def check_login(engine: EngineProcess, tmp_path: Path) -> None:
    """One file of credentials serves both clients; nothing is kept that no registry has taken."""
    file = tmp_path / "docker/config.json"
    home = {"env": os.environ | {"DOCKER_CONFIG": str(tmp_path / "docker")}}
    refused = engine.sampan("login", "-u", "user", "-p", "secret", "127.0.0.1:1", **home)
    assert refused.returncode == 1 and "connection refused" in refused.stderr
    assert "secret" not in refused.stderr and not file.exists()
    login = ["login", "-u", "user", "--password-stdin", "127.0.0.1:5055"]
    done = engine.sampan(*login, input="secret\n", **home)
    assert done.stdout == "Login Succeeded\n" and file.stat().st_mode & 0o077 == 0
    assert json.loads(file.read_text()) == {"auths": {"127.0.0.1:5055": {"auth": "dXNlcjpzZWNyZXQ="}}}
    assert engine.docker("pull", "-q", "127.0.0.1:5055/lib/box:1", **home).returncode == 0
    assert engine.sampan("pull", "-q", "127.0.0.1:5055/lib/box:1", **home).returncode == 0
    assert engine.docker("logout", "127.0.0.1:5055", **home).returncode == 0
    assert "dXNlcjpzZWNyZXQ=" not in file.read_text()
    assert engine.docker(*login, input="secret", **home).stdout.endswith("Login Succeeded\n")
    assert engine.sampan("logout", "127.0.0.1:5055", **home).stdout.startswith("Removing login credentials")
    assert json.loads(file.read_text())["auths"] == {}
