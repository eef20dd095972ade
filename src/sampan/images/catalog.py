"""The catalog: which images, names and layers there are, in the `image_` tables of the database.

Owns the tables, their migrations and every SQL statement of this library. Each public method is one
transaction, and safe from any thread: one connection, one lock, nothing slow inside. A row is the truth: a
blob or a layer's folder without its row is garbage, and is written before its row.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Container, Iterator
from contextlib import contextmanager
from typing import Any

from sampan import errors
from sampan.images.layers import Layer
from sampan.records import dataclass

_COMPONENT = "images"
_MIGRATIONS = (
    """
    CREATE TABLE image_images (
        id TEXT PRIMARY KEY,
        parent TEXT,
        created INTEGER NOT NULL,   -- nanoseconds since 1970: what lists are sorted by
        last_tagged INTEGER         -- the same, or NULL
    ) WITHOUT ROWID;
    CREATE INDEX image_images_parent ON image_images (parent);
    CREATE TABLE image_names (
        name TEXT PRIMARY KEY,      -- docker.io/library/busybox:latest, or …@sha256:…
        image TEXT NOT NULL REFERENCES image_images (id)
    ) WITHOUT ROWID;
    CREATE INDEX image_names_image ON image_names (image);
    CREATE TABLE image_layers (
        chain_id TEXT PRIMARY KEY,
        parent TEXT,
        diff_id TEXT NOT NULL,
        size INTEGER NOT NULL,
        tar_size INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX image_layers_parent ON image_layers (parent);
    CREATE TABLE image_tops (       -- what stands on which layer: images, containers' writable layers, mounts
        kind TEXT NOT NULL,         -- 'image', 'writable', or 'mounted' with '<container>/<image>' as the id
        id TEXT NOT NULL,
        chain_id TEXT REFERENCES image_layers (chain_id),
        PRIMARY KEY (kind, id)
    ) WITHOUT ROWID;
    CREATE INDEX image_tops_chain_id ON image_tops (chain_id);
    """,
)
_EARLIEST = -(1 << 63)
_IMAGE, _WRITABLE, _MOUNTED = "image", "writable", "mounted"


@dataclass(frozen=True, slots=True)
class ImageRow:
    """What the catalog knows of an image besides its configuration."""

    id: str
    parent: str | None
    created: int
    last_tagged: int | None


class Catalog:
    """The tables, through a connection of their own."""

    def __init__(self, database: str) -> None:
        self._lock = threading.RLock()
        self._connection = sqlite3.connect(
            database, isolation_level=None, check_same_thread=False, timeout=30
        )
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=NORMAL")
        self._connection.execute("PRAGMA foreign_keys=ON")
        self._migrate()

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Keep other threads out: what was read stays true until the end of the block."""
        with self._lock:
            yield

    @contextmanager
    def transaction(self, *, durable: bool = False) -> Iterator[None]:
        """Join several statements into one change: all of it happens, or nothing.

        `durable` waits for the disk. A row that was added and is lost in a power cut leaves garbage, which is
        removed; one that was removed and comes back would stand for an image without its layers.
        """
        with self._lock:
            if self._connection.in_transaction:
                yield
                return
            if durable:
                self._connection.execute("PRAGMA synchronous=FULL")
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except sqlite3.OperationalError as error:
                # A full disk, or one that fails: SQLite may have rolled back already.
                self._connection.rollback()
                raise errors.SampanError(f"cannot write the image catalog: {error}") from error
            except BaseException:
                self._connection.rollback()
                raise
            finally:
                if durable:
                    self._connection.execute("PRAGMA synchronous=NORMAL")

    def _migrate(self) -> None:
        self._connection.execute(
            "CREATE TABLE IF NOT EXISTS schema_versions"
            " (component TEXT PRIMARY KEY, version INTEGER NOT NULL)"
        )
        with self.transaction():
            row = self._one("SELECT version FROM schema_versions WHERE component = ?", _COMPONENT)
            done = row[0] if row else 0
            for script in _MIGRATIONS[done:]:
                for statement in script.split(";\n"):
                    if statement.strip():
                        self._connection.execute(statement)
            self._connection.execute(
                "INSERT OR REPLACE INTO schema_versions VALUES (?, ?)", (_COMPONENT, len(_MIGRATIONS))
            )

    # Images

    def add_image(self, image_id: str, created: int, top_layer: str | None) -> bool:
        """Add an image whose layers are there; False if it is known already."""
        with self.transaction():
            if self.image(image_id) is not None:
                return False
            # An image that does not say when it was made is of the year 1: earlier than SQLite's integers go.
            created = max(created, _EARLIEST)
            self._run("INSERT INTO image_images VALUES (?, NULL, ?, NULL)", image_id, created)
            self._run("INSERT INTO image_tops VALUES (?, ?, ?)", _IMAGE, image_id, top_layer)
            return True

    def set_parent(self, image_id: str, parent: str) -> None:
        """Say which image this one was built on."""
        with self.transaction():
            self._run("UPDATE image_images SET parent = ? WHERE id = ?", parent, image_id)

    def remove_image(self, image_id: str) -> str | None:
        """Remove an image and its names; returns the layer that it stood on. Its children become orphans."""
        with self.transaction(durable=True):
            top = self._top(_IMAGE, image_id)
            self._run("DELETE FROM image_names WHERE image = ?", image_id)
            self._run("DELETE FROM image_tops WHERE kind = ? AND id = ?", _IMAGE, image_id)
            self._run("DELETE FROM image_images WHERE id = ?", image_id)
            return top

    def image(self, image_id: str) -> ImageRow | None:
        """Return an image by its full id."""
        row = self._one("SELECT id, parent, created, last_tagged FROM image_images WHERE id = ?", image_id)
        return ImageRow(*row) if row else None

    def images(self) -> list[ImageRow]:
        """Return all images, newest first."""
        rows = self._all(
            "SELECT id, parent, created, last_tagged FROM image_images ORDER BY created DESC, id"
        )
        return [ImageRow(*row) for row in rows]

    def image_count(self) -> int:
        """Return how many images there are."""
        row = self._one("SELECT count(*) FROM image_images")
        return int(row[0]) if row else 0

    def ids_with_prefix(self, prefix: str) -> list[str]:
        """Return up to two ids that begin like this: one, several, or none is all that matters."""
        query = "SELECT id FROM image_images WHERE id >= ? AND id < ? ORDER BY id LIMIT 2"
        return [row[0] for row in self._all(query, prefix, prefix + "g")]

    def children(self, image_id: str) -> list[str]:
        """Return the images that were built on this one."""
        return [row[0] for row in self._all("SELECT id FROM image_images WHERE parent = ?", image_id)]

    # Names

    def set_name(self, name: str, image_id: str, now: int | None = None) -> str | None:
        """Give an image a name; returns the image that had it, if it was another. `now`: a user tagged it."""
        with self.transaction():
            before = self.named(name)
            self._run("INSERT OR REPLACE INTO image_names VALUES (?, ?)", name, image_id)
            if now is not None:
                self._run("UPDATE image_images SET last_tagged = ? WHERE id = ?", now, image_id)
            return before if before != image_id else None

    def remove_name(self, name: str) -> None:
        """Take a name away."""
        with self.transaction():
            self._run("DELETE FROM image_names WHERE name = ?", name)

    def named(self, name: str) -> str | None:
        """Return the id of the image with this name."""
        row = self._one("SELECT image FROM image_names WHERE name = ?", name)
        return row[0] if row else None

    def names(self, image_id: str) -> list[str]:
        """Return an image's names, sorted."""
        return [
            row[0]
            for row in self._all("SELECT name FROM image_names WHERE image = ? ORDER BY name", image_id)
        ]

    def tags_of(self, repository: str) -> list[tuple[str, str]]:
        """Return (image id, name) of all the tags of a repository, sorted."""
        # ":" and ";" are neighbours in ASCII: the range holds what begins with "<repository>:".
        query = "SELECT image, name FROM image_names WHERE name >= ? AND name < ? ORDER BY name"
        rows = self._all(query, f"{repository}:", f"{repository};")
        return [(image, name) for image, name in rows]

    def all_names(self) -> dict[str, list[str]]:
        """Return the names of every image that has some, sorted."""
        names: dict[str, list[str]] = {}
        for name, image_id in self._all("SELECT name, image FROM image_names ORDER BY name"):
            names.setdefault(image_id, []).append(name)
        return names

    # Layers

    def add_layer(self, layer: Layer) -> None:
        """Add a layer that the driver holds."""
        with self.transaction():
            self._run(
                "INSERT OR IGNORE INTO image_layers VALUES (?, ?, ?, ?, ?)",
                layer.chain_id,
                layer.parent,
                layer.diff_id,
                layer.size,
                layer.tar_size,
            )

    def layer(self, chain_id: str) -> Layer | None:
        """Return a layer."""
        query = "SELECT chain_id, diff_id, parent, size, tar_size FROM image_layers WHERE chain_id = ?"
        row = self._one(query, chain_id)
        return Layer(*row) if row else None

    def layers(self) -> dict[str, Layer]:
        """Return all layers by chain id."""
        rows = self._all("SELECT chain_id, diff_id, parent, size, tar_size FROM image_layers")
        return {row[0]: Layer(*row) for row in rows}

    def forget_unused_layers(self, top: str | None, held: Container[str]) -> list[str]:
        """Remove the rows of a chain from its top down to the first layer that is needed or held.

        Returns the chain ids, top first, for the driver to remove.
        """
        forgotten: list[str] = []
        with self._lock:
            if top is None or top in held or self._is_needed(top):
                return forgotten
            with self.transaction(durable=True):
                while top is not None and top not in held and not self._is_needed(top):
                    layer = self.layer(top)
                    if layer is None:
                        break
                    self._run("DELETE FROM image_layers WHERE chain_id = ?", top)
                    forgotten.append(top)
                    top = layer.parent
        return forgotten

    def unused_tops(self) -> list[str]:
        """Return the layers that nothing stands on: left by work that was killed."""
        query = """
            SELECT chain_id FROM image_layers AS one
            WHERE NOT EXISTS (SELECT 1 FROM image_tops WHERE chain_id = one.chain_id)
              AND NOT EXISTS (SELECT 1 FROM image_layers WHERE parent = one.chain_id)
        """
        return [row[0] for row in self._all(query)]

    def _is_needed(self, chain_id: str) -> bool:
        row = self._one(
            "SELECT EXISTS (SELECT 1 FROM image_tops WHERE chain_id = ?1)"
            " OR EXISTS (SELECT 1 FROM image_layers WHERE parent = ?1)",
            chain_id,
        )
        return bool(row and row[0])

    # Containers: their writable layers, and the images that they mount

    def add_writable(self, container_id: str, chain_id: str | None) -> bool:
        """Note that a container is going to stand on a layer; False if that is gone."""
        return self._add_top(_WRITABLE, container_id, chain_id)

    def add_mounted(self, container_id: str, image_id: str, chain_id: str | None) -> bool:
        """Note that a container mounts an image, whose layers are to stay; False if they are gone."""
        return self._add_top(_MOUNTED, f"{container_id}/{image_id}", chain_id)

    def mounted(self, container_id: str, image_id: str) -> str | None:
        """Return the top layer of an image that a container mounts; None for one without layers."""
        return self._top(_MOUNTED, f"{container_id}/{image_id}")

    def remove_container(self, container_id: str) -> list[str]:
        """Forget a container; returns the layers that it stood on and those that it mounted."""
        own = "(kind = ? AND id = ?) OR (kind = ? AND id >= ? AND id < ?)"
        # "/" and "0" are neighbours in ASCII: the range holds what begins with "<container id>/".
        values = (_WRITABLE, container_id, _MOUNTED, f"{container_id}/", f"{container_id}0")
        with self.transaction():
            tops = [row[0] for row in self._all(f"SELECT chain_id FROM image_tops WHERE {own}", *values)]
            self._run(f"DELETE FROM image_tops WHERE {own}", *values)
            return [top for top in tops if top is not None]

    def containers(self) -> set[str]:
        """Return the containers that have a writable layer or mount an image."""
        rows = self._all("SELECT id FROM image_tops WHERE kind != ?", _IMAGE)
        return {row[0].partition("/")[0] for row in rows}

    def _add_top(self, kind: str, owner: str, chain_id: str | None) -> bool:
        with self.transaction():
            if chain_id is not None and self.layer(chain_id) is None:
                return False
            self._run("INSERT OR REPLACE INTO image_tops VALUES (?, ?, ?)", kind, owner, chain_id)
            return True

    def _top(self, kind: str, owner: str) -> str | None:
        row = self._one("SELECT chain_id FROM image_tops WHERE kind = ? AND id = ?", kind, owner)
        return row[0] if row else None

    # SQLite

    def _run(self, query: str, *values: str | int | None) -> None:
        self._connection.execute(query, values)

    def _one(self, query: str, *values: str | int) -> tuple[Any, ...] | None:
        rows = self._all(query, *values)
        return rows[0] if rows else None

    def _all(self, query: str, *values: str | int) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._connection.execute(query, values).fetchall()
