"""The certificate of a server: looked at before it starts, and again when its files change.

Whoever renews a certificate replaces its files, and need not tell the server.
"""

from __future__ import annotations

import logging
import ssl

from mooer.errors import ConfigError
from mooer.serve.settings import TlsOptions

logger = logging.getLogger(__name__)


def check_tls(tls: TlsOptions) -> None:
    """ConfigError where a handshake could not be made."""
    for path in (tls.certificate, tls.key):
        if not path.is_file():
            raise ConfigError(f"there is no file {path}: TLS needs a certificate and its key")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(tls.certificate, tls.key, password="")
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{tls.certificate} and {tls.key} are no certificate and its key in PEM, without a "
            f"passphrase: {getattr(error, 'reason', None) or error}"
        ) from error


class Renewal:
    """Gives connections from now on the certificate that its files hold from now on."""

    def __init__(self, tls: TlsOptions) -> None:
        self._tls = tls
        self._read = self._stamps()  # of the files that are in use
        self._told = self._read  # of those that something was said of

    def look(self, context: ssl.SSLContext) -> None:
        """Read the files if others are there. Where they are amiss those before stay in use."""
        stamps = self._stamps()
        if stamps == self._read:
            return
        try:
            check_tls(self._tls)  # a context that was given half of a pair would serve nobody
            context.load_cert_chain(self._tls.certificate, self._tls.key, password="")
        except (ConfigError, OSError) as error:
            if stamps != self._told:  # between the one file and the other, or for good
                logger.warning("the certificate is not changed: %s", error)
            self._told = stamps
            return
        self._read = self._told = stamps
        logger.info("the certificate is read anew from %s", self._tls.certificate)

    def _stamps(self) -> list[tuple[int, ...]]:
        found: list[tuple[int, ...]] = []
        for path in (self._tls.certificate, self._tls.key):
            try:
                told = path.stat()
                found.append((told.st_ino, told.st_size, told.st_mtime_ns))
            except OSError:
                found.append(())
        return found
