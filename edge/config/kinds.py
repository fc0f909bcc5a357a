"""The kinds of value that a setting can have, beyond those of TOML; `read` knows how each is written."""

from typing import Annotated
from urllib.parse import urlsplit

from attrs import frozen

Duration = Annotated[float, "duration"]
"""Seconds, more than 0; written `250ms 5s 10m 24h 30d`."""
DurationOrOff = Annotated[float | None, "duration or off"]
"""Seconds, or None where the setting is ""."""
Size = Annotated[int, "size"]
"""Bytes, at least 1; written `64 KiB 2 GiB`, or as a plain number."""
Count = Annotated[int, "count"]
"""A whole number from 1 to 1,000,000,000."""
CountOrNone = Annotated[int, "count or none"]
"""A whole number from 0 to 1,000,000,000."""
Amount = Annotated[float, "amount"]
"""A number from 0."""
Share = Annotated[float, "share"]
"""A number from 0 to 1."""


@frozen
class Address:
    """Where a listener listens: a port of a host, or a unix socket."""

    host: str = ""
    """A host name or address without brackets; "" for every IPv4 and IPv6 address of this machine."""
    port: int = 0
    """0 to 65535; at 0 the system picks a free one."""
    path: str = ""
    """The unix socket's path; "" for a TCP listener."""

    @classmethod
    def parse(cls, text: str | int) -> "Address":
        """The address of `8443`, `"8443"`, `"127.0.0.1:8081"`, `"[::1]:8081"` or `"unix:/run/a.sock"`. Raises ValueError."""
        written = str(text).strip()
        if written.startswith("unix:"):
            path = written.removeprefix("unix:")
            if not path.startswith("/") or "\0" in path:
                raise ValueError(f"{written!r} needs an absolute path, like unix:/run/aigate.sock")
            return cls(path=path)
        host, _, port = written.rpartition(":")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        elif ":" in host:
            raise ValueError(f"{written!r}: write an IPv6 address in brackets, like [::1]:8443")
        if not (port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= 65535) or (
            ":" in written and not host
        ):
            raise ValueError(f'{written!r} is not an address; write a port, "HOST:PORT", "[IPV6]:PORT" or "unix:/PATH"')
        return cls(host, int(port))

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host or '*'}:{self.port}"


@frozen
class Upstream:
    """Where a server behind the gate listens."""

    scheme: str
    """"http" or "https"; a unix socket speaks http."""
    host: str
    """A host name or address without brackets; "localhost" for a unix socket."""
    port: int
    path: str = ""
    """The unix socket's path; "" for TCP."""

    @classmethod
    def parse(cls, text: str) -> "Upstream":
        """The upstream of `http://127.0.0.1:11434`, `https://gpu.lan`, `unix:/run/ollama.sock`. Raises ValueError."""
        if text.startswith("unix:"):
            path = "/" + text.removeprefix("unix:").lstrip("/")
            if text[5:6] != "/" or path == "/" or "\0" in path:
                raise ValueError("a unix upstream needs an absolute path, like unix:/run/ollama.sock")
            return cls("http", "localhost", 80, path)
        # Judged first, and the text not repeated: what stands before an @ is a password.
        if "@" in text:
            raise ValueError(
                "an upstream's address holds no user or password; set the header that the server wants in its plugin"
            )
        if not text.isascii() or any(c <= " " or c == "\x7f" for c in text):
            raise ValueError("an upstream's address holds no space, control character or letter beyond ASCII")
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError:
            raise ValueError(
                "an upstream's port is a number from 1 to 65535, an IPv6 address stands in brackets"
            ) from None
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(
                f"{text!r} is not an upstream; write it like http://127.0.0.1:11434, https://gpu.lan or unix:/run/a.sock"
            )
        if parts.path not in ("", "/") or "?" in text or "#" in text:
            raise ValueError("an upstream's address ends after the port: paths go on as the plugin maps them")
        if port == 0 or parts.netloc.endswith(":"):
            raise ValueError(f"{text!r}: an upstream's port is a number from 1 to 65535")
        return cls(parts.scheme, parts.hostname, port or (443 if parts.scheme == "https" else 80))

    @property
    def netloc(self) -> str:
        """What a Host field says: the host, and the port where it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.scheme == "https" else 80) else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"unix:{self.path}" if self.path else f"{self.scheme}://{self.netloc}"
