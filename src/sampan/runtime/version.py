"""The version of the OCI runtime specification. Alone, so that `--version` loads nothing else."""

from __future__ import annotations

OCI_VERSION = "1.3.0"
