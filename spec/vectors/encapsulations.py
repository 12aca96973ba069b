"""Two true ML-KEM-768 encapsulations, to the sample mailbox's key and the sample node's, drawn once and kept.

Encapsulating is random; with these, every box of the vectors comes out the same each time. For vectors and tests only.
"""

from __future__ import annotations

import base64
from typing import Final

__all__ = ["TO_MAILBOX", "TO_MAILBOX_SECRET", "TO_NODE", "TO_NODE_SECRET"]

TO_MAILBOX: Final = base64.b64decode(
    "0f8agqEpgo6aFI0Sjp0Ve++jyuhuXZzpHAxdifeobnFqkREtwsPK/CNyrjiN85eepwChYZSIhjf9YypDaX2aB7gDW9aS3p+HMNRqtVDYn1zBvCgy"
    "kmGMfiDWj4V0apSq9+jPPmR5tPEy7+588N788/EGt+Y7CC1H9GUJPP823WKQ/UiuvkUuPQ0rOLN2FHRUVxPbzLQS9Nb3qy9VuO8ZHz7OW57lxeph"
    "aJMUXy0+5mmdaPp4+DHUGI+vj/NsGln4C3AZ4pFuNBu+jUaw7YymZTzqtdhRnPYPxJLu2NV/XZwZxQ7erL65vc2qvtWiDcrIbEv7IMSrhtaAKCPd"
    "y0OsJ8OmoKSZ7Y9clBXOR8jUpv9YyAYMWBFu214LBhh6F+9ZddVVt9SSim4BObayB8o8RHpObWZ+8eQOzyjOuazomd9SXOJfZmEDxsXiewUsOiAz"
    "kz06znAcV8HChmae2r+Pe5sXzSieOrJrscFtVNiV7qKYaea5+G46rtU/7pSRn98Y8OAEpHSiyqIVpJ72hN7FY87Fzhqit4n83Yl8So9dRYnp8KPw"
    "oSomiF0Eb5QvJSa9JA2fN057vVvP3EDThuJfrwF4PdiJ96nSUG69LqnA+36/sCEaWzPFdN4BUWiwGkWmBXwmAk/DCXL2Csb+wgnFNEJvgeAHqBtm"
    "4rIEpyJqdXEO51fljXVcQrRVo1eCV4l1jmvcgGdHxo8xeWzgSJDxZryKrFVZ5jnyBwtqFx+LGgg8DUGCvr3rfGdSQ6gtWcWXzc+i4CkX0qpCnXJx"
    "sdmAXTwJmt0Tv5jl/SA8ny4z7hNRQtE+anJ2Z+OaSIvFXJdqlC6p0j6Qiqgd9TjWcwgwMmhUcWFERHQ4a2+oOYOulKxDcvSBu0pQWSBzjUxAp7W9"
    "OXBrWm/9Ud9Xdi8y0jF+icSriclQl6kTJaMeN0+ginABqcT2e1BL26NFDuFgOx4izsy1MveGK1XO9qrXhPcu8CKR8rj1/JZFbc6vAU7Ke7cy+xX8"
    "VaNO+jLli0v5T/PLNbGEk/E8C6oL2A5QSwVolRDEBIQmYPD6cKni9g6HbmPo/SvgesqsBaYsPiBV8V2ppvQVjIcSGXATc00LHDAc+MCJKc4wQ8e5"
    "jfWFZEbUyoXGxI7sGJJ88JhlP2lEJMKUo/Y1xqgY0Np8FblqB5TcxQSY/HJQdV2t4pDqELHhPekMdsJLiMyb/ames3Ko+oD9eU3qRzAoew5vk//E"
    "rC2SG/xEniP7iHJKSPv4shE+nVW9edIx6EhULshVQHIxMX2D9gQwrp5XK3Vr5RcYMGETP3hXZlI8aC53GZHx+y5Rp2CxUK3l/rLSaF4SRbwpDLxW"
    "geQbgJH1a2aYpErNcnDI1icOh56xRqKEtC+IfXmx9gUrT8Jd3wnaR0dZ04re0775AJwu342GBwXHZfgUghETc7+/zvlrp3jjXy1MREDvJIo="
)
TO_MAILBOX_SECRET: Final = bytes.fromhex("e8992dc74f33aab87dec61de4bd077a6316388a2e7d5b2be4dd1e1cebe300d28")
"""The shared secret that came with it: decapsulating gives this one, not that of an implicit rejection."""

TO_NODE: Final = base64.b64decode(
    "jA3wvyIZMohRJntbiWm2WkREBCospPNGJB4vSgtWoIJTn6A5v0GPopN2IP2dVUt7JRYt/iVReFFb2bKnf5r6G/n2//TutVScGZh1hbGpAurEfbLM"
    "PBwC0hcXR6H85wM7SAQy2Ou1w0MLSJJxMHDZUGKPTlvJh5MgFwgi5oSuLSLpp/bewyuOc+k+lfl/Hig6Ex/xB4otEV0ixdspELMtmv0jFaVVGj7t"
    "FSsbSP/p6dweg6J2zzuuIwiOOEnv1xsJsJ8WQZo9mquabKYgyZv4U/h+d90RlYl+WXMjihAaEJjYU2FoCVjF+gUQWSXVgl/NA8ONH4lYbAt30ZWf"
    "KzDJnTbzevpzrZqEe+EZE3Ipdps39+nETeAxTNzNwlRQvo/GhjBeTwEeTS/Z9BWnlbAmm/fj0gXZV4mCuINI0WqlnMDeN9VOR0cJfr7Prh2oj41g"
    "t822ewscONoX2CBPy2hp6MXHQjw64oAx902hKqXh0E8LezSpGgTMdlT+nnr92SAIvbKQN5cYKgjGuuCUPBzACO4LspJQz0PZou2fWWj41F6DFIrG"
    "7fbnLprP4VvPO+ZCvyLbezbPOT2Gv1jLsm0W4MVQoQhbfbbiihjXbQhGb+LbqsrBZBM84emDp0mwkJmK17epNw3YkA0k5h4t+5k4fLwaSZSGoXqG"
    "v/dWMeUWy3qAGkV7+lwHK7vACPUl5X9RjATANjSt6e1tsgs5Ve3RDHX3z6vtsBhk3X44i2vhg5ko0VN5kFB5FLGXT84Uqh/aQxLC4QxaobmQkdgF"
    "DyqqlvzctqfT3PlxqN1sKecpdjHyLQFu05NbW4Nl6Hl1EAwvB3r70yUAnakyDIyZlekSAP4EZk4uXLST+fRDLI0BjfXrYLE/BOsBGXXLTcADiPX5"
    "28PlyBafe6B45rVSZ97VG7e+4tgBRDlJ61AhgZm7XTwhEGVzS9NDpq3PJcGSeMap7XCXv/e3N7lpJfTNTVinPFldlcpkFs4LQq0r1VZHw2SWS8cC"
    "3mdQmuxnLrmmC0cHt+mRpXklwyQD4XG1JHCkuUqODoy5zql5j6fgqvlpGxOBA1wgQTR/8t9t/Tqpz509OHLS2Xt3BbBXiWipuDbp3HugCxdMpBB0"
    "sJtXUTQbrabc7IJ9eZeODk0J/q/wvCHGy+jnVQKB+BO+/u02qVndJ+OMr7YcKQvK+GN7RNhxbuDqhJL3LmZlEv/XDYu69HxmhzVVLT04ztipPAMV"
    "HzN0BOghizxOh7dauVhqR6Yauu2+Wy+jKCN+WNtdGo3MPwZkKXVKuwgeM0Eub4xq2pbER85YHLhJT8X/b+XTtfkU4EHzyvVuhOKi9MKIfSmYr1oc"
    "wyTDJ4FQKFdXlMZ3K9yDViz381o5BqjnIdgXsmy2hh4JtFSZ1w7Tbo1qU9RRVTCX9heoejCWPrsb0in9Qf4bQptZUd3uKP2de3GsQIMBUiY="
)
TO_NODE_SECRET: Final = bytes.fromhex("376723de748dc94130e02b7c7353cb133a4bb99911372d0a1ec7b178b4424658")
"""Likewise."""
