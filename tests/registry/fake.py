"""A registry that can lie, on a loopback port."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


def digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


class FakeRegistry:
    """Holds manifests and blobs of any name. Its attributes say how it misbehaves."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[str, tuple[str, bytes]] = {}
        self.requests: list[tuple[str, str]] = []
        """Path, and the Authorization that came with it."""
        self.cut_after = 0
        """Bytes of a blob after which the connection breaks, once for each blob."""
        self.does_parts = True
        self.auth = ""
        """ "basic" or "bearer": what is asked of a client."""
        self.redirect = ""
        """Where blobs are said to be."""
        self.status = 0
        self._cut: set[str] = set()
        registry = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                registry.answer(self)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def add_image(self, name: str, *contents: dict[str, bytes]) -> str:
        """An image with a layer for each mapping of names to content; returns the manifest's digest."""
        layers, diff_ids = [], []
        for files in contents:
            data = io.BytesIO()
            with tarfile.open(fileobj=data, mode="w") as tar:
                for path, content in files.items():
                    info = tarfile.TarInfo(path)
                    info.size = len(content)
                    tar.addfile(info, io.BytesIO(content))
            diff_ids.append(digest(data.getvalue()))
            layers.append(self.add_blob(gzip.compress(data.getvalue(), 1, mtime=0), LAYER))
        config = {"architecture": "amd64", "os": "linux", "config": {"Cmd": ["true"]}}
        document = json.dumps(config | {"rootfs": {"type": "layers", "diff_ids": diff_ids}}).encode()
        return self.add_manifest(name, {"config": self.add_blob(document, CONFIG), "layers": layers})

    def add_blob(self, data: bytes, kind: str) -> dict[str, Any]:
        self.blobs[digest(data)] = data
        return {"mediaType": kind, "digest": digest(data), "size": len(data)}

    def add_manifest(self, name: str, document: dict[str, Any], kind: str = MANIFEST) -> str:
        data = json.dumps({"schemaVersion": 2, "mediaType": kind} | document).encode()
        self.manifests[name] = self.manifests[digest(data)] = (kind, data)
        return digest(data)

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        self.requests.append((handler.path, handler.headers.get("Authorization", "")))
        path = handler.path.partition("?")[0]
        if path == "/token":
            self._send(handler, 200, json.dumps({"token": "given"}).encode(), "application/json")
        elif self.status:
            self._send(handler, self.status, b"{}", "application/json", {"Retry-After": "0"})
        elif self.auth and not self._is_known(handler):
            realm = f'Bearer realm="http://{self.host}/token",service="fake"'
            challenge = 'Basic realm="fake"' if self.auth == "basic" else realm
            self._send(handler, 401, b"{}", "application/json", {"WWW-Authenticate": challenge})
        elif "/manifests/" in path and path.rpartition("/")[2] in self.manifests:
            kind, data = self.manifests[path.rpartition("/")[2]]
            self._send(handler, 200, data, kind)
        elif "/blobs/" in path and path.rpartition("/")[2] in self.blobs:
            self._send_blob(handler, path.rpartition("/")[2])
        elif path == "/v2/":
            self._send(handler, 200, b"{}", "application/json")
        else:
            told = {"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]}
            self._send(handler, 404, json.dumps(told).encode(), "application/json")

    def _is_known(self, handler: BaseHTTPRequestHandler) -> bool:
        given = handler.headers.get("Authorization", "")
        return given == ("Basic dXNlcjpzZWNyZXQ=" if self.auth == "basic" else "Bearer given")

    def _send_blob(self, handler: BaseHTTPRequestHandler, name: str) -> None:
        if self.redirect:
            self._send(handler, 307, b"", "text/plain", {"Location": f"{self.redirect}/v2/x/blobs/{name}"})
            return
        data, asked = self.blobs[name], handler.headers.get("Range", "")
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and self.does_parts else 0
        handler.send_response(206 if start else 200)
        handler.send_header("Content-Length", str(len(data) - start))
        handler.end_headers()
        if self.cut_after and name not in self._cut and len(data) > self.cut_after:
            self._cut.add(name)
            handler.wfile.write(data[start : self.cut_after])
            handler.close_connection = True
            return
        handler.wfile.write(data[start:])

    def _send(
        self,
        handler: BaseHTTPRequestHandler,
        status: int,
        data: bytes,
        kind: str,
        more: dict[str, str] | None = None,
    ) -> None:
        handler.send_response(status)
        for key, value in (more or {}).items():
            handler.send_header(key, value)
        handler.send_header("Content-Type", kind)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)
