"""Answers from outside: letters of the node's own mailbox for them, since nobody outside has a key to sign with.

Spec: spec/pickup.md, 6. Its secrets are sealed under the data key: it keeps no copies and nobody writes to it, so they
open nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from node.errors import LimitError, StateError
from node.post.compose import AttachmentSource, Draft
from node.post.submit import Accepted, Submitter
from node.reports.rendering import N_, language_of
from node.vault.access import OpenMailbox
from node.vault.database import Database, Transaction
from node.vault.mailboxes import Mailboxes, NewMailbox
from node.vault.node_state import NodeState
from node.vault.ways import MailboxSecrets
from protocol.crypto import SealSecret, SigningSecret
from protocol.entry import Accepts, MailboxKind
from protocol.ids import MailboxId
from protocol.letter import MAX_SUBJECT_BYTES, Letter, LetterClass

__all__ = ["MAX_ANSWER_BYTES", "MAX_ANSWER_FILES", "MAX_ANSWER_TEXT_BYTES", "Answer", "AnswerBox", "AnswerFile"]

MAX_ANSWER_TEXT_BYTES: Final = 64 * 1024
MAX_ANSWER_FILES: Final = 10
MAX_ANSWER_BYTES: Final = 10 * 1024 * 1024
_STATE: Final = "outside_mailbox"
_NAME: Final = "Réponses de l'extérieur · Answers from outside"
_LIFETIME_MS: Final = 14 * 86_400_000
_SPARE_NAMES: Final = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerFile:
    """A document of an answer: its name, media type and bytes."""

    name: str
    media_type: str
    data: bytes

    def source(self) -> AttachmentSource:
        """It as an attachment: never a file in clear."""

        def pieces() -> Iterable[bytes]:
            return [self.data]

        return AttachmentSource(
            name=self.name, media_type=self.media_type, size=len(self.data), path=Path(self.name), pieces=pieces
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What somebody outside wrote. address: the e-mail address that the link went to."""

    address: str
    language: str
    text: str
    files: tuple[AnswerFile, ...] = ()

    def check(self) -> None:
        """LimitError beyond the limits; StateError for an answer without anything."""
        if not self.text.strip() and not self.files:
            raise StateError("the answer is empty", hint="write a text, or add a document")
        if len(self.text.encode()) > MAX_ANSWER_TEXT_BYTES or "\0" in self.text:
            raise LimitError("the text is too long", hint="add it as a document")
        if len(self.files) > MAX_ANSWER_FILES or sum(len(file.data) for file in self.files) > MAX_ANSWER_BYTES:
            raise LimitError(f"at most {MAX_ANSWER_FILES} documents of 10 MB together")


class AnswerBox:
    """The mailbox that answers come from: made when it is first needed."""

    def __init__(
        self,
        *,
        database: Database,
        state: NodeState,
        mailboxes: Mailboxes,
        submitter: Submitter,
        domain: str,
        quota_bytes: int,
    ) -> None:
        self._database = database
        self._state = state
        self._mailboxes = mailboxes
        self._submitter = submitter
        self._domain = domain
        self._quota_bytes = quota_bytes

    def find(self, connection: sa.Connection) -> OpenMailbox | None:
        """The mailbox; None if nobody wrote outside yet."""
        fields = self._state.find(connection, _STATE)
        if fields is None:
            return None
        secrets = MailboxSecrets(SealSecret(fields.fixed("read", 96)), SigningSecret(fields.fixed("sign", 32)))
        return OpenMailbox(MailboxId(fields.fixed("mb", 16)), fields.text("address", high=254), secrets)

    async def mailbox_id(self) -> MailboxId | None:
        """The id by which its letters are known."""
        found = await self._database.read(self.find)
        return None if found is None else found.id

    async def ensure(self) -> OpenMailbox:
        """The mailbox, made if there is none. StateError where nothing may be published now."""
        found = await self._database.read(self.find)
        if found is not None:
            return found
        taken = {mailbox.address for mailbox in await self._mailboxes.all()}
        names = ["outside", *(f"outside-{number}" for number in range(2, _SPARE_NAMES + 1))]
        address = next((full for name in names if (full := f"{name}@{self._domain}") not in taken), None)
        if address is None:
            raise StateError(f"every address from outside@{self._domain} on is taken", hint="close one of them")
        new = self._mailboxes.prepare(
            address=address,
            name=_NAME,
            quota_bytes=self._quota_bytes,
            kind=MailboxKind.APPLICATION,
            accepts=Accepts(1, classes=(LetterClass.BULK,)),  # an entry takes one class at least
        )
        return await self._database.write(self._make, replace(new, entry=replace(new.entry, listed=False)))

    def _make(self, tx: Transaction, items: Sequence[NewMailbox]) -> Sequence[OpenMailbox | Exception]:
        results: list[OpenMailbox | Exception] = []
        for new in items:
            found = self.find(tx.connection)  # another process, or the item before, may have made it
            if found is not None:
                results.append(found)
                continue
            made = self._mailboxes.create_kept(tx, new)
            if isinstance(made, Exception):
                results.append(made)
                continue
            secrets = new.secrets
            fields = {
                "mb": bytes(made.id),
                "address": made.address,
                "read": secrets.read.reveal(),
                "sign": secrets.sign.reveal(),
            }
            self._state.set(tx, _STATE, dict(fields))
            results.append(OpenMailbox(made.id, made.address, secrets))
        return results

    async def deposit(self, answer: Answer, letter: Letter) -> Accepted:
        """Send an answer to whoever wrote this letter, in its thread. Errors as `Submitter.submit`."""
        answer.check()
        language = language_of(answer.language)
        head = language.text(
            N_("From outside, not verified: written on the page of the letter to {address}."), address=answer.address
        )
        subject = letter.subject if letter.subject.lower().startswith("re:") else f"Re: {letter.subject}"
        draft = Draft(
            sender=await self.ensure(),
            to=(letter.sender.address,),
            subject=subject.encode()[:MAX_SUBJECT_BYTES].decode("utf-8", "ignore"),
            text=f"{head}\n\n{answer.text}",
            attachments=tuple(file.source() for file in answer.files),
            thread=letter.thread,
            lifetime_ms=_LIFETIME_MS,
            keeps_copy=False,
        )
        return await self._submitter.submit(draft)
