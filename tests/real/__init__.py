"""Real processes, over TLS on loopback, through faults."""
