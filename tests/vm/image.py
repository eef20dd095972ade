"""Disks for the virtual machine, made from packages by name.

Owns the cache folder: a root disk that lasts until what it is made from changes, with the kernel and the
initrd that Debian's own hooks have made in it; a folder of Python packages likewise; and a disk with the
checkout, new for each run (1 second).
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache/vm"

SUITE = "bookworm"
PYTHON = "3.11"  # of that suite
PACKAGES = (
    *("linux-image-cloud-amd64", "systemd-sysv", "dbus", "udev", "kmod", "procps", "util-linux"),
    *("python3", "nftables", "iproute2", "libseccomp2", "busybox-static", "tini"),  # what Sampan needs
    *("runc", "iptables", "curl", "uidmap"),  # what its tests need
)
# Linters and type checkers have nothing to do there, and are large.
NOT_IN_GUEST = ("mypy", "ruff", "import-linter")
CHECKOUT = ("src", "tests", "launchers", "pyproject.toml")

# Where the second disk is mounted; its content is laid out like a checkout with its `.venv`.
HOME = "/sampan"
UNIT = f"""[Unit]
Description=Sampan's tests
After=basic.target dbus.service systemd-logind.service
SuccessAction=poweroff-force
FailureAction=poweroff-force

[Service]
Type=oneshot
StandardOutput=tty
StandardError=inherit
TTYPath=/dev/ttyS1
ExecStart=/bin/sh -c 'mkdir -p {HOME}; mount -L sampan {HOME} && exec {HOME}/tests/vm/guest'
"""
# No second login, no timers that wake up in the middle of a test.
MASKED = ("getty@tty1.service", "serial-getty@ttyS0.service", "e2scrub_reap.service", "timers.target")


@dataclass(frozen=True, slots=True)
class Machine:
    """What QEMU boots."""

    kernel: Path
    initrd: Path
    root: Path
    checkout: Path


def build(arguments: list[str]) -> Machine:
    """Make what is missing; the guest will give `arguments` to pytest."""
    if platform.machine() != "x86_64":
        raise SystemExit("the virtual machine's root can only be made on an x86_64 host")
    missing = [name for name in ("qemu-system-x86_64", "mmdebstrap", "mke2fs") if not shutil.which(name)]
    if missing:
        raise SystemExit(f"{', '.join(missing)} not found: run scripts/packages vm")
    CACHE.mkdir(parents=True, exist_ok=True)
    system = _cached("system", repr((SUITE, PACKAGES, UNIT, MASKED)), _make_system)
    packages = _cached("packages", repr((PYTHON, _requirements())), _install_packages)
    checkout = CACHE / "checkout.img"
    _make_checkout(checkout, packages, arguments)
    return Machine(system / "vmlinuz", system / "initrd.img", system / "root.img", checkout)


def _cached(name: str, content: str, make: Callable[[Path], None]) -> Path:
    """The folder `name` that was made from `content`; made beside and renamed: whole, or not there."""
    folder = CACHE / f"{name}-{hashlib.sha256(content.encode()).hexdigest()[:12]}"
    if not folder.exists():
        for old in CACHE.glob(f"{name}-*"):
            shutil.rmtree(old)
        new = CACHE / f"new-{name}"
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir()
        make(new)
        new.rename(folder)
    return folder


def _make_system(folder: Path) -> None:
    print(f"vm: making a root of {SUITE} with {len(PACKAGES)} packages", flush=True)
    tree = folder / "root"
    # An initrd of 7 MB, with the modules for this machine's disk alone.
    initrd = 'd="$1/etc/initramfs-tools"; mkdir -p $d/conf.d; echo MODULES=list > $d/conf.d/vm; '
    initrd += r'printf "virtio_pci\nvirtio_blk\next4\n" > $d/modules'
    left_out = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("doc", "man", "locale")]
    _run(
        *("mmdebstrap", "--mode=root", "--variant=minbase", f"--include={','.join(PACKAGES)}", *left_out),
        *(f"--essential-hook={initrd}", "--quiet", SUITE, str(tree)),
    )
    units = tree / "etc/systemd/system"
    (units / "sampan-tests.service").write_text(UNIT)
    (units / "multi-user.target.wants").mkdir(exist_ok=True)
    (units / "multi-user.target.wants/sampan-tests.service").symlink_to("../sampan-tests.service")
    for name in MASKED:
        (units / name).symlink_to("/dev/null")
    for name in ("vmlinuz", "initrd.img"):
        shutil.copy(next((tree / "boot").glob(f"{name}-*")), folder / name)
    _make_disk(folder / "root.img", tree, "root", "3G")
    shutil.rmtree(tree)


def _requirements() -> list[str]:
    """What Sampan and its tests need, as pyproject.toml has it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] + project["optional-dependencies"]["dev"]
    return [line for line in wanted if not line.startswith(NOT_IN_GUEST)]


def _install_packages(folder: Path) -> None:
    """For the guest's Python, whatever this one is."""
    # glibc of the suite is newer than what any of these asks for.
    platforms = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
    _run(
        *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
        *("--target", str(folder), "--only-binary=:all:", "--implementation=cp"),
        *(f"--python-version={PYTHON}", *(f"--platform={name}" for name in platforms), *_requirements()),
    )


def _make_checkout(disk: Path, packages: Path, arguments: list[str]) -> None:
    tree = CACHE / "checkout"
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir()
    without = shutil.ignore_patterns("__pycache__", ".*")
    for name in CHECKOUT:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tree / name, ignore=without)
        else:
            shutil.copy(ROOT / name, tree / name)
    (tree / "arguments").write_text("".join(f"{argument}\n" for argument in arguments))
    _make_environment(tree / ".venv", packages)
    _make_disk(disk, tree, "sampan", "1G")
    shutil.rmtree(tree)


def _make_environment(folder: Path, packages: Path) -> None:
    """A virtual environment as `python3 -m venv` and an editable installation leave it."""
    site = folder / f"lib/python{PYTHON}/site-packages"
    shutil.copytree(packages, site, copy_function=os.link)
    (site / "_editable_sampan.pth").write_text(f"{HOME}/src\n")
    shutil.copytree(ROOT / "launchers", folder / "bin")
    for name in ("python", "python3"):
        (folder / "bin" / name).symlink_to(f"/usr/bin/python{PYTHON}")
    (folder / "pyvenv.cfg").write_text("home = /usr/bin\ninclude-system-site-packages = false\n")


def _make_disk(disk: Path, tree: Path, label: str, size: str) -> None:
    disk.unlink(missing_ok=True)
    # Without a journal: every run works on a copy that is thrown away.
    _run("mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-L", label, "-d", str(tree), str(disk), size)


def _run(*command: str) -> None:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        raise SystemExit(f"{done.stdout.decode(errors='replace')}\nvm: {command[0]} failed")
