"""The OCI runtime: config.json in, an isolated process out; a library (`launch`) and a command
(`sampan-runtime`).

Owns what happens between a bundle and `execve`: namespaces, mounts, devices, cgroups, privileges, and joining
a running container. Knows neither images nor Docker, and imports the standard library and `sampan.linux`
alone.
"""
