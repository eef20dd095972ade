"""The requests of `create`, `run`, `exec` and others are those that the real docker CLI sends for the same
words.
"""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.cli.fake_engine import FakeEngine, Request, answer, refusal

pytestmark = [
    pytest.mark.oracle,
    pytest.mark.skipif(shutil.which("docker") is None, reason="needs the docker CLI"),
]

CREATE = [
    "busybox",
    "busybox sh -c 'echo hi'",
    "-it busybox",
    "-a stdin -a stdout busybox",
    "-i -a stderr busybox cat",
    "-e A=b -e C= -l x=y -l z busybox",
    "-h box --domainname example.org -u 1:2 -w /x --entrypoint /bin/sh busybox -c x",
    "--entrypoint '' busybox",
    "-p 80 -p 8080:81 -p 127.0.0.1::82 -p 127.0.0.1:90:83/udp -p 7000-7002:84-86 -p [::1]:99:99 busybox",
    "-p 9000-9010:80 -p published=1,target=2,protocol=udp --expose 5 --expose 6-8/udp -P busybox",
    "-v /a:/b -v c:/d:ro -v /anonymous -v ./x:/y -v .:/z busybox",
    "--mount type=bind,src=/a,dst=/b,readonly,bind-propagation=rslave --mount"
    " type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=1700 busybox",
    "--mount"
    " src=v,dst=/d,volume-nocopy,volume-driver=local,volume-opt=a=b,volume-opt=c=d,volume-label=l=1,vol"
    "ume-subpath=s busybox",
    "--mount type=bind,src=.,dst=/x,ro,bind-recursive=disabled --mount"
    " type=bind,src=/a,dst=/y,bind-recursive=writable,ro busybox",
    "--tmpfs /t:size=1m --tmpfs /u busybox",
    "-m 64m --memory-swap -1 --memory-reservation 32m --memory-swappiness 10 --oom-kill-disable"
    " --oom-score-adj 5 busybox",
    "--cpus 1.5 -c 512 --cpu-period 1000 --cpu-quota 2000 --cpuset-cpus 0-1 --cpuset-mems 0"
    " --cpu-rt-period 1 --cpu-rt-runtime 2 busybox",
    "--cpus 1/4 --pids-limit 100 --shm-size 1g --cgroup-parent /x busybox",
    "--blkio-weight 100 --blkio-weight-device /dev/sda:200 --device-read-bps /dev/sda:1m"
    " --device-write-bps /dev/sda:2kb"
    " --device-read-iops /dev/sda:10 --device-write-iops /dev/sda:20 busybox",
    "--device /dev/null --device /dev/zero:/dev/x --device /dev/full:r --device /dev/tty:/dev/y:rw"
    " --device-cgroup-rule 'c 1:3 rwm' busybox",
    "--device vendor.com/class=name --gpus all busybox",
    "--gpus 2 busybox",
    '--gpus \'"device=0,1",driver=d,"capabilities=compute,utility","options=a=b,c=d"\' busybox',
    "--ulimit nofile=10:20 --ulimit core=-1 --ulimit nproc=5 busybox",
    "--cap-add NET_ADMIN --cap-add cap_sys_time --cap-drop all --cap-drop KILL --privileged"
    " --group-add wheel --group-add 5 busybox",
    "--cap-add ALL --cap-add CHOWN --cap-drop CHOWN --cap-drop MKNOD busybox",
    "--cap-add SYS_TIME --cap-add net_admin --cap-add CAP_SYS_TIME --cap-drop RESET --cap-add reset busybox",
    "--security-opt no-new-privileges --security-opt seccomp=unconfined --security-opt apparmor:x"
    " --security-opt systempaths=unconfined busybox",
    "--security-opt seccomp=profile.json busybox",
    "--sysctl net.ipv4.ip_forward=1 --sysctl kernel.msgmax=5 --read-only --init --init=false busybox",
    "--dns 8.8.8.8 --dns 0:0:0::1 --dns-search example.org --dns-search . --dns-option ndots:2"
    " --dns-opt x --add-host a:1.2.3.4 --add-host b=::1"
    " --add-host c:host-gateway --add-host 'd=[fe80::1]' busybox",
    "--restart on-failure:3 --stop-signal INT --stop-timeout 5 busybox",
    "--restart '' --stop-timeout 0 busybox",
    "--rm --pid host --ipc private --uts host --userns host --cgroupns private --isolation default"
    " --runtime runc busybox",
    "--pid container:x --ipc container:y --network container:z busybox",
    "--network host busybox",
    "--network mynet busybox",
    "--network mynet --network-alias a --net-alias b --ip 10.0.0.2 --ip6 fd00::2 --link-local-ip"
    " 169.254.0.9 --mac-address 02:42:ac:11:00:02 --link c:d busybox",
    "--network"
    " name=n,alias=a,alias=b,ip=10.0.0.3,driver-opt=k=v,gw-priority=5,mac-address=02:42:ac:11:00:03"
    " --network other busybox",
    "--link a:b --mac-address 02:42:ac:11:00:02 --ip 1.2.3.4 busybox",
    "--log-driver json-file --log-opt max-size=1m --log-opt labels busybox",
    "--storage-opt size=1G --volume-driver local --volumes-from x:ro --annotation a=b busybox",
    "--health-cmd 'true x' --health-interval 5s --health-timeout 1m30s --health-retries 2"
    " --health-start-period 1h --health-start-interval 2s busybox",
    "--no-healthcheck busybox",
    "--env-file env -e LAST=1 --label-file labels -l LAST=1 busybox",
    "--platform linux/amd64 --name web busybox:1.36",
    "--platform aarch64 registry.example.org:5000/a/b:c",
    "busybox@sha256:0000000000000000000000000000000000000000000000000000000000000000",
    "-- busybox -x --y",
    "busybox --rm -it",
    "-t=false -i=true --privileged=0 busybox",
    "-ite A=b busybox",
    "-m64m -hbox busybox",
    "--cidfile cid busybox",
]
EXEC = [
    "c true",
    "-it -u 1 -w /x -e A=b --privileged c sh -c x",
    "-d c true",
    "--env-file env -e B c env",
    "-t c tty",
]
OTHER = [
    "ps",
    "ps -a -s -f status=running -f status=paused -f Label=a=b --no-trunc",
    "ps -l",
    "ps -n 5",
    "ps -n 0",
    "stop -t 3 -s TERM c",
    "stop --time 0 c",
    "stop c",
    "restart -t 0 c",
    "kill c",
    "kill -s HUP c",
    "rm -f -v c",
    "rm -l c",
    "rename a b",
    "pause c",
    "unpause c",
    "wait c",
    "top c -eo pid,comm",
    "start c",
    "inspect --type container -s c",
    "inspect --type image i:t",
    "inspect --type network n",
    "network ls -f driver=bridge",
    "network inspect -v n",
    "images -a -f dangling=true -f label=x",
    "images busybox:1",
    "history i",
    "rmi -f --no-prune i",
    "tag busybox x:y",
    "tag busybox registry.example.org:5000/x",
    "save a b",
    "import -c 'CMD [\"a\"]' -c 'ENV A=b' -m note --platform linux/amd64 tar repo:tag",
    "load -i tar",
    "events --since 5 --until 1700000000.5 -f type=container",
    "version",
    "info",
    "system df",
    "container prune -f --filter until=5m --filter label!=x",
    "image prune -af --filter label=x",
    "image prune -f",
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "env").write_text("# comment\nA=b c\n  B=2\nPATH\nNOTSET_ANYWHERE\nEMPTY=\n")
    (tmp_path / "labels").write_text("a=b\nc\n\n#x=y\n")
    (tmp_path / "profile.json").write_text('{ "defaultAction" : "SCMP_ACT_ALLOW",\n "x": [1, "a b"] }')
    (tmp_path / "tar").write_bytes(b"not really a tar file" * 100)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _important(requests: list[Request]) -> list[tuple[str, str, dict[str, str], object]]:
    """What must agree: method, path, query and body, without versions and pings."""
    found = []
    for request in requests:
        url = urlsplit(request.target)
        path = url.path[url.path.index("/", 1) :] if url.path.startswith("/v1.") else url.path
        if path == "/_ping":
            continue
        query = dict(sorted(parse_qsl(url.query, keep_blank_values=True)))
        query = {name: value for name, value in query.items() if value not in ("0", "") or name == "t"}
        body: object = request.body
        if request.headers.get("content-type") == "application/json" and request.body:
            body = request.document
            if isinstance(body, dict) and body.get("HostConfig", {}).get("Binds"):
                body["HostConfig"]["Binds"].sort()  # docker keeps them in a Go map
        found.append((request.method, path, query, body))
    return found


def _both(folder: Path, answers: dict[str, bytes | list[bytes]], words: list[str]) -> tuple[object, object]:
    seen = []
    for name in ("docker", "sampan"):
        (folder / "cid").unlink(missing_ok=True)
        with FakeEngine(folder / name, dict(answers)) as engine:
            (engine.docker if name == "docker" else engine.run)(*words)
            seen.append(_important(engine.requests))
    return seen[0], seen[1]


@pytest.mark.parametrize("line", CREATE)
def test_create(folder: Path, line: str) -> None:
    answers: dict[str, bytes | list[bytes]] = {
        "POST /containers/create": answer({"Id": "0" * 64, "Warnings": []})
    }
    docker, sampan = _both(folder, answers, ["create", *shlex.split(line)])
    assert sampan == docker
    assert docker


@pytest.mark.parametrize(
    "line", ["busybox", "-d busybox true", "--rm -i busybox cat", "-a stdout --detach-keys a,b busybox"]
)
def test_run_order(folder: Path, line: str) -> None:
    """Create, attach, wait, start; a refused start ends it."""
    hijacked = b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
    answers: dict[str, bytes | list[bytes]] = {
        "POST /containers/create": answer({"Id": "0" * 64, "Warnings": []}),
        f"POST /containers/{'0' * 64}/attach": hijacked,
        f"POST /containers/{'0' * 64}/wait": answer({"StatusCode": 5}),
        f"POST /containers/{'0' * 64}/start": refusal("no", "500 Internal Server Error"),
    }
    docker, sampan = _both(folder, answers, ["run", *shlex.split(line)])
    assert isinstance(docker, list)
    if line.startswith("-d"):  # docker waits without looking at the answer
        docker = [request for request in docker if not request[1].endswith("/wait")]
    assert sampan == docker


@pytest.mark.parametrize("line", EXEC)
def test_exec(folder: Path, line: str) -> None:
    """The dummy inspect that docker sends before is left out: it only serves its order of complaints."""
    answers: dict[str, bytes | list[bytes]] = {
        "GET /containers/c/json": answer({"Id": "0" * 64, "State": {"Running": True}}),
        "POST /containers/c/exec": answer({"Id": "e" * 64}),
    }
    if "-it" in line:
        line = line.replace("-it", "-i")
    docker, sampan = _both(folder, answers, ["exec", *shlex.split(line)])
    assert isinstance(docker, list)
    assert sampan == [request for request in docker if request[0] != "GET"]


@pytest.mark.parametrize("line", OTHER)
def test_other(folder: Path, line: str) -> None:
    docker, sampan = _both(folder, {}, shlex.split(line))
    assert isinstance(docker, list) and isinstance(sampan, list)
    assert sampan == docker
