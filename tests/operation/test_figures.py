"""Figures and health as a monitoring system reads them. Spec: spec/operation.md, 2."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest
import trio.testing
from prometheus_client.parser import text_string_to_metric_families
from pydantic import ValidationError

from node.config.sections import LimitSettings
from node.config.telling import OperationSettings
from node.errors import ConfigError, StoreError
from node.operation.alarm_rows import Look
from node.operation.figures import Figures
from node.operation.listener import OperationListener
from node.operation.tokens import read_token
from node.vault.disk import DiskWatch
from tests.operation.looks import finding
from tests.post.harness import Federation, Institution, settled

TOKEN = b"a token of more than sixteen"
# Every label there may be: words of the specification.
LABELS = {"class", "state", "status", "channel", "code", "event", "of", "version", "schema", "le", "generation"}
DASHBOARD = Path("packaging/grafana/coffre.json")


def figures_of(institution: Institution) -> Figures:
    """A node's, as `Node.run` wires them."""
    operation = institution.node.operation
    assert operation is not None
    figures = Figures(institution.node, operation.office)
    institution.node.database.on_commit = figures.committed
    operation.sending.writer.on_deposited = figures.delivered
    return figures


def client(institution: Institution, figures: Figures, token: bytes = b"") -> httpx2.AsyncClient:
    """A client without a socket."""
    app = OperationListener(institution.node, figures, token).app()
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://127.0.0.1")


def parsed(text: str) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """What the official parser reads: by sample, by its labels."""
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in text_string_to_metric_families(text):
        assert family.documentation, family.name
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return found


def one(found: dict[str, dict[tuple[tuple[str, str], ...], float]], name: str, **labels: str) -> float:
    """The value of one sample."""
    return found[name][tuple(sorted((key.rstrip("_"), value) for key, value in labels.items()))]


@asynccontextmanager
async def exchange(folder: Path) -> AsyncIterator[tuple[Federation, Institution, Figures]]:
    """`anna` at a writes to `bruno` at b, who has read it; one more waits, since b is away."""
    async with Federation.pair(folder) as (federation, a, b):
        figures = figures_of(a)
        await figures.text()
        letter = await a.send("anna", "bruno@b.example", subject="SUBJECT-not-to-show", text="TEXT-not-to-show")
        await settled()
        await b.read("bruno", letter)
        await settled()
        await b.stop()
        await a.send("anna", "bruno@b.example")
        await settled()
        yield federation, a, figures


async def test_a_whole_exchange_in_figures(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    async with exchange(tmp_path) as (_, a, figures):
        await a.node.database.write(a.node.operator_alarms.write, Look(findings=(finding(),)))
        answer = await client(a, figures).get("/metrics")
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/plain; version=")
        found = parsed(answer.text)
        assert one(found, "coffre_events_total", event="submitted") == 2
        assert one(found, "coffre_events_total", event="login_failed") == 0
        assert one(found, "coffre_delivery_seconds_count", class_="normal") == 1
        assert one(found, "coffre_delivery_seconds_count", class_="urgent") == 0
        assert one(found, "coffre_outbox_letters", class_="normal", state="waiting") == 1
        assert 0 < one(found, "coffre_outbox_oldest_seconds", class_="normal") <= 120
        assert one(found, "coffre_outbox_oldest_seconds", class_="urgent") == 0
        assert one(found, "coffre_peers", state="unreached") == 1
        assert one(found, "coffre_peers", state="reached") == 0
        assert one(found, "coffre_links") == 0
        assert one(found, "coffre_mailboxes", status="open") == 1
        assert one(found, "coffre_alarms", code="disk") == 1
        assert one(found, "coffre_alarms", code="clock") == 0
        assert 390 * 86_400 < one(found, "coffre_expiry_seconds", of="keys") < 400 * 86_400
        assert one(found, "coffre_commit_seconds_count") == one(found, "coffre_commit_items_count") > 0
        assert one(found, "coffre_disk_size_bytes") > one(found, "coffre_disk_free_bytes") > 0
        assert one(found, "coffre_database_bytes") > 100_000
        assert "coffre_backup_age_seconds" not in found
        assert one(found, "process_open_fds") > 0
        # Nothing of people, letters or peers, and few series.
        for hidden in ("anna", "bruno", "SUBJECT", "TEXT", ".example", "Fictive", a.node.node_id.text[:8]):
            assert hidden not in answer.text
        labels = {name for samples in found.values() for key in samples for name, _ in key}
        assert labels <= LABELS
        assert sum(len(samples) for samples in found.values()) < 400


def names_in_text(text: str) -> set[str]:
    """Names of figures of ours."""
    return set(re.findall(r"coffre_[a-z_]+", text))


async def test_specification_dashboard_and_program_name_the_same_figures(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with Federation.opened(tmp_path) as federation:
        a = await federation.make("a")
        await a.start()
        await a.node.record_backup(SimpleNamespace(epoch=0, log_size=1))  # type: ignore[arg-type]
        text = (await figures_of(a).text()).decode()
    families = {family.name for family in text_string_to_metric_families(text) if family.name.startswith("coffre_")}
    samples = {name for name in parsed(text) if name.startswith("coffre_")} | families
    table = Path("spec/operation.md").read_text("utf-8").partition("## 2.")[2].partition("## 3.")[0]
    specified = {name.removesuffix("_total") for name in names_in_text(table)}
    # Below three linked peers there is none.
    assert specified ^ families == {"coffre_clock_offset_seconds"}
    dashboard = json.loads(DASHBOARD.read_text("utf-8"))
    queries = [target["expr"] for panel in all_panels(dashboard) for target in panel.get("targets", ())]
    assert len(queries) > 15
    used = {name for query in queries for name in names_in_text(query)}
    assert used <= samples | {"coffre_clock_offset_seconds"}
    rules = Path("packaging/prometheus/coffre-rules.yml").read_text("utf-8")
    assert names_in_text(rules) <= samples


def all_panels(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    """Panels, also those in rows."""
    return [inner for panel in dashboard["panels"] for inner in (panel, *panel.get("panels", ()))]


def test_the_dashboard_can_be_imported_anywhere() -> None:
    dashboard = json.loads(DASHBOARD.read_text("utf-8"))
    assert dashboard["uid"] == "coffre"
    assert dashboard["schemaVersion"] >= 36
    panels = all_panels(dashboard)
    ids = [panel["id"] for panel in panels]
    assert len(ids) == len(set(ids))
    names = {item["name"] for item in dashboard["templating"]["list"]}
    assert names == {"datasource", "instance"}
    for panel in panels:
        assert panel["title"]
        for target in panel.get("targets", ()):
            assert target["datasource"]["uid"] == "${datasource}"
            assert 'instance=~"$instance"' in target["expr"], panel["title"]


async def test_figures_are_shared_for_some_seconds(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    async with Federation.opened(tmp_path) as federation:
        a = await federation.make("a")
        await a.start()
        figures = figures_of(a)
        first = await figures.text()
        assert await figures.text() is first
        await trio.sleep(6)
        assert await figures.text() is not first


async def test_with_a_token_figures_are_shown_to_who_has_it(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with Federation.opened(tmp_path) as federation:
        a = await federation.make("a")
        await a.start()
        asking = client(a, figures_of(a), TOKEN)
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {TOKEN.decode()}"}):
            answer = await asking.get("/metrics", headers=headers)
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, 'Bearer realm="coffre"')
            assert "coffre_" not in answer.text
        right = {"Authorization": f"bearer {TOKEN.decode()}"}
        assert (await asking.get("/metrics", headers=right)).status_code == 200
        assert (await asking.get("/health")).text == "alive\n"
        assert (await asking.get("/ready")).json() == {"ready": True}
        assert set((await asking.get("/ready", headers=right)).json()["checks"]) == {
            "database",
            "disk",
            "clock",
            "keyring",
        }
        assert (await asking.post("/metrics", headers=right)).status_code == 405
        assert (await asking.get("/log-in")).status_code == 404


async def test_ready_names_what_is_wrong(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    async with Federation.opened(tmp_path) as federation:
        a = await federation.make("a")
        await a.start()
        asking = client(a, figures_of(a))
        assert (await asking.get("/ready")).json()["ready"] is True
        a.node.disk = DiskWatch(tmp_path, LimitSettings(), usage=lambda _folder: (96, 100))
        a.skew_ms = -3_600_000
        answer = await asking.get("/ready")
        assert answer.status_code == 503
        checks = answer.json()["checks"]
        assert checks["disk"] == "96 % used"
        assert checks["clock"].endswith("s behind the log")
        assert (checks["database"], checks["keyring"]) == ("ok", "ok")
        a.skew_ms = 400 * 86_400_000
        assert (await asking.get("/ready")).json()["checks"]["keyring"] == "the keys have ended"
        assert (await asking.get("/health")).status_code == 200
        a.skew_ms = 0


async def test_a_database_that_fails_is_told_as_such(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Federation.opened(tmp_path) as federation:
        a = await federation.make("a")
        await a.start()
        asking = client(a, figures_of(a))

        def fail(*_args: Any) -> None:
            raise StoreError("the database failed: gone")

        with monkeypatch.context() as patched:
            patched.setattr(a.node.database, "read_now", fail)
            assert (await asking.get("/metrics")).status_code == 503
            answer = await asking.get("/ready")
            assert answer.status_code == 503
            assert answer.json()["checks"]["database"] == "does not answer"
            assert (await asking.get("/health")).status_code == 200
        assert (await asking.get("/metrics")).status_code == 200


def test_elsewhere_than_on_loopback_a_token_is_needed(tmp_path: Path) -> None:
    for listen in ("127.0.0.1:9464", "[::1]:9464", "localhost:9464"):
        assert OperationSettings(listen=listen).is_on_loopback
    with pytest.raises(ValidationError, match="needs token_file"):
        OperationSettings(listen="0.0.0.0:9464")
    settings = OperationSettings(listen="0.0.0.0:9464", token_file="token")
    folder = SimpleNamespace(path=tmp_path)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_token(folder, settings)  # type: ignore[arg-type]
    (tmp_path / "token").write_text("short\n")
    with pytest.raises(ConfigError, match="holds no token"):
        read_token(folder, settings)  # type: ignore[arg-type]
    (tmp_path / "token").write_bytes(TOKEN + b"\nmore\n")
    assert read_token(folder, settings) == TOKEN  # type: ignore[arg-type]
