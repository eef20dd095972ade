"""The import budget: what zygote and shims carry with them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import sampan

# Everything else that `sampan.runtime.launch` brings in: the standard library's own needs for these.
ALLOWED = frozenset(
    [
        "_collections",
        "_collections_abc",
        "_ctypes",
        "_functools",
        "_json",
        "_operator",
        "_sha256",
        "_sha2",
        "_socket",
        "_stat",
        "_struct",
        "_weakref",
        "_io",
        "array",
        "collections",
        "contextlib",
        "ctypes",
        "enum",
        "errno",
        "fcntl",
        "functools",
        "genericpath",
        "importlib",
        "itertools",
        "keyword",
        "math",
        "operator",
        "os",
        "posixpath",
        "reprlib",
        "resource",
        "sampan",
        "select",
        "stat",
        "struct",
        "types",
        "warnings",
        "__future__",
    ]
)


def test_launch_imports_only_what_is_allowed() -> None:
    source = Path(sampan.__file__).parent.parent
    program = (
        f"import sys; sys.path.insert(0, {str(source)!r}); before = set(sys.modules)\n"
        "import sampan.runtime.launch\n"
        "print(*{name.partition('.')[0] for name in set(sys.modules) - before})"
    )
    command = [sys.executable, "-I", "-S", "-c", program]
    loaded = set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
    assert loaded - ALLOWED == set()


def test_what_is_rarely_needed_is_not_loaded() -> None:
    """It would be in the memory of every zygote and on the way of every start."""
    source = Path(sampan.__file__).parent.parent
    program = (
        f"import sys; sys.path.insert(0, {str(source)!r}); import sampan.runtime.launch; print(*sys.modules)"
    )
    command = [sys.executable, "-I", "-S", "-c", program]
    loaded = set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
    rare = {
        *("idmapped", "intermediary", "netdevices", "resctrl", "seccomp_agent", "security_modules"),
        *(f"operations.{name}" for name in ("labels", "listener", "scheduling")),
        *(f"spec.{name}" for name in ("coverage", "intel_rdt", "memory_policy", "numbers", "scheduling")),
    }
    assert loaded & {f"sampan.runtime.{name}" for name in rare} == set()
