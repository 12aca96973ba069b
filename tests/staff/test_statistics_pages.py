"""Statistics in the staff's pages: what is shown, files, publishing, and addresses that are none."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from node.app import Node
from node.demo.synthetic_months import Growth, synthetic_months
from node.opening import open_node
from node.staff.account import StaffRole
from node.statistics.months import month_at, month_text
from tests.staff.colleagues import confirm, logged_in, press
from tests.web.published import made_node

OTHERS = {f"{letter * 51}a": ("", share) for letter, share in (("a", 0.7), ("b", 0.29), ("c", 0.01))}


async def with_a_year(node: Node) -> str:
    """A year of counts that ends with last month; returns that month."""
    statistics = node.statistics
    now = month_at(node.world.now_ms(), statistics.zone)
    months = synthetic_months(range(now - 12, now), Growth(first=90, last=900, people=40), OTHERS)
    await node.database.write_many(statistics.rows.put, list(months.items()))
    return month_text(now - 1)


async def test_a_year_is_shown_hidden_and_downloaded(tmp_path: Path) -> None:
    async with (
        open_node(await made_node(tmp_path / "node")) as node,
        logged_in(node, StaffRole.ADMINISTRATOR) as client,
    ):
        shown = await client.get("/staff/statistics/own")
        assert "Rien n’a été compté" in shown.text
        assert "n’a publié de totaux" in (await client.get("/staff/statistics/region")).text

        last = await with_a_year(node)
        shown = await client.get(f"/staff/statistics/own?to={last}")
        assert shown.status_code == 200
        for words in ("Courriers reçus, par priorité", "Cardiologie", "masqués", "la moitié est ouverte en"):
            assert words in shown.text
        # Two rheumatologists write many letters: whose they are is nobody's business.
        assert 'class="number"><abbr' in shown.text.partition("Rhumatologie")[2] or "≥" in shown.text
        assert shown.text.count("<svg") == shown.text.count("<desc id=")
        assert "days" not in shown.text
        assert 'id="days"' in (await client.get(f"/staff/statistics/own?from={last}&to={last}")).text

        picture = await client.get(f"/staff/statistics/own/received.png?to={last}")
        assert picture.content.startswith(b"\x89PNG")
        assert picture.headers["content-disposition"] == 'attachment; filename="own-received.png"'
        drawn = await client.get(f"/staff/statistics/own/received.svg?to={last}")
        assert ElementTree.fromstring(drawn.content).tag.endswith("svg")
        table = (await client.get(f"/staff/statistics/own/received.csv?to={last}")).content.decode("utf-8-sig")
        assert table.splitlines()[0] == "Mois,urgent,normal,en masse"
        assert len(table.splitlines()) == 13

        for wrong in ("from=2026-13", "to=nonsense", "from=2026-05&to=2026-04", "from=2001-01", "to=2199-12-31"):
            answer = await client.get(f"/staff/statistics/own?{wrong}")
            assert (answer.status_code, 'role="alert"' in answer.text) == (200, True), wrong
        for missing in ("received.gif", "nothing.svg", "x", "%3Cscript%3E.svg"):
            assert (await client.get(f"/staff/statistics/own/{missing}?to={last}")).status_code == 404


async def test_months_are_published_again_and_withdrawn(tmp_path: Path) -> None:
    async with (
        open_node(await made_node(tmp_path / "node")) as node,
        logged_in(node, StaffRole.ADMINISTRATOR) as client,
        logged_in(node, StaffRole.AUDITOR) as auditor,
    ):
        await with_a_year(node)
        page = "/staff/statistics/region"
        (first, *_) = await node.database.read(node.statistics.publisher.due, node.world.now_ms())
        assert "publish = true" in (await client.get(page)).text
        refused = await press(client, page, f"/staff/statistics/published/{first}/publish")
        assert (refused.status_code, "publishes no totals" in refused.text) == (409, True)
        node.statistics.publisher.is_on = True
        asked = await press(client, page, f"/staff/statistics/published/{first}/publish")
        assert "antidaté" not in (await client.get(f"{page}?from={first}")).text
        done = await confirm(client, asked)
        assert done.headers["location"] == f"{page}?done=published"
        shown = (await client.get(f"{page}?from={first}")).text
        assert "Publier à nouveau" in shown
        assert "Publier à nouveau" not in (await auditor.get(f"{page}?from={first}")).text
        # This node's identity is of today: whoever sees totals of last year from it counts them for nothing.
        assert "antidaté" in shown
        asked = await press(client, page, f"/staff/statistics/published/{first}/withdraw")
        assert (asked.status_code, "Retirer les totaux" in asked.text) == (200, True)
        done = await press(client, page, f"/staff/statistics/published/{first}/withdraw", confirmed="yes")
        assert done.headers["location"] == f"{page}?done=withdrawn"
        for month in ("2026-13", "x", "1999-01"):
            answer = await press(client, page, f"/staff/statistics/published/{month}/withdraw", confirmed="yes")
            assert answer.status_code == 409
