"""The settings of the operator's web console."""

from __future__ import annotations

import ipaddress
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from .fields import BaseUrl, Seconds, Section, Switch, Whole, is_loopback

# A name or address as it stands in a Host header, with or without a port.
_AUTHORITY = r"^(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9._-]+)(:\d{1,5})?$"
Authority = Annotated[str, Field(strict=True, max_length=253, pattern=_AUTHORITY)]
Address = Annotated[str, Field(strict=True, max_length=253, pattern=r"^[A-Za-z0-9:._-]+$")]
FilePath = Annotated[str, Field(strict=True, min_length=1, max_length=4096)]
_NETWORK_ADVICE = " | Write an address like 10.0.0.2, or a network like 172.18.0.0/16"


def _network(value: str) -> str:
    try:
        network = ipaddress.ip_network(value)
    except ValueError:
        raise ValueError(f"{value!r:.60} is no address and no network" + _NETWORK_ADVICE) from None
    if network.prefixlen == 0:
        raise ValueError(f"{value} is everybody, and everybody could say who calls" + _NETWORK_ADVICE)
    return value


Network = Annotated[str, Field(strict=True, max_length=50), AfterValidator(_network)]


class ConsoleSettings(Section):
    """The operator's web page, served by the worker. Signing in takes a token: `python -m copytrade console-token`."""

    enabled: Switch = Field(default=True, description="Serve the console.")
    host: Address = Field(
        default="127.0.0.1",
        description="The address to listen at. One that other machines reach needs TLS or `behind_proxy`.",
    )
    port: Whole = Field(
        default=8787, ge=0, le=65_535, description="The port to listen at; a free one if it is taken, or for 0."
    )
    public_url: BaseUrl | None = Field(
        default=None, description="How browsers reach it, where that is not the address above: `https://desk.example`."
    )
    allowed_hosts: tuple[Authority, ...] = Field(
        default=(),
        max_length=50,
        description="More names that it answers to, like `desk.lan:8787`. Any other name is refused, which keeps "
        "other web pages from reaching it.",
    )
    tls_cert: FilePath | None = Field(default=None, description="File with the certificate chain (PEM).")
    tls_key: FilePath | None = Field(default=None, description="File with its private key (PEM).")
    behind_proxy: Switch = Field(
        default=False,
        description="A proxy of yours stands in front, adds TLS, and says in `X-Forwarded-For` who calls.",
    )
    proxies: tuple[Network, ...] = Field(
        default=("127.0.0.1", "::1"),
        min_length=1,
        max_length=20,
        description="Where that proxy calls from: addresses or networks. What anybody else says in `X-Forwarded-…` is "
        "not believed, and other machines get the two probes and nothing else.",
    )
    session_hours: Seconds = Field(default=12.0, ge=0.1, le=720, description="How long a sign-in lasts.")

    @property
    def local(self) -> bool:
        """Whether only this machine reaches it."""
        return is_loopback(f"http://{f'[{self.host}]' if ':' in self.host else self.host}")

    @property
    def secure(self) -> bool:
        """Whether browsers reach it over TLS, so that cookies may say so."""
        return self.tls_cert is not None or self.behind_proxy or (self.public_url or "").startswith("https:")

    @property
    def owns_its_name(self) -> bool:
        """Whether browsers may be told to use nothing but TLS with its name for good: that binds every port of it."""
        parts = urlsplit(self.public_url or "")
        return parts.scheme == "https" and parts.port is None and not is_loopback(self.public_url or "")

    @model_validator(mode="after")
    def _safe(self) -> ConsoleSettings:
        if (self.tls_cert is None) is not (self.tls_key is None):
            raise ValueError("tls_cert and tls_key go together | Give both, or neither")
        if self.local:
            return self
        if self.tls_cert is None and not self.behind_proxy:
            raise ValueError(
                f"other machines can reach host {self.host}, and there is no TLS | Give tls_cert and tls_key, or set "
                "behind_proxy: true with a proxy that adds TLS, or listen at 127.0.0.1"
            )
        if self.public_url is None and not self.allowed_hosts:
            raise ValueError(
                f"host is {self.host}, and the names it answers to are not known | Set public_url, like "
                "https://desk.example"
            )
        return self
