# SPDX-License-Identifier: Apache-2.0
"""Whom we trust and who we are: TLS contexts from the owner's settings, TLS 1.2 or newer, and nothing else.

The environment decides nothing here. A context is one connection's alone: no session is carried from one to the next.
"""

from __future__ import annotations

import errno
import os
import ssl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

OWNERS_DIRECTORY: Final = "/etc/telemetrics"

# Where a system keeps its CAs when OpenSSL's built-in paths lead nowhere, as in a Python that was built elsewhere.
_CA_FILES: Final = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")


class Context(ssl.SSLContext):
    """Checks the certificate against its own host in any case: of an IP address urllib3 1 says nothing to it."""

    host = ""

    def wrap_socket(self, *args: Any, **kwargs: Any) -> ssl.SSLSocket:
        kwargs["server_hostname"] = kwargs.get("server_hostname") or self.host
        return super().wrap_socket(*args, **kwargs)


def trusting(cainfo: str, host: str) -> Context:
    """Trusts what cainfo (PEM) holds, or what the system does where it is empty. OSError, of which SSLError is one."""
    context = Context(ssl.PROTOCOL_TLS_CLIENT)  # verifies certificate and host name
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.host = host
    if cainfo:
        context.load_verify_locations(cafile=cainfo)
        return context
    # Not load_default_certs(): that obeys SSL_CERT_FILE and SSL_CERT_DIR.
    paths = ssl.get_default_verify_paths()
    if os.path.isdir(paths.openssl_capath) and os.listdir(paths.openssl_capath):
        context.load_verify_locations(capath=paths.openssl_capath)
        return context
    for path in (paths.openssl_cafile, *_CA_FILES):
        if os.path.isfile(path):
            context.load_verify_locations(cafile=path)
            return context
    raise FileNotFoundError(errno.ENOENT, "no CA of the system found: install ca-certificates, or set it")


def introduce(context: ssl.SSLContext, certificate: str, key: str) -> None:
    """Have the context show this certificate to a server that asks. OSError, of which SSLError is one."""
    if not certificate:
        raise FileNotFoundError(errno.ENOENT, "client_key is set, and client_certificate is not")
    # Without a password of ours OpenSSL would ask for one on the terminal.
    context.load_cert_chain(_loaded(certificate), _loaded(key) if key else None, password=lambda: b"")


def _loaded(path: str) -> str:
    """Where that file of the owner's is to be read: systemd hands those that only root may read to the courier, under
    the same name (LoadCredential= in systemd.exec(5)); one that isn't there as an empty line."""
    handed_over = os.path.join(os.environ.get("CREDENTIALS_DIRECTORY", ""), os.path.basename(path))
    if os.path.dirname(path) != OWNERS_DIRECTORY or not os.path.isabs(handed_over):
        return path
    try:
        return handed_over if os.path.getsize(handed_over) > 1 else path
    except OSError:
        return path
