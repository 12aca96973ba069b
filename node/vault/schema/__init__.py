"""The tables, one schema for SQLite and PostgreSQL. Alembic's migrations lead to it; a test compares.

Blinded columns (node/vault/sealing.py) are 16 bytes; `sealed` columns open with the data key only. Times are
milliseconds UTC. What a table is for stands in its comment; the life of a letter through them in spec/delivery.md.
"""

from __future__ import annotations

from node.vault.schema.access import charter_acceptances, log_ins, login_tries, second_factors, staff, web_sessions
from node.vault.schema.accounts import mailbox_former_keys, mailbox_ways, mailboxes
from node.vault.schema.alerting import alerts
from node.vault.schema.base import metadata
from node.vault.schema.bundles import bundle_answers, bundle_peers, bundles_read, bundles_written
from node.vault.schema.delivery import (
    deliveries,
    former_envelopes,
    outbox,
    peer_evidence,
    returns,
    seen_deliveries,
    seen_envelopes,
)
from node.vault.schema.directory import (
    ENTRY_OPERATION,
    INSTITUTIONS,
    feed_entries,
    feed_operations,
    feeds,
    key_marks,
    marked_feeds,
    search_documents,
    search_groups,
    search_postings,
    search_state,
    search_words,
)
from node.vault.schema.filing import (
    letter_postings,
    letter_summaries,
    mail_folders,
    mailbox_index_keys,
    mailbox_indexes,
)
from node.vault.schema.log import (
    auditors,
    cosigned_heads,
    daily_heads,
    disclosure_requests,
    log_epochs,
    log_leaves,
    log_tiles,
    log_timestamps,
    witnessed,
)
from node.vault.schema.mail import UNREAD, letters, payloads
from node.vault.schema.operation import operator_alarms
from node.vault.schema.outside import pickup_sessions, pickups
from node.vault.schema.relay import relay_clients, relay_envelopes, relay_messages
from node.vault.schema.retention import erased_files, erased_letters, erasures, holds
from node.vault.schema.state import node_state, write_tickets
from node.vault.schema.statistics import feed_totals, statistics_months
from node.vault.schema.trust import alarms, maintainers, node_keys, peers, rival_statements, shared_keys
from node.vault.schema.writing import (
    correspondents,
    draft_files,
    drafts,
    last_openings,
    mailbox_texts,
    recipient_groups,
)

__all__ = [
    "DERIVED",
    "ENTRY_OPERATION",
    "INSTITUTIONS",
    "NOT_BACKED_UP",
    "UNREAD",
    "alarms",
    "alerts",
    "auditors",
    "bundle_answers",
    "bundle_peers",
    "bundles_read",
    "bundles_written",
    "charter_acceptances",
    "correspondents",
    "cosigned_heads",
    "daily_heads",
    "deliveries",
    "disclosure_requests",
    "draft_files",
    "drafts",
    "erased_files",
    "erased_letters",
    "erasures",
    "feed_entries",
    "feed_operations",
    "feed_totals",
    "feeds",
    "former_envelopes",
    "holds",
    "key_marks",
    "last_openings",
    "letter_postings",
    "letter_summaries",
    "letters",
    "log_epochs",
    "log_ins",
    "log_leaves",
    "log_tiles",
    "log_timestamps",
    "login_tries",
    "mail_folders",
    "mailbox_former_keys",
    "mailbox_index_keys",
    "mailbox_indexes",
    "mailbox_texts",
    "mailbox_ways",
    "mailboxes",
    "maintainers",
    "marked_feeds",
    "metadata",
    "node_keys",
    "node_state",
    "operator_alarms",
    "outbox",
    "payloads",
    "peer_evidence",
    "peers",
    "pickup_sessions",
    "pickups",
    "recipient_groups",
    "relay_clients",
    "relay_envelopes",
    "relay_messages",
    "returns",
    "rival_statements",
    "search_documents",
    "search_groups",
    "search_postings",
    "search_state",
    "search_words",
    "second_factors",
    "seen_deliveries",
    "seen_envelopes",
    "shared_keys",
    "staff",
    "statistics_months",
    "web_sessions",
    "witnessed",
    "write_tickets",
]

DERIVED = frozenset({search_state, search_groups, search_documents, search_postings, search_words})
"""Made from other tables when they are missing."""
NOT_BACKED_UP = DERIVED | {
    key_marks,
    marked_feeds,
    web_sessions,
    login_tries,
    pickup_sessions,
    mailbox_indexes,
    letter_summaries,
    letter_postings,
    write_tickets,
}
"""What a backup leaves out: nobody is logged in on a restored node, each mailbox makes its index
anew, the running node marks all keys again, and nobody asks for a commit of the time before."""
