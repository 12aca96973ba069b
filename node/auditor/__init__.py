"""The auditor's side: published logs copied, checked, compared and reported on, with no node of one's own."""
