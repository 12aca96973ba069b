"""What a node shows over HTTPS: its published log, and interfaces for auditors."""
