"""`docker save` and `docker load`: both of Docker's archives, OCI layouts, and archives from an enemy."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import json
import lzma
import os
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard

from sampan import errors
from sampan.images.store import ImageStore
from sampan.wire import digest
from tests.images.small_disk import small_disk
from tests.images.tars import Member, file, folder, hardlink, symlink, tar
from tests.images.test_store import files_of, nobody

pytestmark = pytest.mark.root

BASE, TOP = tar(file("a", b"base"), folder("d")), tar(file("a", b"top"), file(".wh.d"))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ImageStore]:
    store = ImageStore(str(tmp_path))
    yield store
    store.close()


def load(store: ImageStore, archive: bytes) -> str:
    return "".join(one["stream"] for one in store.load(io.BytesIO(archive), quiet=True))


def configuration(*layers: bytes, **more: Any) -> bytes:
    document = {
        "architecture": "amd64",
        "os": "linux",
        "created": "2024-01-01T00:00:00Z",
        "config": {"Cmd": ["sh"]},
        "rootfs": {"type": "layers", "diff_ids": [digest.of_bytes(layer) for layer in layers]},
        "history": [{"created_by": f"layer {number}"} for number, _ in enumerate(layers)],
        **more,
    }
    return json.dumps(document).encode()


def old_archive(config: bytes, layers: dict[str, bytes], tags: list[str] | None, **more: Any) -> list[Member]:
    """An archive as Docker wrote it before 25."""
    name = f"{digest.of_bytes(config)[7:]}.json"
    item = {"Config": name, "RepoTags": tags, "Layers": list(layers), **more}
    return [
        file(name, config),
        *(file(path, data) for path, data in layers.items()),
        file("manifest.json", json.dumps([item]).encode()),
    ]


class Layout:
    """An OCI image layout under construction."""

    def __init__(self) -> None:
        self.members: list[Member] = [file("oci-layout", b'{"imageLayoutVersion":"1.0.0"}')]

    def blob(self, data: bytes, media_type: str, **more: Any) -> dict[str, Any]:
        self.members.append(file(f"blobs/sha256/{hashlib.sha256(data).hexdigest()}", data))
        return {"mediaType": media_type, "digest": digest.of_bytes(data), "size": len(data), **more}

    def image(
        self, *layers: bytes, compress: Callable[[bytes], bytes] = bytes, **more: Any
    ) -> dict[str, Any]:
        config = self.blob(configuration(*layers), "application/vnd.oci.image.config.v1+json")
        blobs = [self.blob(compress(one), "application/vnd.oci.image.layer.v1.tar+gzip") for one in layers]
        manifest = {"schemaVersion": 2, "config": config, "layers": blobs}
        return self.blob(json.dumps(manifest).encode(), "application/vnd.oci.image.manifest.v1+json", **more)

    def index(self, *manifests: dict[str, Any], **more: Any) -> dict[str, Any]:
        document = {"schemaVersion": 2, "manifests": list(manifests)}
        return self.blob(json.dumps(document).encode(), "application/vnd.oci.image.index.v1+json", **more)

    def archive(self, *manifests: dict[str, Any]) -> bytes:
        index = json.dumps({"schemaVersion": 2, "manifests": list(manifests)}).encode()
        return tar(*self.members, file("index.json", index))


def named(text: str) -> dict[str, Any]:
    return {"annotations": {"org.opencontainers.image.ref.name": text}}


# Save


def test_what_is_saved_is_loaded_again(store: ImageStore, tmp_path: Path) -> None:
    load(
        store, tar(*old_archive(configuration(BASE, TOP), {"1/layer.tar": BASE, "2/layer.tar": TOP}, ["x:1"]))
    )
    store.tag("x:1", "y")
    before = store.inspect("x:1")
    archive = b"".join(store.save(["x:1", "y"]))
    store.remove(before["Id"], force=True, in_use=nobody)
    assert files_of(tmp_path) == []
    assert load(store, archive) == "Loaded image: x:1\nLoaded image: y:latest\n"
    after = store.inspect("x:1")
    del before["Metadata"], after["Metadata"]
    assert after == before
    assert b"".join(store.save(["x:1", "y"])) == archive


def test_an_archive_is_an_oci_layout_and_dockers(store: ImageStore) -> None:
    load(
        store, tar(*old_archive(configuration(BASE, TOP), {"1/layer.tar": BASE, "2/layer.tar": TOP}, ["x:1"]))
    )
    image_id = store.resolve("x:1").id
    with tarfile.open(fileobj=io.BytesIO(b"".join(store.save(["x:1"])))) as archive:
        content = {info.name: archive.extractfile(info) for info in archive}
        read = {name: stream.read() for name, stream in content.items() if stream is not None}
        assert {(info.mtime, info.uid, info.gid) for info in archive} == {(0, 0, 0)}
    for name, data in read.items():
        if name.startswith("blobs/"):
            assert hashlib.sha256(data).hexdigest() == name.rpartition("/")[2]
    [item] = json.loads(read["manifest.json"])
    assert item["RepoTags"] == ["x:1"]
    assert [read[name] for name in item["Layers"]] == [BASE, TOP]
    [descriptor] = json.loads(read["index.json"])["manifests"]
    assert descriptor["annotations"] == {
        "io.containerd.image.name": "docker.io/library/x:1",
        "org.opencontainers.image.ref.name": "1",
    }
    manifest = json.loads(read["blobs/sha256/" + descriptor["digest"][7:]])
    assert manifest["config"]["digest"] == image_id
    assert json.loads(read["repositories"]) == {"x": {"1": digest.of_bytes(TOP)[7:]}}


def test_a_repository_stands_for_its_tags_and_an_id_for_no_name(store: ImageStore) -> None:
    for tag in ("1", "2"):
        store.import_tar(io.BytesIO(tar(file(tag))), repository="x", tag=tag)
    store.tag("x:1", "xy")

    def tags(*names: str) -> list[list[str] | None]:
        with tarfile.open(fileobj=io.BytesIO(b"".join(store.save(names)))) as archive:
            stream = archive.extractfile("manifest.json")
            assert stream is not None
            return [item["RepoTags"] for item in json.load(stream)]

    assert tags("x") == [["x:1"], ["x:2"]]
    assert tags("x:2", "xy") == [["x:2"], ["xy:latest"]]
    assert tags(store.resolve("x:1").id) == [None]
    assert tags("x:1", store.resolve("x:1").id[7:19]) == [["x:1"]]


def test_saving_what_is_not_there_is_refused_at_once(store: ImageStore) -> None:
    for name in ("nosuch", "nosuch:1", "sha256:" + "0" * 64):
        with pytest.raises(errors.NotFound, match=r"reference does not exist|No such image"):
            store.save([name])


def test_an_image_is_not_removed_from_under_a_save(store: ImageStore, tmp_path: Path) -> None:
    store.import_tar(io.BytesIO(tar(file("a", os.urandom(2 << 20)))), repository="x")
    expected = b"".join(store.save(["x"]))
    chunks = store.save(["x"])
    first = next(chunks)
    store.remove("x", in_use=nobody)
    assert first + b"".join(chunks) == expected
    assert files_of(tmp_path) == []


# Load


@pytest.mark.parametrize(
    "compress",
    [bytes, gzip.compress, bz2.compress, lzma.compress, zstandard.compress],
    ids=lambda one: one.__module__,
)
def test_compressed_archives(store: ImageStore, compress: Callable[[bytes], bytes]) -> None:
    archive = tar(*old_archive(configuration(BASE), {"1/layer.tar": BASE}, ["x:1", "example.com/y:2"]))
    assert load(store, compress(archive)) == "Loaded image: x:1\nLoaded image: example.com/y:2\n"
    assert store.resolve("x:1").id == digest.of_bytes(configuration(BASE))


def test_progress_is_told_unless_quiet(store: ImageStore) -> None:
    archive = tar(*old_archive(configuration(BASE), {"1/layer.tar": BASE}, ["x:1"]))
    messages = list(store.load(io.BytesIO(archive)))
    assert [one.get("status") for one in messages] == ["Loading layer", "Loading layer", None]
    assert messages[1]["progressDetail"] == {"current": len(BASE), "total": len(BASE)}
    # The second time nothing is to be read.
    assert list(store.load(io.BytesIO(archive))) == [{"stream": "Loaded image: x:1\n"}]


def test_an_image_without_a_name_is_told_by_its_id(store: ImageStore) -> None:
    config = configuration(BASE)
    archive = tar(*old_archive(config, {"1/layer.tar": BASE}, None))
    assert load(store, archive) == f"Loaded image ID: {digest.of_bytes(config)}\n"


def test_a_name_that_another_image_has_is_taken_over(store: ImageStore) -> None:
    before = store.import_tar(io.BytesIO(tar(file("x"))), repository="x")
    archive = tar(*old_archive(configuration(BASE), {"1/layer.tar": BASE}, ["x:latest"]))
    assert load(store, archive) == (
        f"The image x:latest already exists, renaming the old one with ID {before} to empty string\n"
        "Loaded image: x:latest\n"
    )


def test_layers_may_be_links_within_the_archive(store: ImageStore) -> None:
    members = old_archive(configuration(BASE, TOP), {"1/layer.tar": BASE}, ["x:1"])
    item = {"Config": members[0][0].name, "RepoTags": ["x:1"], "Layers": ["1/layer.tar", "3/layer.tar"]}
    archive = tar(
        *members[:-1],
        file("2/layer.tar", TOP),
        symlink("3/layer.tar", "../4/layer.tar"),
        hardlink("4/layer.tar", "2/layer.tar"),
        file("manifest.json", json.dumps([item]).encode()),
    )
    assert load(store, archive) == "Loaded image: x:1\n"
    assert len(store.resolve("x:1").chain_ids) == 2


def test_parents_in_one_archive_are_known_as_such(store: ImageStore) -> None:
    parent, child = configuration(BASE), configuration(BASE, TOP)
    items = [
        {"Config": "p.json", "RepoTags": None, "Layers": ["1"]},
        {"Config": "c.json", "RepoTags": ["x:1"], "Layers": ["1", "2"], "Parent": digest.of_bytes(parent)},
    ]
    archive = tar(
        file("p.json", parent),
        file("c.json", child),
        file("1", BASE),
        file("2", TOP),
        file("manifest.json", json.dumps(items).encode()),
    )
    load(store, archive)
    assert store.inspect("x:1")["Parent"] == digest.of_bytes(parent)
    assert [line["Id"] for line in store.history("x:1")] == [digest.of_bytes(child), digest.of_bytes(parent)]


@pytest.mark.parametrize("compress", [bytes, gzip.compress, zstandard.compress], ids=["tar", "gzip", "zstd"])
def test_oci_layouts(store: ImageStore, compress: Callable[[bytes], bytes]) -> None:
    layout = Layout()
    one = layout.image(BASE, TOP, compress=compress, **named("me/app:v1"))
    two = {**one, "annotations": {"io.containerd.image.name": "docker.io/me/app:v2"}}
    assert load(store, layout.archive(one, two)) == "Loaded image: me/app:v1\nLoaded image: me/app:v2\n"
    assert store.inspect("me/app:v1")["RootFS"]["Layers"] == [digest.of_bytes(BASE), digest.of_bytes(TOP)]


def test_an_oci_layout_for_several_machines(store: ImageStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sampan.images.configuration.architecture", lambda: "arm64")
    layout = Layout()
    amd = layout.image(BASE, platform={"os": "linux", "architecture": "amd64"})
    arm = layout.image(TOP, platform={"os": "linux", "architecture": "arm64", "variant": "v8"})
    note = layout.image(BASE, annotations={"vnd.docker.reference.type": "attestation-manifest"})
    assert load(store, layout.archive(layout.index(amd, arm, note, **named("x:1")))) == "Loaded image: x:1\n"
    assert store.inspect("x:1")["RootFS"]["Layers"] == [digest.of_bytes(TOP)]
    with pytest.raises(errors.InvalidArgument, match="no image for linux/arm64"):
        load(store, layout.archive(amd))


def test_a_tag_alone_names_nothing(store: ImageStore) -> None:
    layout = Layout()
    assert load(store, layout.archive(layout.image(BASE, **named("latest")))).startswith(
        "Loaded image ID: sha256:"
    )


# Refused


def manifest(item: Any) -> list[Member]:
    return [
        file("c.json", configuration(BASE)),
        file("1", BASE),
        file("manifest.json", json.dumps(item).encode()),
    ]


GOOD = {"Config": "c.json", "RepoTags": ["x:1"], "Layers": ["1"]}


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ([], "invalid archive: does not contain a manifest.json"),
        ([file("repositories", b"{}")], "images saved before Docker 1.10 are not supported"),
        ([file("manifest.json", b"nonsense")], "invalid archive: manifest.json"),
        ([file("manifest.json", b"[" * 100_000)], "invalid archive: manifest.json"),
        (manifest({"not": "a list"}), "invalid archive"),
        (manifest([{"Config": 5}]), "invalid archive: Config is missing"),
        (manifest([{**GOOD, "Config": "../../../etc/passwd"}]), 'is outside of "/"'),
        (manifest([{**GOOD, "Config": "/etc/passwd"}]), "no such file"),
        (manifest([{**GOOD, "Layers": ["2"]}]), "no such file"),
        (manifest([{**GOOD, "Layers": []}]), "layers length mismatch: expected 0, got 1"),
        (manifest([{**GOOD, "Layers": ["c.json"]}]), "Error processing tar file"),
        (manifest([{**GOOD, "RepoTags": ["x"]}]), 'invalid tag "x"'),
        (manifest([{**GOOD, "RepoTags": ["Bad:1"]}]), "must be lowercase"),
        (
            [*manifest([{**GOOD, "Layers": ["2"]}]), file("2", TOP)],
            f'invalid diffID for layer 0: expected "{digest.of_bytes(BASE)}", got "{digest.of_bytes(TOP)}"',
        ),
        ([file("c.json", b"{}"), *manifest([GOOD])[1:]], "invalid image JSON, no RootFS key"),
        (
            [file("c.json", configuration(BASE, os="windows")), *manifest([GOOD])[1:]],
            "cannot load windows image",
        ),
        ([*manifest([{**GOOD, "Layers": ["loop"]}]), symlink("loop", "loop")], "no such file"),
        ([symlink("manifest.json", "/etc/passwd")], "does not contain a manifest.json"),
        ([file("../manifest.json")], 'is outside of "/"'),
        ([file("index.json", b"[]")], "invalid archive"),
        ([file("index.json", b'{"manifests": [{"digest": "sha256:../../x"}]}')], "invalid checksum digest"),
    ],
)
def test_bad_archives_are_refused_and_leave_nothing(
    store: ImageStore, tmp_path: Path, members: list[Member], words: str
) -> None:
    with pytest.raises(errors.InvalidArgument) as failure:
        load(store, tar(*members))
    assert words in failure.value.message
    assert "\n" not in failure.value.message
    assert files_of(tmp_path) == []
    assert store.list(every=True) == []


def test_an_oci_blob_that_is_not_its_digest_is_refused(store: ImageStore, tmp_path: Path) -> None:
    layout = Layout()
    image = layout.image(BASE)
    layout.members = [
        file(entry.name, data.replace(b'"sh"', b'"no"')) if entry.name.startswith("blobs") else (entry, data)
        for entry, data in layout.members
    ]
    with pytest.raises(errors.InvalidArgument, match="does not match its digest"):
        load(store, layout.archive(image))
    assert files_of(tmp_path) == []


def test_indexes_within_indexes_come_to_an_end(store: ImageStore) -> None:
    layout = Layout()
    index = layout.image(BASE)
    for _ in range(10):
        index = layout.index(index)
    with pytest.raises(errors.InvalidArgument, match="indexes within indexes"):
        load(store, layout.archive(index))


def test_the_good_images_before_a_bad_one_stay(store: ImageStore, tmp_path: Path) -> None:
    bad = {"Config": "d.json", "RepoTags": ["y:1"], "Layers": ["2"]}
    members = [*manifest([GOOD, bad]), file("d.json", configuration(TOP))]
    stream = store.load(io.BytesIO(tar(*members)), quiet=True)
    assert next(stream) == {"stream": "Loaded image: x:1\n"}
    with pytest.raises(errors.InvalidArgument, match="no such file"):
        next(stream)
    assert store.resolve("x:1").repo_tags == ("x:1",)
    assert os.listdir(tmp_path / "content/ingest") == []


def test_a_full_disk_is_said_in_one_line_and_nothing_stays(tmp_path: Path) -> None:
    layer = tar(file("big", os.urandom(1 << 20)))
    archive = tar(*old_archive(configuration(layer), {"1/layer.tar": layer}, ["x:1"]))
    with small_disk(tmp_path / "disk", "2m") as disk:
        store = ImageStore(str(disk))
        # The archive fits, its layer does not any more.
        with pytest.raises(errors.SampanError) as failure:
            load(store, archive)
        assert failure.value.message == "cannot write the layer: No space left on device"
        # Not even the archive fits.
        with pytest.raises(errors.SampanError) as failure:
            load(store, tar(file("big", bytes(3 << 20))))
        assert failure.value.message == "cannot write to the image store: No space left on device"
        assert files_of(disk) == []
        assert store.list(every=True) == []
        store.close()


def test_a_client_that_goes_away_leaves_nothing(store: ImageStore, tmp_path: Path) -> None:
    archive = tar(*old_archive(configuration(BASE, TOP), {"1/layer.tar": BASE, "2/layer.tar": TOP}, ["x:1"]))
    messages = store.load(io.BytesIO(archive))
    for _ in range(3):
        next(messages)
    messages.close()  # type: ignore[attr-defined]
    assert files_of(tmp_path) == []
