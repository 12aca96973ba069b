"""Reports as self-contained HTML pages that print well, in French and English."""
