"""What the engine is told."""

from __future__ import annotations

from sampan import records
from sampan.daemon import config, flags
from sampan.daemon.run import settings
from sampan.engine.settings import Settings


def test_defaults_are_the_engines_own() -> None:
    assert settings(config.load(flags.parse([]))) == Settings()


def test_every_setting_can_be_configured() -> None:
    line = (
        "--data-root /d --exec-root /e -b b0 --bip 10.1.0.1/24 --mtu 1400 --cgroup-parent p --dns 1.1.1.1 "
        "--dns-opt ndots:1 --dns-search x.y --log-opt max-size=1m --label a=b -D --init-path /tini "
        "--insecure-registry r:5000"
    )
    told = settings(config.load(flags.parse(line.split())))
    unchanged = [
        field.name
        for field in records.fields(Settings)
        if getattr(told, field.name) == getattr(Settings(), field.name)
    ]
    assert unchanged == []
