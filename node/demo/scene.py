"""The demo's story: institutions meet, write, open, answer, withdraw; every claim is checked.

Spec: spec/delivery.md.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import trio

from node.app import Node
from node.demo.audit_scene import audit_all
from node.demo.documents import write_cda, write_pdf
from node.demo.mail_sink import MailSink
from node.demo.operation_scene import operation_scene, operation_settings
from node.demo.region import NAME as REGION
from node.demo.region import vouch_for_all
from node.demo.statistics_scene import statistics_scene
from node.errors import CoffreError, StateError
from node.opening import open_node
from node.post.compose import AttachmentSource, Draft
from node.post.submit import Accepted
from node.relay.clients import DAY_MS, Admission
from node.reports.evidence_html import evidence_html
from node.running import run_node
from node.setup import init_node, prepare
from node.vault.access import OpenMailbox
from node.vault.alert_preferences import AlertPreferences
from node.vault.evidence_export import export_evidence
from node.vault.search.directory_search import SearchQuery
from node.vault.states import DeliveryState, LetterFolder
from node.vault.timeline import Timeline
from protocol.crypto import Secret
from protocol.entry import MailboxKind
from protocol.evidence_file import parse_evidence_file, write_evidence_file
from protocol.evidence_report import verify_evidence_file
from protocol.letter import LetterClass
from protocol.logleaf import EventKind

__all__ = ["Institution", "Scene"]

PASSWORD: Final = "demo-password"
_STEP_TIMEOUT_S: Final = 30

_REGION_FOLDER: Final = "region"
_CAST: Final = (
    (
        "hospital",
        "Hôpital des Tilleuls",
        "tilleuls.example",
        True,
        (("dr.fictive", "Dr Aline Fictive"), ("urgences", "Service des urgences")),
    ),
    ("clinic", "Clinique du Pont", "pont.example", True, (("dr.modele", "Dr Basile Modèle"),)),
    ("practice", "Cabinet des Lilas", "lilas.example", False, (("dr.exemple", "Dr Clara Exemple"),)),
    ("doctor", "Cabinet du Verger", "verger.example", False, (("dr.fable", "Dr David Fable"),)),
)


@dataclass(slots=True)
class Institution:
    """One institution of the demo, its node opened and running."""

    name: str
    node: Node
    folder: Path


class Scene:
    """Plays the story in a folder, telling it line by line."""

    def __init__(self, folder: Path, tell: Callable[[str], None]) -> None:
        self.folder = folder
        self._tell = tell
        self.sink = MailSink()
        self.institutions: dict[str, Institution] = {}

    @asynccontextmanager
    async def playing(self) -> AsyncIterator[None]:
        """Set up the institutions, run them, and stop them at the end."""
        async with AsyncExitStack() as stack:
            nursery = await stack.enter_async_context(trio.open_nursery())
            smtp_port: int = await nursery.start(self.sink.run)
            stop = trio.Event()
            for key, name, domain, listens, people in _CAST:
                node = await self._make(stack, key, name, domain, listens, people, smtp_port)
                self.institutions[key] = Institution(name, node, self.folder / key)
            await self._acquaint()
            done = []
            for institution in self.institutions.values():
                finished = trio.Event()
                done.append(finished)
                await nursery.start(partial(_run, institution.node, stop, finished))
            try:
                yield
            finally:
                stop.set()
                with trio.CancelScope(shield=True, deadline=trio.current_time() + _STEP_TIMEOUT_S):
                    for finished in done:
                        await finished.wait()
                nursery.cancel_scope.cancel()

    async def _make(
        self,
        stack: AsyncExitStack,
        key: str,
        name: str,
        domain: str,
        listens: bool,
        people: tuple[tuple[str, str], ...],
        smtp_port: int,
    ) -> Node:
        port = await _free_port()
        new = prepare(
            path=self.folder / key,
            institution=name,
            domain=domain,
            listen=f"127.0.0.1:{port}" if listens else "",
            kind=_kind(key),
            town="Toulouse",
        )
        result = await init_node(new)
        settings = new.path / "coffre.toml"
        text = settings.read_text("utf-8").replace('host = ""\nport = 587', f'host = "127.0.0.1"\nport = {smtp_port}')
        text = text.replace('security = "starttls"', 'security = "none"').replace(
            'sender = ""', f'sender = "coffre@{domain}"'
        )
        before, web, after = text.partition("\n[web]\n")
        web_port = await _free_port()
        after = after.replace('listen = ""', f'listen = "127.0.0.1:{web_port}"', 1)
        # By name, not by number: passkeys exist for names alone.
        after = after.replace('url = ""', f'url = "https://localhost:{web_port}"', 1)
        if key == "hospital":
            # The region's maintainer works at the hospital's pages.
            after = after.replace('maintainer_desk = ""', f'maintainer_desk = "../{_REGION_FOLDER}"', 1)
        text = before + web + after
        if key == "hospital":
            text = operation_settings(text, f"127.0.0.1:{await _free_port()}")
        settings.write_text(text, encoding="utf-8")
        node = await stack.enter_async_context(open_node(new.path))
        where = f"on 127.0.0.1:{port}" if listens else "dials out only"
        self._tell(f"{name:24} {where:20} fingerprint {result.digits}")
        for local, person in people:
            await _add_mailbox(node, f"{local}@{domain}", person)
        return node

    async def _acquaint(self) -> None:
        """A maintainer vouches for all; each institution trusts it, so that none has to telephone every other."""
        kinds = [(item.node, _kind(key)) for key, item in self.institutions.items()]
        digits = await vouch_for_all(self.folder / _REGION_FOLDER, kinds)
        self._tell(f"{REGION:24} {'maintainer':20} fingerprint {digits}")
        self._tell(f"{REGION} vouches for {len(kinds)} institutions, which trust it")
        relay, client = self.institutions["hospital"], self.institutions["doctor"]
        quota = Admission(node=client.node.node_id, quota_bytes=10**9, quota_letters=1000, max_age_ms=14 * DAY_MS)
        await relay.node.database.write(relay.node.relay_clients.admit, quota)
        await client.node.database.write(client.node.relay_clients.use, relay.node.node_id)
        self._tell(f"{client.name} can be reached through its relay alone: {relay.name}")

    def pages(self) -> list[tuple[str, str, list[str]]]:
        """Of each institution: its name, the address of its pages, the mailboxes that log in there."""
        found = []
        for key, name, _, _, people in _CAST:
            url = self.institutions[key].node.settings.web.url
            found.append((name, url, [local for local, _ in people]))
        return found

    @property
    def figures(self) -> str:
        """Where the hospital shows figures and health."""
        return f"http://{self.institutions['hospital'].node.settings.operation.listen}"

    # -- the story

    async def play(self) -> None:
        """Write, open, answer and withdraw letters; StateError if anything is not as it must be."""
        hospital, clinic, practice = (self.institutions[key].node for key in ("hospital", "clinic", "practice"))
        await _eventually(self._directories_are_there, "the directories did not arrive")
        self._tell("directories exchanged")
        documents = self.folder / "documents"
        documents.mkdir()
        cda = write_cda(
            documents / "compte-rendu.xml", title="Compte rendu", author="Dr Aline Fictive", number=1, paragraphs=1200
        )
        pdf = write_pdf(documents / "ordonnance.pdf", title="Ordonnance fictive - Camille EXEMPLE")
        scan = documents / "imagerie.bin"
        await trio.Path(scan).write_bytes(hashlib.shake_256(b"demo").digest(5_000_000))

        await self._search(hospital, "exemple lilas", "dr.exemple@lilas.example")
        fictive = await _open(hospital, "dr.fictive@tilleuls.example")
        modele = await _open(clinic, "dr.modele@pont.example")
        exemple = await _open(practice, "dr.exemple@lilas.example")
        subject = "Sortie de Mme Camille EXEMPLE"
        to = ("dr.modele@pont.example", "dr.exemple@lilas.example")
        files, cc = (cda, pdf, scan), ("urgences@tilleuls.example",)
        first = await self._send(hospital, fictive, to, subject, files, cc=cc)
        await self._opened(clinic, modele, first, (cda, pdf, scan))
        await self._opened(practice, exemple, first, (cda, pdf, scan))
        urgences = await _open(hospital, "urgences@tilleuls.example")
        await self._opened(hospital, urgences, first, (cda, pdf, scan))
        second = await self._send(
            practice,
            exemple,
            ("dr.fictive@tilleuls.example",),
            "Re: Sortie de Mme Camille EXEMPLE",
            (pdf,),
            LetterClass.URGENT,
        )
        await self._opened(hospital, fictive, second, (pdf,))
        third = await self._send(clinic, modele, ("dr.fictive@tilleuls.example",), "Envoyé par erreur", ())
        await self._reach(clinic, modele, third, DeliveryState.DEPOSITED)
        await clinic.withdrawals.request(modele, await clinic.reading.find(modele, LetterFolder.SENT, third.row.hex()))
        await self._reach(clinic, modele, third, DeliveryState.WITHDRAWN)
        await self._reach(hospital, fictive, first, DeliveryState.OPENED)
        await self._reach(practice, exemple, second, DeliveryState.OPENED)
        await self._by_relay(practice, exemple, pdf)
        proofs = [
            await self._prove(node, letter) for node, letter in ((hospital, first), (practice, second), (clinic, third))
        ]
        await _eventually(lambda: _true(len(self.sink.mails) >= 5), "alerts did not arrive")
        self._tell(f"{len(self.sink.mails)} alerts by e-mail, none with content: « {self.sink.mails[0][1]} »")
        nodes = [item.node for item in self.institutions.values()]
        await audit_all(self.folder, nodes, first.letter_id, proofs, self._tell)
        self._tell(await statistics_scene(self.folder / "region-year", hospital))
        await operation_scene(hospital, "urgences@tilleuls.example", self._mail_to, self._tell)

    async def _mail_to(self, recipient: str) -> str:
        await _eventually(lambda: _true(any(to == recipient for to, _ in self.sink.mails)), f"no mail to {recipient}")
        return next(subject for to, subject in self.sink.mails if to == recipient)

    async def _by_relay(self, practice: Node, sender: OpenMailbox, pdf: Path) -> None:
        """Two practices behind their routers: neither can dial the other."""
        doctor = self.institutions["doctor"].node
        reader = await _open(doctor, "dr.fable@verger.example")
        letter = await self._send(practice, sender, (reader.address,), "Avis pour M. Camille FICTIF", (pdf,))
        await self._opened(doctor, reader, letter, (pdf,))
        await self._reach(practice, sender, letter, DeliveryState.OPENED)
        timeline = await self._timeline(practice, sender, letter)
        if not any(event.kind is EventKind.RELAYED for event in timeline.events):
            raise StateError("the letter did not go by way of the relay")
        self._tell(f"it waited, sealed, at {self.institutions['hospital'].name}")

    async def _directories_are_there(self) -> bool:
        for institution in self.institutions.values():
            for _, _, domain, _, people in _CAST:
                for local, _ in people:
                    try:
                        await institution.node.database.read(institution.node.directory.find, f"{local}@{domain}")
                    except CoffreError:
                        return False
        return True

    async def _search(self, node: Node, text: str, wanted: str) -> None:
        page = await node.database.read(node.directory.search.page, SearchQuery(text=text))
        if [match.shown.address for match in page.matches] != [wanted]:
            raise StateError(f"a search for {text!r} did not find {wanted}")
        self._tell(f"directory search « {text} »: {wanted}")

    async def _send(
        self,
        node: Node,
        sender: OpenMailbox,
        to: tuple[str, ...],
        subject: str,
        files: tuple[Path, ...],
        letter_class: LetterClass = LetterClass.NORMAL,
        cc: tuple[str, ...] = (),
    ) -> Accepted:
        types = {".xml": "application/xml", ".pdf": "application/pdf"}
        attachments = tuple(
            AttachmentSource(
                name=path.name,
                media_type=types.get(path.suffix, "application/octet-stream"),
                size=path.stat().st_size,
                path=path,
            )
            for path in files
        )
        text = "Bonjour,\n\nVoici les documents. Toutes les personnes sont fictives.\n"
        draft = Draft(
            sender=sender,
            to=to,
            cc=cc,
            subject=subject,
            text=text,
            attachments=attachments,
            letter_class=letter_class,
        )
        accepted = await node.submitter.submit(draft)
        self._tell(f"{sender.address} wrote « {subject} » to {', '.join(to + cc)}")
        return accepted

    async def _opened(self, node: Node, reader: OpenMailbox, letter: Accepted, files: tuple[Path, ...]) -> None:
        """Wait for the letter, open it, and compare every file byte for byte."""

        async def here() -> bool:
            page = await node.reading.page(reader, LetterFolder.INBOX)
            return any(item.letter is not None and item.letter.letter_id == letter.letter_id for item in page)

        await _eventually(here, f"the letter did not reach {reader.address}")
        page = await node.reading.page(reader, LetterFolder.INBOX)
        summary = next(item for item in page if item.letter and item.letter.letter_id == letter.letter_id)
        handed_out = await node.reading.open(reader, summary.stored)
        target = self.folder / "opened" / reader.address / letter.letter_id.text[:8]
        target.mkdir(parents=True)
        for index, path in enumerate(files):
            saved = await node.world.run_blocking(handed_out.content.save_attachment, index, target, lambda _done: None)
            if saved.read_bytes() != path.read_bytes():
                raise StateError(f"{saved} is not the file that was sent")
        self._tell(f"{reader.address} opened it: {len(files)} files, byte for byte")

    async def _timeline(self, node: Node, sender: OpenMailbox, letter: Accepted) -> Timeline:
        stored = await node.reading.find(sender, LetterFolder.SENT, letter.row.hex())
        return await node.timelines.timeline(stored)

    async def _reach(self, node: Node, sender: OpenMailbox, letter: Accepted, state: DeliveryState) -> None:
        async def reached() -> bool:
            timeline = await self._timeline(node, sender, letter)
            return all(line.state is state for line in timeline.recipients)

        await _eventually(reached, f"not every recipient came to {state.word}")
        timeline = await self._timeline(node, sender, letter)
        for line in timeline.recipients:
            self._tell(f"    {line.address:28} {line.institution:22} {line.state.word}")

    async def _prove(self, node: Node, letter: Accepted) -> Path:
        made = await export_evidence(node.database, node.keys, node.directory, node.outbox, letter.row.hex())
        data = write_evidence_file(made)
        path = self.folder / f"evidence-{letter.letter_id.text[:8]}.txt"
        await trio.Path(path).write_bytes(data)
        nodes = [item.node.node_id for item in self.institutions.values()]
        report = verify_evidence_file(parse_evidence_file(data), expected_nodes=nodes)
        if not report.ok:
            raise StateError(f"{path} does not verify")
        self._tell(f"evidence: {len(report.events)} signed events verify from {path.name} alone ({len(data)} bytes)")
        page = path.with_suffix(".html")
        told = evidence_html(
            data,
            made,
            report,
            language="fr",
            made_at_ms=node.world.now_ms(),
            enclosed=True,
            file_name=path.name,
        )
        await trio.Path(page).write_text(told, encoding="utf-8")
        self._tell(f"told in plain words, to print: {page}")
        return path


def _kind(key: str) -> str:
    return "practice" if key in ("practice", "doctor") else "hospital"


async def _run(node: Node, stop: trio.Event, finished: trio.Event, *, task_status: trio.TaskStatus[object]) -> None:
    await run_node(node, stop=stop, task_status=task_status)
    finished.set()


async def _true(value: bool) -> bool:
    return value


async def _eventually(condition: Callable[[], object], problem: str) -> None:
    """Look until the condition holds. The demo watches real nodes from outside, so it has to look."""
    with trio.move_on_after(_STEP_TIMEOUT_S):
        while not await condition():  # type: ignore[misc]
            await trio.sleep(0.05)
        return
    raise StateError(problem)


async def _free_port() -> int:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port: int = listeners[0].socket.getsockname()[1]
    for listener in listeners:
        await listener.aclose()
    return port


async def _add_mailbox(node: Node, address: str, person: str) -> None:
    new = node.mailboxes.prepare(
        address=address,
        name=person,
        quota_bytes=10**9,
        kind=MailboxKind.SERVICE if person.startswith("Service") else MailboxKind.PERSON,
        town="Toulouse",
    )
    made = await node.mailboxes.create(new, Secret(PASSWORD.encode()))
    await node.database.write(node.alerts.set_preferences, (made.id, AlertPreferences(email=f"alerts+{address}")))


async def _open(node: Node, address: str) -> OpenMailbox:
    return await node.mailboxes.open(address, Secret(PASSWORD.encode()))
