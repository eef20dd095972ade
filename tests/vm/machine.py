"""The virtual machine while it runs: QEMU without KVM, and two serial ports.

ttyS0 is the console of kernel and systemd, kept in a file; ttyS1 has what the tests print, passed on as it
comes. The guest works on copies of the disks that go when it ends.
"""

from __future__ import annotations

import os
import re
import subprocess
import threading
from collections import deque
from pathlib import Path

from tests.vm.image import Machine

# Emulates a quarter faster than all that QEMU can do ("max").
PROCESSOR = "Nehalem"
PROCESSORS = 2
MEMORY = "2G"
_STATUS = re.compile(r"vm: pytest ended with (\d+)")
_COUNT = re.compile(r"(\d+) (passed|failed|error|skipped)")


def boot(machine: Machine, console: Path, seconds: float) -> int:
    """Run it to its end; the exit code is pytest's, or 1 with the console's last words if there is none."""
    process = subprocess.Popen(
        _command(machine, console), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    deadline = threading.Timer(seconds, process.kill)
    deadline.start()
    assert process.stdout is not None
    lines: deque[str] = deque(maxlen=50)
    try:
        for line in process.stdout:
            lines.append(line.decode(errors="replace").rstrip("\r\n"))
            print(lines[-1], flush=True)
        process.wait()
    finally:
        deadline.cancel()
        process.kill()
        process.wait()
    return _result(list(lines), console, seconds)


def _command(machine: Machine, console: Path) -> list[str]:
    # panic=-1 with -no-reboot: a kernel that gives up ends QEMU.
    kernel_options = "root=/dev/vda rw console=ttyS0 panic=-1 mitigations=off systemd.show_status=no"
    command = ["nice", "-n", "10", "qemu-system-x86_64", "-nodefaults", "-display", "none", "-no-reboot"]
    command += ["-accel", "tcg,thread=multi", "-cpu", PROCESSOR, "-smp", str(PROCESSORS), "-m", MEMORY]
    command += ["-kernel", str(machine.kernel), "-initrd", str(machine.initrd), "-append", kernel_options]
    command += ["-serial", f"file:{console}", "-serial", "stdio"]
    for disk in (machine.root, machine.checkout):
        command += ["-drive", f"file={disk},format=raw,if=virtio,snapshot=on"]
    return command


def _result(lines: list[str], console: Path, seconds: float) -> int:
    status = next((int(found[1]) for line in lines if (found := _STATUS.match(line))), None)
    if status is None:
        print(*console.read_text(errors="replace").splitlines()[-40:], sep=os.linesep)
        print(f"vm: no result (it has {seconds:.0f} seconds); the whole console is in {console}")
        return 1
    counts = {"passed": 0, "failed": 0, "error": 0, "skipped": 0}
    # pytest's last line: "=== 1 failed, 2 passed, 1 error in 3.45s ==="
    summary = next((line for line in reversed(lines) if " in " in line and _COUNT.search(line)), "")
    counts.update({kind: int(number) for number, kind in _COUNT.findall(summary)})
    failed = counts["failed"] + counts["error"]
    print(f"{counts['passed']} passed, {failed} failed, {counts['skipped']} skipped in the virtual machine")
    return status
