"""The image store: import, names, lists, removal, containers' layers, and what a killed process leaves."""

from __future__ import annotations

import gzip
import io
import json
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from sampan import errors
from sampan.images.store import ImageStore
from sampan.wire import digest
from tests.busybox import available, busybox_rootfs_tar
from tests.images.tars import file, folder, tar

pytestmark = pytest.mark.root

ONE, TWO = "1" * 64, "2" * 64
Events = list[tuple[str, str, str]]


@pytest.fixture
def events() -> Events:
    return []


@pytest.fixture
def store(tmp_path: Path, events: Events) -> Iterator[ImageStore]:
    store = ImageStore(str(tmp_path), notify=lambda *event: events.append(event))
    yield store
    store.close()


def nobody(image_id: str) -> list[tuple[str, bool]]:
    return []


def used_by(container_id: str, *, running: bool) -> Callable[[str], Sequence[tuple[str, bool]]]:
    return lambda image_id: [(container_id, running)]


def make(store: ImageStore, name: str = "x", content: bytes = b"1", **options: Any) -> str:
    return store.import_tar(io.BytesIO(tar(file("a", content))), repository=name, **options)


def make_child(store: ImageStore, parent: str) -> str:
    """Make an image built on another, as a build or a commit does."""
    child = make(store, "", f"child of {parent}".encode())
    store._catalog.set_parent(child, parent)
    return child


def files_of(root: Path) -> list[str]:
    """Everything that images and layers keep on the disk."""
    kept = (root / "content/blobs/sha256", root / "content/ingest", root / "layers/overlay2/layers")
    tmp, containers = root / "layers/overlay2/tmp", root / "layers/overlay2/containers"
    return sorted(name for path in (*kept, tmp, containers) for name in os.listdir(path))


# Import and inspect


def test_an_imported_image_is_inspected_as_docker_writes_it(store: ImageStore, events: Events) -> None:
    archive = tar(folder("bin"), file("bin/app", b"12345"))
    image_id = store.import_tar(
        io.BytesIO(gzip.compress(archive)),
        repository="me/app",
        tag="v1",
        message="note",
        changes=['CMD ["app"]'],
    )
    document = store.inspect("me/app:v1")
    assert document == {
        "Id": image_id,
        "RepoTags": ["me/app:v1"],
        "RepoDigests": [],
        "Parent": "",
        "Comment": "note",
        "Created": document["Created"],
        "DockerVersion": "",
        "Author": "",
        "Config": {"Cmd": ["app"]},
        "Architecture": document["Architecture"],
        "Os": "linux",
        "Size": 5,
        "GraphDriver": document["GraphDriver"],
        "RootFS": {"Type": "layers", "Layers": [digest.of_bytes(archive)]},
        "Metadata": {"LastTagTime": document["Metadata"]["LastTagTime"]},
    }
    assert document["GraphDriver"]["Name"] == "overlay2"
    legacy = store.inspect("me/app:v1", legacy=True)
    assert legacy["VirtualSize"] == 5
    assert legacy["ContainerConfig"]["Cmd"] is None
    assert list(legacy["Config"])[:3] == ["Hostname", "Domainname", "User"]
    assert store.history(image_id) == [
        {
            "Comment": "note",
            "Created": store.list()[0]["Created"],
            "CreatedBy": "",
            "Id": image_id,
            "Size": 5,
            "Tags": ["me/app:v1"],
        }
    ]
    assert events == [("tag", image_id, "me/app:v1"), ("import", image_id, image_id)]


def test_an_image_id_is_the_digest_of_its_configuration(store: ImageStore, tmp_path: Path) -> None:
    image_id = make(store)
    data = (tmp_path / "content/blobs/sha256" / image_id[7:]).read_bytes()
    assert digest.of_bytes(data) == image_id
    assert json.loads(data)["history"][0]["comment"] == "Imported from -"


@pytest.mark.parametrize("platform", ["linux/arm64/v8", "linux", ""])
def test_platforms_of_an_import(store: ImageStore, platform: str) -> None:
    make(store, platform=platform)
    document = store.inspect("x")
    if "arm64" in platform:
        assert (document["Architecture"], document["Variant"]) == ("arm64", "v8")
    else:
        assert "Variant" not in document


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": "Bad"}, "invalid reference format: repository name (library/Bad) must be lowercase"),
        ({"tag": ".."}, "invalid tag format"),
        ({"name": "x@sha256:" + "a" * 64}, "refusing to create a tag with a digest reference"),
        ({"name": "sha256"}, "refusing to create an ambiguous tag using digest algorithm as name"),
        ({"platform": "windows/amd64"}, "operating system is not supported"),
        ({"changes": ["NONSENSE x"]}, "nonsense is not a valid change command"),
    ],
)
def test_an_import_with_a_wrong_option_leaves_nothing(
    store: ImageStore, tmp_path: Path, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(errors.InvalidArgument) as failure:
        make(store, **options)
    assert failure.value.message == words
    assert files_of(tmp_path) == []


@pytest.mark.parametrize(
    ("archive", "words"),
    [
        (b"x", "Error processing tar file(exit status 1): unexpected EOF"),
        (b"x" * 1000, "Error processing tar file(exit status 1): archive/tar: invalid tar header"),
        (tar(file("a", b"1" * 1000))[:800], "Error processing tar file(exit status 1): unexpected EOF"),
        (
            tar(file("../evil")),
            'Error processing tar file(exit status 1): invalid tar: "../evil" is outside of "/"',
        ),
    ],
)
def test_a_bad_tar_is_refused_in_dockers_words_and_leaves_nothing(
    store: ImageStore, tmp_path: Path, archive: bytes, words: str
) -> None:
    with pytest.raises(errors.InvalidArgument) as failure:
        store.import_tar(io.BytesIO(archive), repository="x")
    assert failure.value.message == words
    assert files_of(tmp_path) == []
    assert store.list(every=True) == []


# Names


def test_an_image_is_found_by_name_id_and_prefix(store: ImageStore) -> None:
    image_id = make(store, "me/app", tag="v1")
    for text in ("me/app:v1", "docker.io/me/app:v1", image_id, image_id[7:], image_id[7:19], image_id[:15]):
        assert store.resolve(text).id == image_id
    for text, words in (
        ("me/app", "No such image: me/app:latest"),
        ("nosuch", "No such image: nosuch:latest"),
        ("sha256:" + "0" * 64, "No such image: sha256:" + "0" * 64),
        ("a b", "invalid reference format"),
    ):
        with pytest.raises(errors.SampanError) as failure:
            store.resolve(text)
        assert failure.value.message == words


def test_a_prefix_that_means_several_images_means_none(store: ImageStore) -> None:
    for number in range(40):
        make(store, "", str(number).encode())
    with pytest.raises(errors.NotFound):
        # Forty ids, sixteen digits: some digit begins two.
        for first in "0123456789abcdef":
            store.resolve(first)


def test_a_name_moves_from_image_to_image(store: ImageStore, events: Events) -> None:
    first, second = make(store, "x", b"1"), make(store, "x", b"2")
    assert store.resolve("x").id == second
    assert store.resolve(first).repo_tags == ()
    store.tag(first, "y", "v2")
    assert store.resolve("y:v2").id == first
    assert events[-1] == ("tag", first, "y:v2")


def test_a_digest_names_an_image(store: ImageStore) -> None:
    image_id = make(store)
    name = f"docker.io/library/x@sha256:{'d' * 64}"
    store._catalog.set_name(name, image_id)
    assert store.resolve(name).id == image_id
    assert store.inspect("x")["RepoDigests"] == [f"x@sha256:{'d' * 64}"]


# Lists


def test_lists_and_filters(store: ImageStore) -> None:
    old = make(store, "old", b"1", changes=["LABEL a=1"])
    dangling = make(store, "", b"2")
    new = make(store, "new", b"34")
    store.tag(new, "new", "v2")

    def ids(**filters: list[str]) -> list[str]:
        return [one["Id"] for one in store.list(filters=filters)]

    assert ids() == [new, dangling, old]
    assert ids(dangling=["true"]) == [dangling]
    assert ids(dangling=["false"]) == [new, old]
    assert ids(label=["a"]) == [old]
    assert ids(before=["new"]) == [dangling, old]
    assert ids(since=["old"]) == [new, dangling]
    assert ids(reference=["n*"]) == [new]
    [line] = store.list(filters={"reference": ["new:v2"]})
    assert line["RepoTags"] == ["new:v2"]
    assert (line["Size"], line["SharedSize"], line["Containers"], line["Labels"]) == (2, -1, -1, None)
    with pytest.raises(errors.NotFound, match="No such image: nosuch:latest"):
        ids(before=["nosuch"])


def test_images_that_others_are_built_on_are_shown_on_demand(store: ImageStore) -> None:
    parent = make(store, "")
    child = make_child(store, parent)
    assert [one["Id"] for one in store.list()] == [child]
    assert {one["Id"] for one in store.list(every=True)} == {child, parent}
    assert store.list()[0]["ParentId"] == parent
    assert [line["Id"] for line in store.history(child)] == [child]


def test_disk_usage_counts_a_layer_once(store: ImageStore) -> None:
    make(store, "x", b"12345")
    make(store, "y", b"12345", message="the same layer")
    make(store, "z", b"1")
    usage = store.disk_usage()
    assert usage["LayersSize"] == 6
    shared = {one["RepoTags"][0]: one["SharedSize"] for one in usage["Images"]}
    assert shared == {"x:latest": 5, "y:latest": 5, "z:latest": 0}


# Removal


def test_a_name_goes_before_the_image(store: ImageStore, tmp_path: Path, events: Events) -> None:
    image_id = make(store, "x")
    layer = store.resolve(image_id).top_layer
    store.tag("x", "y")
    assert store.remove("x", in_use=nobody) == [{"Untagged": "x:latest"}]
    del events[:]
    assert store.remove("y", in_use=nobody) == [
        {"Untagged": "y:latest"},
        {"Deleted": image_id},
        {"Deleted": layer},
    ]
    assert [action for action, _, _ in events] == ["untag", "delete"]
    assert files_of(tmp_path) == []
    with pytest.raises(errors.NotFound, match="No such image: y:latest"):
        store.remove("y", in_use=nobody)


def test_an_id_with_several_names_has_to_be_forced(store: ImageStore) -> None:
    image_id = make(store, "x")
    store.tag("x", "y")
    with pytest.raises(errors.Conflict) as failure:
        store.remove(image_id[7:19], in_use=nobody)
    assert failure.value.message == (
        f"conflict: unable to delete {image_id[7:19]} (must be forced)"
        " - image is referenced in multiple repositories"
    )
    records = store.remove(image_id, force=True, in_use=nobody)
    assert records[:3] == [{"Untagged": "x:latest"}, {"Untagged": "y:latest"}, {"Deleted": image_id}]


def test_an_id_with_one_name_takes_it_along(store: ImageStore) -> None:
    image_id = make(store, "x")
    store._catalog.set_name(f"docker.io/library/x@sha256:{'d' * 64}", image_id)
    records = store.remove(image_id, in_use=nobody)
    assert records[:2] == [{"Untagged": "x:latest"}, {"Untagged": f"x@sha256:{'d' * 64}"}]


def test_the_last_tag_of_a_repository_takes_its_digests_along(store: ImageStore) -> None:
    image_id = make(store, "x")
    store.tag("x", "y")
    store._catalog.set_name(f"docker.io/library/x@sha256:{'d' * 64}", image_id)
    assert store.remove("x", in_use=nobody) == [
        {"Untagged": "x:latest"},
        {"Untagged": f"x@sha256:{'d' * 64}"},
    ]
    assert store.resolve(image_id).repo_tags == ("y:latest",)


@pytest.mark.parametrize(
    ("text", "running", "words"),
    [
        (
            "x",
            False,
            'conflict: unable to remove repository reference "x" (must force) - container 111111111111'
            " is using its referenced image {id}",
        ),
        (
            "{id}",
            False,
            "conflict: unable to delete {id} (must be forced)"
            " - image is being used by stopped container 111111111111",
        ),
        (
            "{id}",
            True,
            "conflict: unable to delete {id} (cannot be forced)"
            " - image is being used by running container 111111111111",
        ),
    ],
)
def test_an_image_in_use_stays(store: ImageStore, text: str, running: bool, words: str) -> None:
    image_id = make(store, "x")
    with pytest.raises(errors.Conflict) as failure:
        store.remove(text.replace("{id}", image_id[7:19]), in_use=used_by(ONE, running=running))
    assert failure.value.message == words.replace("{id}", image_id[7:19])
    assert store.resolve("x").id == image_id


def test_force_untags_an_image_whose_container_runs(store: ImageStore) -> None:
    image_id = make(store, "x")
    assert store.remove("x", force=True, in_use=used_by(ONE, running=True)) == [{"Untagged": "x:latest"}]
    assert store.resolve(image_id).repo_tags == ()


def test_parents_go_with_their_last_child_unless_they_have_a_name(store: ImageStore) -> None:
    grandparent = make(store, "named", b"g")
    parent = make_child(store, grandparent)
    child = make_child(store, parent)
    with pytest.raises(errors.Conflict) as failure:
        store.remove(parent, force=True, in_use=nobody)
    assert failure.value.message == (
        f"conflict: unable to delete {parent[7:19]} (cannot be forced) - image has dependent child images"
    )
    records = store.remove(child, in_use=nobody)
    deleted = [record["Deleted"] for record in records]
    assert child in deleted
    assert parent in deleted
    assert grandparent not in deleted
    assert store.resolve("named").id == grandparent


def test_noprune_keeps_the_parents(store: ImageStore) -> None:
    parent = make(store, "", b"p")
    child = make_child(store, parent)
    store.remove(child, noprune=True, in_use=nobody)
    assert store.resolve(parent).id == parent


def test_prune(store: ImageStore) -> None:
    dangling = make(store, "", b"12345")
    busy = make(store, "", b"busy")
    make(store, "x", b"x")

    def in_use(image_id: str) -> list[tuple[str, bool]]:
        return [(ONE, False)] if image_id == busy else []

    result = store.prune({}, in_use)
    assert result["ImagesDeleted"][0] == {"Deleted": dangling}
    assert result["SpaceReclaimed"] == 5
    assert store.prune({}, in_use) == {"ImagesDeleted": None, "SpaceReclaimed": 0}
    assert store.prune({"dangling": ["false"], "label": ["nosuch"]}, in_use)["ImagesDeleted"] is None
    result = store.prune({"dangling": ["false"]}, in_use)
    assert {"Untagged": "x:latest"} in result["ImagesDeleted"]
    assert [one["Id"] for one in store.list()] == [busy]


# Containers


def test_a_container_keeps_the_layers_of_an_image_that_is_removed(store: ImageStore, tmp_path: Path) -> None:
    image_id = make(store, "x")
    store.create_writable(ONE, image_id)
    assert store.remove("x", force=True, in_use=used_by(ONE, running=False)) == [
        {"Untagged": "x:latest"},
        {"Deleted": image_id},
    ]
    fd = store.mount(ONE)
    assert Path(f"/proc/self/fd/{fd}/a").read_bytes() == b"1"
    os.close(fd)
    assert store.metadata(ONE)["Name"] == "overlay2"
    store.remove_writable(ONE)
    assert files_of(tmp_path) == []


def test_a_container_of_an_image_that_is_not_there(store: ImageStore, tmp_path: Path) -> None:
    with pytest.raises(errors.NotFound):
        store.create_writable(ONE, "sha256:" + "0" * 64)
    assert files_of(tmp_path) == []


@pytest.mark.skipif(not available(), reason="needs busybox-static")
def test_busybox(store: ImageStore) -> None:
    image_id = store.import_tar(io.BytesIO(busybox_rootfs_tar()), repository="busybox")
    store.create_writable(ONE, image_id)
    fd = store.mount(ONE)
    try:
        root = Path(f"/proc/self/fd/{fd}")
        assert os.access(root / "bin/busybox", os.X_OK)
        assert os.readlink(root / "bin/sh") == "busybox"
        assert (root / "tmp").stat().st_mode & 0o7777 == 0o1777
    finally:
        os.close(fd)


# Crashes and threads


def test_a_second_store_finds_all_of_the_first(store: ImageStore, tmp_path: Path) -> None:
    image_id = make(store, "x")
    store.create_writable(ONE, image_id)
    again = ImageStore(str(tmp_path))
    assert again.recover({ONE}) == []
    assert again.inspect("x") == store.inspect("x")
    os.close(again.mount(ONE))
    again.close()


def test_recovery_removes_what_has_no_row_and_rows_without_a_container(
    store: ImageStore, tmp_path: Path
) -> None:
    keep = make(store, "keep", b"keep")
    lost = make(store, "lost", b"lost")
    store.create_writable(ONE, keep)
    store.create_writable(TWO, keep)
    before = files_of(tmp_path)
    # As if killed before the image's row was written: layer and configuration stand for nothing.
    store._catalog.remove_image(lost)
    (tmp_path / "content/ingest/half").write_text("half")
    (tmp_path / "layers/overlay2/tmp/layer-x").mkdir()
    removed = store.recover({ONE})
    assert len(removed) == 5
    assert set(before) - set(files_of(tmp_path)) == {
        TWO,
        lost[7:],
        digest.of_bytes(tar(file("a", b"lost")))[7:],
    }
    assert store.recover({ONE}) == []
    assert store.resolve("keep").id == keep


def test_many_threads_import_and_remove_the_same_layer(store: ImageStore, tmp_path: Path) -> None:
    def work(number: int) -> None:
        for turn in range(5):
            try:
                image_id = make(store, f"x{number}", b"same for all", message=f"{number} {turn}")
            except errors.Unavailable:
                # The one race that is reported: somebody removed the layer that this import had just found.
                continue
            store.create_writable(f"{number}" * 64, image_id)
            os.close(store.mount(f"{number}" * 64))
            store.remove_writable(f"{number}" * 64)
            store.remove(f"x{number}", in_use=nobody)

    with ThreadPoolExecutor(6) as executor:
        list(executor.map(work, range(6)))
    assert files_of(tmp_path) == []
    assert store.recover(set()) == []


def test_a_damaged_image_can_be_removed(store: ImageStore, tmp_path: Path) -> None:
    image_id = make(store, "x")
    path = tmp_path / "content/blobs/sha256" / image_id[7:]
    path.write_bytes(b"{}")
    with pytest.raises(errors.SampanError, match="is damaged on the disk"):
        ImageStore(str(tmp_path)).inspect("x")
    store.remove("x", in_use=nobody)
    assert files_of(tmp_path) == []


def test_the_tables_note_their_version(store: ImageStore, tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "sampan.db")
    assert connection.execute(
        "SELECT version FROM schema_versions WHERE component = 'images'"
    ).fetchall() == [(1,)]
    connection.close()
