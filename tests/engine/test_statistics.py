"""`stats`: the engine's samples, through the real CLI and through ours."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator

import pytest

from sampan.cli.commands.stats import StatsRow
from tests.busybox import busybox_rootfs_tar
from tests.engines import EngineProcess, sampan_engine

pytestmark = [pytest.mark.root, pytest.mark.xdist_group("stats")]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    engine = sampan_engine(tmp_path_factory.mktemp("stats") / "engine")
    try:
        engine.launch()
        tar = engine.directory / "rootfs.tar"
        tar.write_bytes(busybox_rootfs_tar())
        assert engine.docker("import", str(tar), "busybox").returncode == 0
        busy = ["-m", "64m", "busybox", "sh", "-c", "while :; do :; done"]
        assert engine.docker("run", "-d", "--name", "busy", *busy).returncode == 0
        idle = ["--network", "none", "busybox", "sleep", "1000"]
        assert engine.docker("run", "-d", "--name", "idle", *idle).returncode == 0
        assert engine.docker("create", "--name", "stopped", "busybox", "true").returncode == 0
        yield engine
    finally:
        engine.close()


@pytest.mark.parametrize("client", ["docker", "sampan"])
def test_both_clients(engine: EngineProcess, client: str) -> None:
    command = engine.docker if client == "docker" else engine.sampan
    lines = command("stats", "--no-stream", "-a", "--format", "json").stdout.splitlines()
    found = {row["Name"]: row for row in map(json.loads, lines)}
    assert set(found) == {"busy", "idle", "stopped"}
    assert float(found["busy"]["CPUPerc"].rstrip("%")) > 5
    assert float(found["idle"]["CPUPerc"].rstrip("%")) < 1
    assert found["busy"]["MemUsage"].endswith(" / 64MiB") and found["busy"]["PIDs"] == "1"
    assert found["busy"]["NetIO"] != "0B / 0B" and found["idle"]["NetIO"] == "0B / 0B"
    assert found["stopped"]["MemUsage"] == "0B / 0B" and found["stopped"]["PIDs"] == "0"
    heading = command("stats", "--no-stream", "busy").stdout.split("\n")[0]
    assert heading.split("  ")[0] == "CONTAINER ID" and heading.endswith("PIDS")
    missing = command("stats", "--no-stream", "nope")
    assert (missing.returncode, missing.stderr) == (
        1,
        "Error response from daemon: No such container: nope\n",
    )


def test_a_stream_follows_the_container(engine: EngineProcess) -> None:
    url = "http://d/v1.51/containers/idle/stats"
    with subprocess.Popen(
        ["curl", "-sN", "--unix-socket", str(engine.socket), url], stdout=subprocess.PIPE, text=True
    ) as curl:
        assert curl.stdout is not None
        first, second = (json.loads(curl.stdout.readline()) for _ in range(2))
        curl.terminate()
    assert second["preread"] == first["read"] and second["precpu_stats"] == first["cpu_stats"]
    assert first["name"] == "/idle" and "networks" not in first
    refused = subprocess.run(
        ["curl", "-s", "--unix-socket", str(engine.socket), f"{url}?stream=1&one-shot=1"],
        capture_output=True,
        text=True,
    )
    assert "cannot have stream=true and one-shot=true" in refused.stdout


def test_what_a_sample_of_cgroup_v2_shows() -> None:
    row = StatsRow(
        {
            "name": "/box",
            "id": "f" * 64,
            "cpu_stats": {"cpu_usage": {"total_usage": 3_000}, "system_cpu_usage": 9_000, "online_cpus": 4},
            "precpu_stats": {"cpu_usage": {"total_usage": 2_000}, "system_cpu_usage": 5_000},
            "memory_stats": {"usage": 3 << 20, "stats": {"inactive_file": 1 << 20}, "limit": 8 << 20},
            "networks": {
                "eth0": {"rx_bytes": 1000, "tx_bytes": 2},
                "eth1": {"rx_bytes": 500, "tx_bytes": 1},
            },
            "blkio_stats": {
                "io_service_bytes_recursive": [{"op": "read", "value": 7}, {"op": "Write", "value": 9}]
            },
            "pids_stats": {"current": 3},
        }
    )
    shown = {name: field(row) for name, field in StatsRow.fields.items()}
    assert shown == {
        "BlockIO": "7B / 9B",
        "CPUPerc": "100.00%",
        "Container": "",
        "ID": "f" * 12,
        "MemPerc": "25.00%",
        "MemUsage": "2MiB / 8MiB",
        "Name": "box",
        "NetIO": "1.5kB / 3B",
        "PIDs": "3",
    }
