"""Settings: `coffre.toml` in the node's folder, over it the environment (COFFRE_…), read once."""
