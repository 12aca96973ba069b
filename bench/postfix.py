"""What an institution would use otherwise: two Postfix instances, one relaying to the other over TLS 1.3 on loopback.

The second one writes each message to a Maildir and syncs it. Nothing is sealed or signed. Postfix starts as root only.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

__all__ = ["messages_per_s", "missing"]

_MAIL_USER: Final = "nobody"
_WITHIN_S: Final = 120
# service, type, private, unprivileged, chroot, wake-up, processes, program
_MASTER: Final = """\
127.0.0.1:{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""
_COMMON: Final = """\
compatibility_level = 3.6
queue_directory = {folder}/spool
data_directory = {folder}/data
maillog_file = {folder}/data/log
maillog_file_prefixes = {folder}
mail_owner = postfix
setgid_group = postdrop
myhostname = {name}.example
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
smtpd_recipient_restrictions = permit_mynetworks, reject
smtpd_tls_cert_file = {keys}/cert.pem
smtpd_tls_key_file = {keys}/key.pem
default_process_limit = 100
smtpd_client_connection_count_limit = 0
smtp_destination_concurrency_limit = 20
"""


def missing() -> str:
    """What this machine lacks, in a line; empty if nothing."""
    for program in ("postfix", "smtp-source", "openssl"):
        if shutil.which(program, path=_path()) is None:
            return f"{program} is not installed"
    return "" if os.geteuid() == 0 else "Postfix starts as root only"


def _path() -> str:
    return f"{os.environ.get('PATH', '')}:/usr/sbin"


def _run(*command: str) -> None:
    # Not into a pipe: daemons that it starts would hold it open.
    quiet, environment = subprocess.DEVNULL, {**os.environ, "PATH": _path()}
    subprocess.run(command, check=True, stdout=quiet, stderr=quiet, env=environment, timeout=_WITHIN_S)


@contextmanager
def _instance(place: Path, name: str, port: int, settings: str) -> Iterator[None]:
    folder = place / name
    for part in ("etc", "spool", "data"):
        (folder / part).mkdir(parents=True)
    shutil.chown(folder / "data", "postfix")
    (folder / "etc/master.cf").write_text(_MASTER.format(port=port), encoding="ascii")
    common = _COMMON.format(folder=folder, keys=place, name=name)
    (folder / "etc/main.cf").write_text(common + settings, encoding="ascii")
    for shared in Path("/etc/postfix").glob("dynamicmaps.cf*"):
        if shared.is_file():
            shutil.copy(shared, folder / "etc")
    _run("postfix", "-c", str(folder / "etc"), "start")
    try:
        yield
    finally:
        _run("postfix", "-c", str(folder / "etc"), "stop")


def messages_per_s(count: int, size: int, sessions: int, *, relay_port: int = 32525, final_port: int = 32526) -> float:
    """Messages a second of this size in bytes, from the first submission to the last file in the Maildir."""
    with tempfile.TemporaryDirectory(prefix="coffre-postfix-") as name, ExitStack() as stack:
        place = Path(name)
        place.chmod(0o755)
        keys = ("-keyout", str(place / "key.pem"), "-out", str(place / "cert.pem"))
        _run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *keys, "-days", "2", "-subj", "/CN=localhost")
        user = pwd.getpwnam(_MAIL_USER)
        mail = place / "mail"
        mail.mkdir()
        shutil.chown(mail, user.pw_uid)
        final = (
            "smtpd_tls_security_level = encrypt\nvirtual_mailbox_domains = final.example\nvirtual_transport = virtual\n"
            f"virtual_mailbox_base = {mail}\nvirtual_mailbox_maps = static:box/\n"
            f"virtual_uid_maps = static:{user.pw_uid}\nvirtual_gid_maps = static:{user.pw_gid}\n"
        )
        relay = f"smtp_tls_security_level = encrypt\nrelayhost = [127.0.0.1]:{final_port}\n"
        stack.enter_context(_instance(place, "final", final_port, final))
        stack.enter_context(_instance(place, "relay", relay_port, relay))
        begin = time.perf_counter()
        amounts = ("-s", str(sessions), "-m", str(count), "-l", str(size))
        _run("smtp-source", *amounts, "-f", "a@relay.example", "-t", "b@final.example", f"127.0.0.1:{relay_port}")
        arrived = mail / "box/new"
        while not arrived.is_dir() or len(os.listdir(arrived)) < count:
            if time.perf_counter() - begin > _WITHIN_S:
                raise RuntimeError("Postfix did not deliver everything in time")
            time.sleep(0.05)
        return count / (time.perf_counter() - begin)
