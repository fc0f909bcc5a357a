"""The signed head of the audit log: which line was the last at a time, said with an Ed25519 key (RFC 8032).

A line that is written beside the gate carries a mark of the same key, since the gate may come to see it before a head does.
"""

import base64
import hmac
import json
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from attrs import frozen
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from edge.core.chain import Link, seal, unseal
from edge.core.times import stamp_utc
from edge.errors import StoreError
from edge.files import write_atomically

KEY: Final = "audit.key"
"""The signing key's file in the data folder, 0600."""
_AFTER_BODY: Final = len(',"mark":"","prev":"","hash":""}') + 3 * 64


@frozen
class Head:
    """The last line at a time, and who says so."""

    link: Link
    at: str
    """RFC 3339 in UTC."""
    signature: str
    """Base64."""
    key: str
    """The public key, 32 bytes in base64."""

    @property
    def valid(self) -> bool:
        """Whether the signature is right under the key that the head itself names."""
        try:
            public = Ed25519PublicKey.from_public_bytes(base64.b64decode(self.key, validate=True))
            public.verify(base64.b64decode(self.signature, validate=True), _said(self.link, self.at))
        except (ValueError, InvalidSignature):
            return False
        return True

    def to_json(self) -> str:
        """One line of JSON, for the file and for wherever it is sent."""
        made = {
            "n": self.link.number,
            "hash": self.link.hash,
            "at": self.at,
            "key": self.key,
            "signature": self.signature,
        }
        return json.dumps(made) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> "Head":
        """The head of a line of JSON. Raises ValueError."""
        try:
            made: dict[str, Any] = json.loads(text)
            link = Link(made["n"], made["hash"])
            head = cls(link, made["at"], made["signature"], made["key"])
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ValueError("this is no signed head of an audit log") from error
        if type(link.number) is not int or not all(
            isinstance(each, str) for each in (link.hash, head.at, head.signature, head.key)
        ):
            raise ValueError("this is no signed head of an audit log")
        return head


def stored_key(folder: Path) -> Ed25519PrivateKey | None:
    """The data folder's signing key, None where there is none yet. Raises StoreError."""
    path = folder / KEY
    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise StoreError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or 'it is no key'}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise StoreError(f"{path}: is no Ed25519 key")
    return key


def keep_key(folder: Path, key: Ed25519PrivateKey) -> None:
    """Make `key` the data folder's. Raises StoreError.

    Under the audit log's lock only, and once its first head is on disk: a key without a head tells that one was taken away.
    """
    path = folder / KEY
    try:
        write_atomically(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    except OSError as error:
        raise StoreError(f"{path}: cannot be written: {error.strerror}") from error


def public_of(key: Ed25519PrivateKey) -> str:
    """The public key as a head names it."""
    return base64.b64encode(key.public_key().public_bytes_raw()).decode()


def sign(key: Ed25519PrivateKey, link: Link, now: float) -> Head:
    """The head of a chain that ends with `link` at `now` (Unix seconds)."""
    at = stamp_utc(now)
    signature = key.sign(_said(link, at))
    return Head(link, at, base64.b64encode(signature).decode(), public_of(key))


def marked(key: Ed25519PrivateKey, body: str, after: Link) -> str:
    """The members of a line, and a mark that only who holds the key can make for them at this place."""
    secret = sha256(b"aigate audit lines\n" + key.private_bytes_raw()).digest()
    said = f"{after.number} {after.hash}\n{body}".encode()
    return f'{body},"mark":"{hmac.digest(secret, said, "sha256").hex()}"'


def bears_mark(key: Ed25519PrivateKey, line: bytes) -> bool:
    """Whether a line (without its line feed) carries the right mark for where it says that it stands."""
    sealed = unseal(line)
    if sealed is None:
        return False
    after = Link(sealed.link.number - 1, sealed.before)
    body = line[len(f'{{"n":{sealed.link.number},') : -_AFTER_BODY].decode("utf-8", "replace")
    return seal(marked(key, body, after), after)[0].encode() == line + b"\n"


def _said(link: Link, at: str) -> bytes:
    return f"aigate audit head\n{link.number} {link.hash} {at}\n".encode()
