"""The command line. Modules here import what a command needs inside the command: `--help` must not wait."""
