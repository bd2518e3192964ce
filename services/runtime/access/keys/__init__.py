"""API keys: made once, shown once, listed and ended by an operator, and read by every server that takes them."""

from services.runtime.access.key_shape import KEY_PATTERN, key_id_of, presented
from services.runtime.access.keys.authenticator import KIND, KeyAuthenticator
from services.runtime.access.keys.database import is_missing, open_keys, pepper_of
from services.runtime.access.keys.listing import ENDS_WITHIN_S, KeyList
from services.runtime.access.keys.pepper import Pepper, PepperSource, pepper_source
from services.runtime.access.keys.sealing import prepare_keys
from services.runtime.access.keys.store import StoredKey, create_key, list_keys, read_roles, revoke_key, roles_text

__all__ = [
    "ENDS_WITHIN_S",
    "KEY_PATTERN",
    "KIND",
    "KeyAuthenticator",
    "KeyList",
    "Pepper",
    "PepperSource",
    "StoredKey",
    "create_key",
    "is_missing",
    "key_id_of",
    "list_keys",
    "open_keys",
    "pepper_of",
    "pepper_source",
    "prepare_keys",
    "presented",
    "read_roles",
    "revoke_key",
    "roles_text",
]
