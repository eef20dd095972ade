"""The state of a container as the OCI specification shows it, to hooks and to `state`."""

from __future__ import annotations

from sampan.records import dataclass, field
from sampan.runtime.version import OCI_VERSION
from sampan.wire import jsontext


@dataclass(frozen=True, slots=True)
class State:
    """`status` is creating, created, running, paused or stopped; `pid` is 0 if there is no process."""

    id: str
    status: str
    pid: int
    bundle: str
    annotations: dict[str, str] = field(default_factory=dict)
    oci_version: str = OCI_VERSION

    def document(self) -> dict[str, object]:
        document: dict[str, object] = {
            "ociVersion": self.oci_version,
            "id": self.id,
            "status": self.status,
            "pid": self.pid,
            "bundle": self.bundle,
        }
        if self.annotations:
            document["annotations"] = self.annotations
        return document

    def to_json(self) -> str:
        return jsontext.text(self.document())
