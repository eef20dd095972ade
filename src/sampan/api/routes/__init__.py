"""The table of routes: one module for each tag of Docker's API document."""

from __future__ import annotations

from sampan.api.routes import (
    archives,
    builds,
    containers,
    execs,
    images,
    networks,
    plugins,
    system,
    unserved,
    volumes,
)

# What is not served yet stands last: its patterns end where another module's `{name}` may begin.
ALL = (
    *system.ROUTES,
    *archives.ROUTES,
    *containers.ROUTES,
    *execs.ROUTES,
    *images.ROUTES,
    *networks.ROUTES,
    *volumes.ROUTES,
    *plugins.ROUTES,
    *builds.ROUTES,
    *unserved.ROUTES,
)
