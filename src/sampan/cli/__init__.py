"""The command line: Docker's commands, spoken to an engine over HTTP.

Owns what a user types and reads: flags, help, tables, templates, terminals, exit codes, all as the `docker`
CLI 28.2 has them. One verb is one file in `commands/`. Must not know the engine, the runtime or the kernel:
it imports nothing of Sampan but `wire`.

May cost: a whole `sampan ps` must not take longer than `docker ps`, and an interpreter that does nothing
takes half of that. So the modules on the path of `ps`, `run` and `exec` import only what is built into the
interpreter (`sys`, `posix`, `time`, `_signal`, `_socket`, `_json`): `os` alone costs a tenth of the budget,
`json` or `re` more than the rest of the program. `tests/cli/test_imports.py` holds the list. Everything else
is imported where it is used.
"""
