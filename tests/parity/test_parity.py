"""The same `docker` command lines against dockerd and against Sampan: same output, same exit codes."""

from __future__ import annotations

import difflib
import os
import subprocess
from collections.abc import Iterator

import pytest

from tests.busybox import busybox_rootfs_tar
from tests.engines import EngineProcess, dockerd_engine, have_dockerd, sampan_engine
from tests.parity.cases import SCENARIOS
from tests.parity.differences import accepted
from tests.parity.normalise import normalise

pytestmark = [
    pytest.mark.oracle,
    pytest.mark.root,
    pytest.mark.skipif(not have_dockerd(), reason="needs dockerd"),
    pytest.mark.xdist_group("parity"),
]
APP = [
    'ENTRYPOINT ["echo", "app:"]',
    'CMD ["default"]',
    "ENV APP=1 PATH=/bin",
    "USER 33:33",
    "WORKDIR /tmp",
    'LABEL a=b c="d e"',
]


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[EngineProcess, EngineProcess]]:
    base = tmp_path_factory.mktemp("parity")
    pair = dockerd_engine(base / "d"), sampan_engine(base / "s")
    try:
        for engine in pair:
            engine.launch()
            _prepare(engine)
        yield pair
    finally:
        for engine in pair:
            engine.close()


def _prepare(engine: EngineProcess) -> None:
    work = engine.directory / "work"
    work.mkdir()
    (work / "rootfs.tar").write_bytes(busybox_rootfs_tar())
    for name, changes in {"busybox": ['CMD ["sh"]'], "app": APP}.items():
        flags = [word for change in changes for word in ("-c", change)]
        done = engine.docker("import", *flags, str(work / "rootfs.tar"), name)
        assert done.returncode == 0, done.stderr


def run_line(engine: EngineProcess, line: str) -> str:
    """One command line in the engine's work folder, as text that can be compared."""
    environment = os.environ | {
        "DOCKER_HOST": engine.host,
        "DOCKER_API_VERSION": "1.41",
        "SOCKET": str(engine.socket),
        "NETNS": f"nsenter --net={engine.netns}",
        "LC_ALL": "C",
    }
    done = subprocess.run(
        ["sh", "-c", line],
        cwd=engine.directory / "work",
        env=environment,
        capture_output=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )
    output, error = (
        normalise(data.decode(errors="replace"), engine.directory) for data in (done.stdout, done.stderr)
    )
    return f"exit {done.returncode}\n--- stdout\n{output}--- stderr\n{error}"


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_same_as_docker(engines: tuple[EngineProcess, EngineProcess], scenario: str) -> None:
    differences = []
    for line in SCENARIOS[scenario]:
        expected, got = (run_line(engine, line) for engine in engines)
        if expected != got and not accepted(line, expected, got):
            differences.append(f"$ {line}\n" + _compare(expected, got))
    _remove_all(engines)
    if differences:
        count = f"{len(differences)} of {len(SCENARIOS[scenario])} differ"
        pytest.fail("\n\n".join([count, *differences]), pytrace=False)


def _compare(expected: str, got: str) -> str:
    lines = difflib.unified_diff(
        expected.splitlines(), got.splitlines(), "dockerd", "sampan", lineterm="", n=1
    )
    return "\n".join(lines)


def _remove_all(engines: tuple[EngineProcess, EngineProcess]) -> None:
    for engine in engines:
        if left := engine.docker("ps", "-aq").stdout.split():
            engine.docker("rm", "-f", *left)
