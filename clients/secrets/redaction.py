"""Keeps registered secrets out of rendered text."""

from __future__ import annotations

import base64
import json
import logging
import re
import threading
from typing import Final
from urllib.parse import quote, quote_plus

from clients.secrets.api_key import ApiKey

MASK: Final = "***"
LENGTH_MIN: Final = 8
"""Replacing anything shorter would eat ordinary words; no exchange's key is that short."""
SECRETS_MAX: Final = 64


class Redactor:
    """Replaces every registered secret in a text, also where it was percent-encoded, escaped or base64-encoded on the way.

    Thread-safe; `redact` is a pure function of the text and of what was added. At most 64 secrets: a rotated key stays hidden until
    63 others have come after it.
    """

    def __init__(self) -> None:
        self._secrets: dict[str, None] = {}
        self._pattern: re.Pattern[str] | None = None
        self._lock = threading.Lock()

    def add(self, secret: str | ApiKey) -> None:
        """Register a text, or both halves of a key."""
        texts = (secret.key_id, secret.reveal()) if isinstance(secret, ApiKey) else (secret,)
        with self._lock:
            for text in texts:
                if len(text) >= LENGTH_MIN:
                    self._secrets.pop(text, None)
                    self._secrets[text] = None
            while len(self._secrets) > SECRETS_MAX:
                del self._secrets[next(iter(self._secrets))]
            forms = {form for text in self._secrets for form in _forms(text)}
            # The longest first: a secret may begin with another one.
            ordered = sorted(forms, key=lambda form: (-len(form), form))
            self._pattern = re.compile("|".join(re.escape(form) for form in ordered)) if ordered else None

    def redact(self, text: str) -> str:
        """Return the text with a mask in place of each secret."""
        pattern = self._pattern
        return text if pattern is None else pattern.sub(MASK, text)


class RedactingFormatter(logging.Formatter):
    """Formats as another formatter does and redacts the result: message, exception and stack alike."""

    def __init__(self, inner: logging.Formatter, redactor: Redactor) -> None:
        super().__init__()
        self._inner = inner
        self._redactor = redactor

    def format(self, record: logging.LogRecord) -> str:
        return self._redactor.redact(self._inner.format(record))


def redact_logs(logger: logging.Logger, redactor: Redactor) -> None:
    """Put the redactor behind every handler that the logger has now; once per handler."""
    for handler in logger.handlers:
        if not isinstance(handler.formatter, RedactingFormatter):
            handler.setFormatter(RedactingFormatter(handler.formatter or logging.Formatter(), redactor))


def _forms(text: str) -> set[str]:
    encoded = text.encode()
    plain = {text, quote(text, safe=""), quote(text), quote_plus(text), json.dumps(text)[1:-1], repr(text)[1:-1]}
    # Without padding: it differs with what follows inside of a larger encoded text.
    coded = {base64.b64encode(encoded).decode().rstrip("="), base64.urlsafe_b64encode(encoded).decode().rstrip("=")}
    return plain | coded | {encoded.hex()}
