"""The protocol room: one format or machine at a time, no loop and no socket."""
