"""Lists of mailboxes against the vault: files, matching, applying in batches, first passwords, export."""
