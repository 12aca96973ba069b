"""`coffre demo`: three institutions on this machine that exchange real letters."""
