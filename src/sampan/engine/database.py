"""The database: one row for each container, and one for each network of the user's.

Owns the `engine_` tables and every SQL statement of the engine. Safe from any thread; each method is one
transaction of 30 µs. Written in the order of a crash: the intent before the kernel is touched, the
outcome after.
"""

from __future__ import annotations

import sqlite3
import threading

import msgspec

from sampan import errors
from sampan.engine.networkrecord import NetworkRecord
from sampan.engine.record import Record, Status
from sampan.engine.states import Intent
from sampan.records import dataclass

_COMPONENT = "engine"
_MIGRATIONS = (
    """
    CREATE TABLE engine_containers (
        id TEXT PRIMARY KEY,
        record BLOB NOT NULL,       -- JSON of Record
        status BLOB NOT NULL,       -- JSON of Status
        intent TEXT NOT NULL        -- what is being done to it, or ''
    ) WITHOUT ROWID;
    CREATE TABLE engine_facts (
        name TEXT PRIMARY KEY,
        value TEXT NOT NULL
    ) WITHOUT ROWID;
    """,
    """
    CREATE TABLE engine_networks (
        id TEXT PRIMARY KEY,
        record BLOB NOT NULL        -- JSON of NetworkRecord
    ) WITHOUT ROWID;
    UPDATE engine_containers        -- there were no other networks than the default one
    SET status = json_remove(json_set(
        CAST(status AS TEXT),
        '$.endpoints',
        CASE
            WHEN json_extract(CAST(status AS TEXT), '$.endpoint') IS NULL THEN json('{}')
            ELSE json_object('bridge', json(json_extract(CAST(status AS TEXT), '$.endpoint')))
        END
    ), '$.endpoint');
    """,
)


@dataclass(frozen=True, slots=True)
class Row:
    """A container as it was found at start."""

    record: Record
    status: Status
    intent: Intent


class Database:
    """The engine's connection."""

    def __init__(self, path: str) -> None:
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=NORMAL")
        self._migrate()

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def load(self) -> list[Row]:
        """All containers, in the order of their creation."""
        with self._lock:
            rows = self._connection.execute("SELECT record, status, intent FROM engine_containers").fetchall()
        found = [
            Row(
                msgspec.json.decode(record, type=Record),
                msgspec.json.decode(status, type=Status),
                Intent(intent),
            )
            for record, status, intent in rows
        ]
        return sorted(found, key=lambda row: row.record.created)

    def insert(self, record: Record, status: Status, intent: Intent) -> None:
        self._execute(
            "INSERT INTO engine_containers VALUES (?, ?, ?, ?)",
            (record.id, msgspec.json.encode(record), msgspec.json.encode(status), intent.value),
        )

    def set_intent(self, identifier: str, intent: Intent) -> None:
        self._execute("UPDATE engine_containers SET intent = ? WHERE id = ?", (intent.value, identifier))

    def save_status(self, identifier: str, status: Status, intent: Intent = Intent.NONE) -> None:
        """Write the outcome of what was intended."""
        self._execute(
            "UPDATE engine_containers SET status = ?, intent = ? WHERE id = ?",
            (msgspec.json.encode(status), intent.value, identifier),
        )

    def save_record(self, record: Record) -> None:
        self._execute(
            "UPDATE engine_containers SET record = ? WHERE id = ?", (msgspec.json.encode(record), record.id)
        )

    def delete(self, identifier: str) -> None:
        self._execute("DELETE FROM engine_containers WHERE id = ?", (identifier,))

    def networks(self) -> list[NetworkRecord]:
        """The user's networks, in the order of their creation."""
        with self._lock:
            rows = self._connection.execute("SELECT record FROM engine_networks").fetchall()
        found = [msgspec.json.decode(record, type=NetworkRecord) for (record,) in rows]
        return sorted(found, key=lambda record: record.created)

    def insert_network(self, record: NetworkRecord) -> None:
        self._execute("INSERT INTO engine_networks VALUES (?, ?)", (record.id, msgspec.json.encode(record)))

    def save_network(self, record: NetworkRecord) -> None:
        self._execute(
            "UPDATE engine_networks SET record = ? WHERE id = ?", (msgspec.json.encode(record), record.id)
        )

    def delete_network(self, identifier: str) -> None:
        self._execute("DELETE FROM engine_networks WHERE id = ?", (identifier,))

    def fact(self, name: str, value: str) -> str:
        """A fact about this engine that never changes: `value` if it was not known yet."""
        self._execute("INSERT OR IGNORE INTO engine_facts VALUES (?, ?)", (name, value))
        with self._lock:
            query = "SELECT value FROM engine_facts WHERE name = ?"
            return str(self._connection.execute(query, (name,)).fetchone()[0])

    def _execute(self, statement: str, values: tuple[object, ...]) -> None:
        try:
            with self._lock:
                self._connection.execute(statement, values)
        except sqlite3.OperationalError as error:
            # A full disk, mostly. SQLite has undone the statement.
            raise errors.SampanError(f"cannot write the engine's database: {error}") from error

    def _migrate(self) -> None:
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS schema_versions"
            " (component TEXT PRIMARY KEY, version INTEGER NOT NULL)"
        )
        query = "SELECT version FROM schema_versions WHERE component = ?"
        found = connection.execute(query, (_COMPONENT,)).fetchone()
        version = found[0] if found else 0
        if version > len(_MIGRATIONS):
            connection.execute("ROLLBACK")
            raise errors.SampanError("the database was written by a newer version of Sampan")
        for migration in _MIGRATIONS[version:]:
            for statement in filter(str.strip, migration.split(";")):
                connection.execute(statement)
        connection.execute(
            "INSERT OR REPLACE INTO schema_versions VALUES (?, ?)", (_COMPONENT, len(_MIGRATIONS))
        )
        connection.execute("COMMIT")
