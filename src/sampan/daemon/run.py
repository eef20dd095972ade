"""The daemon's life: folders and locks, engine, API, signals, and an orderly end.

The sockets are bound before the engine starts, so that a second daemon fails early and clients that come too
soon wait instead of failing; they are served once the engine is ready.
"""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import logging
import os
import signal
import socket

from sampan import errors
from sampan.api import addresses, routes
from sampan.api.addresses import Listener
from sampan.api.server import Server
from sampan.daemon import pidfile
from sampan.daemon.config import Config
from sampan.engine.engine import Engine
from sampan.engine.settings import Settings

_SIGNAL_NAMES = {signal.SIGTERM: "terminated", signal.SIGINT: "interrupt"}
_PATIENCE = 3
"""How many signals it takes to end at once, as with dockerd."""

_log = logging.getLogger("sampan.daemon")


def run(config: Config) -> None:
    """Run the daemon until a signal ends it. Raises SampanError or OSError when it cannot start."""
    if os.geteuid() != 0:
        raise errors.PermissionDenied("the Sampan daemon needs to be started with root privileges")
    os.umask(0o022)
    faulthandler.register(signal.SIGUSR1)  # a stack dump of all threads on stderr: dockerd's signal for it
    _log.info("Starting up")
    os.makedirs(config.text("data-root"), 0o710, exist_ok=True)
    os.makedirs(config.text("exec-root"), 0o700, exist_ok=True)
    lock = pidfile.lock(config.text("data-root"))
    pidfile.write(config.text("pidfile"))
    try:
        asyncio.run(_Life(config).run())
    finally:
        pidfile.remove(config.text("pidfile"))
        os.close(lock)


class _Life:
    """One run of engine and API."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._end = asyncio.Event()
        self._signals = 0

    async def run(self) -> None:
        self._handle_signals()
        listeners = self._bind()
        engine = Engine(settings(self._config))
        server = Server(engine, routes.ALL)
        try:
            await engine.start()
            for listener in listeners:
                await server.listen(listener)
            self._announce()
            await self._end.wait()
        finally:
            await server.close(self._config.number("shutdown-timeout"))
            await engine.close()
            for listener in listeners:
                listener.close()
        _log.info("Daemon shutdown complete")

    def _bind(self) -> list[Listener]:
        """Listen on all addresses, or on none."""
        group = self._config.group()
        listeners: list[Listener] = []
        try:
            for address in self._config.hosts:
                listeners.append(addresses.listen(address, group=group))
        except OSError:
            for listener in listeners:
                listener.close()
            raise
        return listeners

    def _announce(self) -> None:
        # What was made until now lives as long as the daemon: the collector need not look at it again.
        gc.collect()
        gc.freeze()
        _log.info("Daemon has completed initialization")
        for address in self._config.hosts:
            _log.info("API listen on %s", address.path or address.text)
        _notify_systemd("READY=1")

    def _handle_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in _SIGNAL_NAMES:
            loop.add_signal_handler(number, self._stop, number)
        loop.add_signal_handler(signal.SIGHUP, self._reload)

    def _stop(self, number: signal.Signals) -> None:
        _log.info("Processing signal '%s'", _SIGNAL_NAMES[number])
        self._signals += 1
        self._end.set()
        if self._signals == _PATIENCE:
            _log.info("Forcing daemon shutdown without cleanup: %d interrupts received", _PATIENCE)
            os._exit(128 + number)

    def _reload(self) -> None:
        _log.warning("Got signal to reload configuration: this is not supported, restart the daemon instead")


def settings(config: Config) -> Settings:
    """The engine's part of the configuration."""
    return Settings(
        data_root=config.text("data-root"),
        exec_root=config.text("exec-root"),
        bridge=config.text("bridge"),
        bip=config.text("bip"),
        mtu=config.number("mtu"),
        cgroup_parent=config.text("cgroup-parent"),
        insecure_registries=config.texts("insecure-registries"),
        dns=config.texts("dns"),
        dns_options=config.texts("dns-opts"),
        dns_search=config.texts("dns-search"),
        log_options=config.mapping("log-opts"),
        labels=config.texts("labels"),
        debug=config.log_level == "debug",
        init_path=config.text("init-path"),
    )


def _notify_systemd(state: str) -> None:
    """Tell systemd that we are ready (sd_notify(3)), when it started us with `Type=notify`."""
    path = os.environ.pop("NOTIFY_SOCKET", "")
    if not path:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        try:
            notify.sendto(state.encode(), path.replace("@", "\0", 1) if path.startswith("@") else path)
        except OSError as error:
            _log.warning("cannot notify systemd: %s", error)
