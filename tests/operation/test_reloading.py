"""New settings in a running node. Spec: spec/operation.md, 6."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import trio.testing

from node.config.settings import Settings
from node.errors import ConfigError
from node.operation.reloading import Outcome, in_force, last_outcome
from node.settings_record import flat_settings
from node.vault.disk import DiskWatch
from protocol.letter import LetterClass
from protocol.logleaf import EventKind
from tests.post.harness import Federation, Institution
from tests.retention.years import leaves

MORE = """
[alerts]
login_url = "https://new.example/"
sms_webhook = "https://sms.example/"
[limits]
disk_bulk_percent = 1
letter_bytes = 4096
[operation]
listen = "127.0.0.1:9464"
[operation.alarms]
email = ["ops@a.example"]
"""
RELOADABLE = (
    "log_format",
    "alerts.",
    "operation.alarms.",
    "ladder.",
    "limits.disk_bulk_percent",
    "limits.disk_all_percent",
    "retention.received_days",
    "retention.sent_days",
    "retention.trash_days",
    "trust.threshold",
)
NOT_RELOADABLE = ("alerts.sms_webhook",)


def is_reloadable(key: str) -> bool:
    return key not in NOT_RELOADABLE and any(
        key.startswith(known) if known.endswith(".") else key == known for known in RELOADABLE
    )


def write(institution: Institution, text: str) -> None:
    """The file with these sections in the place of those that say nothing of the network and the database."""
    file = institution.node.folder.settings_file
    first, *sections = re.split(r"\n(?=\[)", file.read_text("utf-8"))
    kept = [section for section in sections if section.startswith(("[storage]", "[link]"))]
    file.write_text("\n".join([first, *kept, text]))


def recorded(institution: Institution) -> list[str]:
    """Codes of the leaves about settings."""
    return [
        "" if details is None else details.code or ""
        for kind, details in leaves(institution)
        if kind is EventKind.SETTINGS_CHANGED
    ]


async def reload(institution: Institution) -> Any:
    operation = institution.node.operation
    assert operation is not None
    return await operation.reloader.reload()


async def test_what_is_safe_is_taken_up_at_once_and_the_rest_waits(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, database_url: str
) -> None:
    async with Federation.opened(tmp_path) as federation:
        a = await federation.make("a", database=database_url)
        write(a, "")
        await a.start()
        # Half full, wherever the folder lies.
        a.node.disk = DiskWatch(tmp_path, a.node.settings.limits, usage=lambda _folder: (50, 100))
        assert not a.node.disk.refuses(LetterClass.BULK, 0)
        write(a, MORE)
        done = await reload(a)
        assert done.taken == ("alerts.login_url", "limits.disk_bulk_percent", "operation.alarms.email")
        assert done.waiting == ("alerts.sms_webhook", "limits.letter_bytes", "operation.listen")
        assert a.node.disk.refuses(LetterClass.BULK, 0)
        assert a.node.settings.operation.alarms.email == ("ops@a.example",)
        assert a.node.settings.operation.listen == ""
        assert recorded(a)[-1] == ",".join(done.taken)
        before = len(recorded(a))
        assert (await reload(a)).taken == ()
        assert len(recorded(a)) == before, "nothing changed, nothing to record"


async def test_bad_settings_are_refused_whole(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    async with Federation.opened(tmp_path) as federation:
        a = await federation.make("a")
        write(a, "")
        await a.start()
        before = (a.node.settings, recorded(a))
        for bad, why in (
            ("[limits]\ndisk_bulk_percent = 1\ndisk_all_percent = 101\n", "disk_all_percent"),
            ("[operation.alarms]\nemails = []\n", "did you mean operation.alarms.email"),
            ("[limits\n", "not valid TOML"),
        ):
            write(a, bad)
            with pytest.raises(ConfigError) as refused:
                await reload(a)
            assert why in refused.value.message + refused.value.hint
        operation = a.node.operation
        assert operation is not None
        await operation.reloader.try_reload()
        told = await a.node.database.read(last_outcome, a.node.state)
        assert (told.count, told.taken) == (1, "")
        assert "not valid TOML" in told.refused
        assert (a.node.settings, recorded(a)) == before
        write(a, '[ladder]\non_call = "anna@a.example"\n[keys]\nrenew = false\n')
        await operation.reloader.try_reload()
        told = await a.node.database.read(last_outcome, a.node.state)
        assert told == Outcome(2, "", "ladder.on_call", "keys.renew")


def settings(**changed: Any) -> Settings:
    return Settings(institution="A", domain="a.example", **changed)


def test_the_keys_said_to_be_safe_are_those_taken_up() -> None:
    old = settings()
    other: dict[str, Any] = {
        "institution": "B",
        "domain": "b.example",
        "passphrase_file": "x",
        "log_format": "json",
        "storage": {"database": "sqlite:///x"},
        "link": {"listen": "127.0.0.1:1", "endpoints": ["a.example:1"]},
        "limits": {
            "letter_bytes": 5000,
            "mailbox_quota_bytes": 1,
            "disk_bulk_percent": 1,
            "disk_all_percent": 2,
            "peer_unfinished_bytes": 3,
        },
        "alerts": {
            "smtp": {
                "host": "h",
                "port": 1,
                "security": "tls",
                "username": "u",
                "password_file": "p",
                "sender": "s",
                "ca_file": "c",
            },
            "webhook_secret_file": "w",
            "login_url": "l",
            "sms_webhook": "https://s.example",
        },
        "trust": {"threshold": 2},
        "keys": {"renew": False},
        "discovery": {"announce": True, "interfaces": ["127.0.0.1"]},
        "directory": {"follow": ["x"]},
        "web": {"listen": "127.0.0.1:2", "url": "https://a.example", "charter_file": "c", "idle_minutes": 5},
        "retention": {"received_days": 1, "sent_days": 2, "trash_days": 3, "warn_days": 4},
        "evidence": {"cosignatures": 1, "cosign_every_s": 30, "ask_witnesses": 2, "timestamp_url": "https://t.example"},
        "ladder": {"urgent_minutes": [1, 2, 3], "normal_minutes": [], "bulk_minutes": [1, 2, 3], "on_call": "x"},
        "operation": {
            "listen": "127.0.0.1:3",
            "token_file": "t",
            "alarms": {
                "email": ["a@a.example"],
                "webhook": "https://w.example",
                "repeat_hours": 1,
                "stuck_minutes": [1, 2, 3],
                "failed_log_ins": 1,
                "backup_days": 1,
                "peer_hours": 1,
            },
        },
    }
    new = settings(**{name: value for name, value in other.items() if name not in ("institution", "domain")})
    merged = flat_settings(in_force(old, new))
    before, after = flat_settings(old), flat_settings(new)
    changed = [key for key in before if before[key] != after[key]]
    assert len(changed) > 45
    for key in changed:
        assert (merged[key] == after[key]) is is_reloadable(key), key
