"""API keys: where they come from, and how they stay out of everything else."""

from clients.secrets.api_key import ApiKey
from clients.secrets.environment import FixedKey, KeySource, key_source
from clients.secrets.errors import SecretError, SecretRefused, SecretUnavailable
from clients.secrets.files import read_secret_file
from clients.secrets.parameter_store import ParameterStore, StoredKey
from clients.secrets.redaction import RedactingFormatter, Redactor, redact_logs

__all__ = [
    "ApiKey",
    "FixedKey",
    "KeySource",
    "ParameterStore",
    "RedactingFormatter",
    "Redactor",
    "SecretError",
    "SecretRefused",
    "SecretUnavailable",
    "StoredKey",
    "key_source",
    "read_secret_file",
    "redact_logs",
]
