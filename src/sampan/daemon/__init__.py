"""The daemon: wires engine and API together from argv and daemon.json, and lives until a signal ends it.

`python -m sampan.daemon` (`sampan daemon`) takes dockerd's flags and configuration keys. Containers live on
when it ends: that is the shim's work, and the reason why ending quickly is safe.
"""
