"""What a thief of a keyring file pays for each guess."""

from __future__ import annotations

import subprocess
import sys

# In a process of its own: in this one passwords are made cheap (tests/passwords.py).
_SEALED = """
from os import urandom
from node.vault.passphrase import seal_under_passphrase
from protocol.codec import decode_map
from protocol.crypto import Secret
sealed = seal_under_passphrase(b"keys", Secret(b"quatre mots"), info=b"test", random_bytes=urandom)
fields = decode_map(sealed, max_bytes=1000)
print(fields.integer("ops"), fields.integer("mem"))
"""


def test_a_guess_costs_three_passes_over_64_mib() -> None:
    done = subprocess.run([sys.executable, "-c", _SEALED], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["3", "65536"]
