"""Fixtures of the CLI's tests: a fake engine with an empty list of everything, and a real dockerd as the
oracle.
"""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.fake_engine import FakeEngine, answer, refusal


@pytest.fixture
def fake_engine(tmp_path: Path) -> Iterator[FakeEngine]:
    """Everything is empty, and every container can be made, attached to and run: it ends with 0."""
    # A socket's path may not be long, and pytest's folders are.
    with tempfile.TemporaryDirectory(prefix="sampan-cli-") as folder:
        identifier = "c" * 64
        answers: dict[str, bytes | list[bytes]] = {
            "GET /containers/json": answer([]),
            "GET /images/json": answer([]),
            "GET /containers/x/json": answer({"Id": identifier}),
            "POST /containers/x/stop": b"HTTP/1.1 204 No Content\r\n\r\n",
            "POST /containers/create": answer({"Id": identifier, "Warnings": []}),
            f"POST /containers/{identifier}/attach": b"HTTP/1.1 101 UPGRADED\r\n\r\n",
            f"POST /containers/{identifier}/wait": answer({"StatusCode": 0}),
            f"POST /containers/{identifier}/start": b"HTTP/1.1 204 No Content\r\n\r\n",
            "POST /containers/c/exec": answer({"Id": "e" * 64}),
            f"POST /exec/{'e' * 64}/start": b"HTTP/1.1 101 UPGRADED\r\n\r\n",
            f"GET /exec/{'e' * 64}/json": answer({"ExitCode": 0}),
            "GET /": refusal("page not found", "404 Not Found"),
        }
        with FakeEngine(Path(folder) / "engine.sock", answers) as engine:
            yield engine


@pytest.fixture(scope="session")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a dockerd with the image busybox: that of SAMPAN_ORACLE, or one of our own."""
    from tests.busybox import busybox_rootfs_tar
    from tests.engines import dockerd_engine, have_dockerd

    given = os.environ.get("SAMPAN_ORACLE", "")
    if given:
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(given.removeprefix("unix://"))
            except OSError as error:
                pytest.skip(f"SAMPAN_ORACLE: {error}")
        yield given if "://" in given else f"unix://{given}"
        return
    if not have_dockerd():
        pytest.skip("needs dockerd and root, or SAMPAN_ORACLE")
    with tempfile.TemporaryDirectory(prefix="sampan-oracle-") as folder:
        engine = dockerd_engine(Path(folder))
        try:
            engine.launch()
            tar = tmp_path_factory.mktemp("busybox") / "rootfs.tar"
            tar.write_bytes(busybox_rootfs_tar())
            assert engine.docker("import", "-c", 'CMD ["sh"]', str(tar), "busybox").returncode == 0
            yield engine.host
        finally:
            engine.close()
