"""The table of routes: one module for each tag of Docker's API document."""

from __future__ import annotations

from sampan.api.routes import system

ALL = (*system.ROUTES,)
