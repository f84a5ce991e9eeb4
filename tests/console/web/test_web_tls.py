"""The console over TLS and behind a proxy: real certificates, real handshakes, and nobody believed who is not named."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from pathlib import Path
from typing import Any

import httpx
import pytest
from console_world import World as Folder
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from test_web_worker import url_of, with_console
from web_world import Seat, seated, small_desk
from world import until

from copytrade.console.web.guard import Guard
from copytrade.settings.console import ConsoleSettings

PROXY, OTHER = "127.0.0.2", "127.0.0.3"
FAR = "203.0.113.50"
HTTPS = {"host": "desk.example", "origin": "https://desk.example"}


def certificate(folder: Path, name: str = "one", password: bytes | None = None) -> dict[str, Any]:
    """Files of a new key and of a certificate for this machine that it signs itself, as settings name them."""
    key = ec.generate_private_key(ec.SECP256R1())
    who = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"console {name}")])
    now = datetime.datetime.now(datetime.UTC)
    names = x509.SubjectAlternativeName(
        [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    )
    made = (
        x509.CertificateBuilder().subject_name(who).issuer_name(who).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1)).add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    closed = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    form = serialization.PrivateFormat.PKCS8
    cert, secret = folder / "cert.pem", folder / "key.pem"
    cert.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, closed))
    return {"tls_cert": str(cert), "tls_key": str(secret)}


def trusting(files: dict[str, Any]) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=files["tls_cert"])


def over_tls(tmp_path: Path, **more: Any) -> tuple[ConsoleSettings, ssl.SSLContext]:
    files = certificate(tmp_path)
    return ConsoleSettings.model_validate({"port": 0, **files, **more}), trusting(files)


# -- TLS -------------------------------------------------------------------------------------------------------------


async def test_it_is_served_over_tls_with_cookies_for_tls_alone(tmp_path: Path) -> None:
    settings, trust = over_tls(tmp_path)
    async with small_desk(tmp_path) as desk, seated(desk, settings=settings) as seat:
        url = seat.server.url
        assert url == f"https://127.0.0.1:{seat.server.port}"
        async with httpx.AsyncClient(base_url=url, headers={"origin": url}, verify=trust) as client:
            signed = await client.post("/sign-in", data={"name": "olga", "token": seat.token})
            assert signed.status_code == 303
            cookie = signed.headers["set-cookie"]
            assert cookie.startswith(f"__Host-copytrade_{seat.server.port}=")
            assert {"Secure", "HttpOnly", "SameSite=strict", "Path=/"} <= {part.strip() for part in cookie.split(";")}
            page = await client.get("/")
            assert (page.status_code, "Overview" in page.text) == (200, True)
            assert (await client.post("/api/kill", json={"state": "halt", "confirm": "halt"})).status_code == 200
            # A port of its own on a name that others use as well: that name is not bound to TLS for good.
            assert "strict-transport-security" not in page.headers
            forged = await client.get("/api/overview", headers={"origin": url.replace("https", "http")})
            assert forged.status_code == 403


async def test_only_a_name_of_its_own_is_bound_to_tls(tmp_path: Path) -> None:
    settings, trust = over_tls(tmp_path, public_url="https://desk.example")
    async with small_desk(tmp_path) as desk, seated(desk, settings=settings) as seat:
        at = f"https://127.0.0.1:{seat.server.port}"
        async with httpx.AsyncClient(base_url=at, headers={"host": "desk.example"}, verify=trust) as client:
            answer = await client.get("/healthz")
        assert answer.headers["strict-transport-security"] == "max-age=31536000"
    for url in ("https://desk.example:8787", "https://localhost", "http://127.0.0.1:8787"):
        assert not ConsoleSettings.model_validate({"public_url": url}).owns_its_name


async def test_plain_http_and_old_tls_get_nothing(tmp_path: Path) -> None:
    settings, _ = over_tls(tmp_path)
    async with small_desk(tmp_path) as desk, seated(desk, settings=settings) as seat:
        async with httpx.AsyncClient(base_url=seat.url) as plain:
            with pytest.raises(httpx.TransportError):  # no redirect either: nothing of ours is said without TLS
                await plain.get("/sign-in")
        async with httpx.AsyncClient(base_url=seat.server.url, verify=ssl.create_default_context()) as wary:
            with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                await wary.get("/healthz")
        assert seat.server._server is not None
        assert seat.server._server.config.ssl is not None
        assert seat.server._server.config.ssl.minimum_version >= ssl.TLSVersion.TLSv1_2


async def test_a_renewed_certificate_is_taken_over_and_a_spoiled_one_is_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings, first = over_tls(tmp_path)
    async with small_desk(tmp_path) as desk, seated(desk, settings=settings, renewed_every_s=0.05) as seat:

        async def well(trust: ssl.SSLContext) -> bool:
            try:
                async with httpx.AsyncClient(base_url=seat.server.url, verify=trust) as client:
                    return (await client.get("/healthz")).status_code == 200
            except httpx.ConnectError:
                return False

        assert await well(first)
        Path(settings.tls_cert or "").write_text("spoiled")
        await until(lambda: "cannot be used" in caplog.text, "the fault to be told")
        assert await well(first), "the old one stays in force"
        second = trusting(certificate(tmp_path, "two"))
        while not await well(second):
            pass  # until the next look
        assert not await well(first)


@pytest.mark.parametrize("fault", ["another key", "a password"])
def test_a_certificate_that_does_not_fit_is_told_and_trading_goes_on(tmp_path: Path, fault: str) -> None:
    """Nobody is asked for the password of a key: the worker would wait for it."""
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir(), two.mkdir()
    files = certificate(one, password=b"made-up-password" if fault == "a password" else None)
    if fault == "another key":
        files["tls_key"] = certificate(two)["tls_key"]
    with with_console(tmp_path / "folder", **files).worker() as worker:
        assert "see console.tls_cert and console.tls_key" in worker.line("the console cannot start")
        worker.line("copytrade is ready")


def test_the_worker_serves_it_to_other_machines_over_tls(tmp_path: Path) -> None:
    files = certificate(tmp_path)
    world: Folder = with_console(tmp_path / "folder", host="0.0.0.0", allowed_hosts=["localhost"], **files)
    with world.worker() as worker:
        port = int(url_of(worker).rpartition(":")[2])
        with httpx.Client(base_url=f"https://127.0.0.1:{port}", verify=trusting(files)) as client:
            assert client.get("/healthz", headers={"host": "localhost"}).status_code == 200
            assert client.get("/healthz", headers={"host": "evil.example"}).status_code == 421


# -- behind a proxy --------------------------------------------------------------------------------------------------


def behind(**more: Any) -> ConsoleSettings:
    given = {"port": 0, "public_url": "https://desk.example", "behind_proxy": True, "proxies": [PROXY], **more}
    return ConsoleSettings.model_validate(given)


def calling(seat: Seat, address: str, **headers: str) -> httpx.AsyncClient:
    """Somebody who calls from this address of the machine."""
    way = httpx.AsyncHTTPTransport(local_address=address)
    return httpx.AsyncClient(base_url=seat.url, headers={**HTTPS, **headers}, transport=way)


def from_afar(seat: Seat, address: str = FAR) -> httpx.AsyncClient:
    """Somebody on another machine, as far as the door can see."""
    way = httpx.ASGITransport(seat.server._app().guarded, client=(address, 5000))
    return httpx.AsyncClient(base_url="http://desk.example", headers=HTTPS, transport=way)


async def signs_in(seat: Seat, client: httpx.AsyncClient, token: str = "") -> str:
    """From where the trail says that this came."""
    answer = await client.post("/sign-in", data={"name": "olga", "token": token or seat.token})
    assert answer.status_code in (303, 403, 429), answer.text
    return str((await seat.desk_audit())[0]["where"])


async def test_who_calls_is_believed_of_the_named_proxy_alone(tmp_path: Path) -> None:
    told = {"x-forwarded-for": "198.51.100.1, 203.0.113.9", "x-forwarded-proto": "https"}
    async with small_desk(tmp_path) as desk, seated(desk, settings=behind()) as seat:
        async with calling(seat, PROXY, **told) as client:
            assert await signs_in(seat, client) == "203.0.113.9"
        async with calling(seat, OTHER, **told) as client:  # on this machine, but not the proxy
            assert await signs_in(seat, client) == OTHER
        # Nor does it help to claim another address at each guess.
        answers = []
        for number in range(6):
            async with calling(seat, OTHER, **{"x-forwarded-for": f"198.51.100.{number}"}) as client:
                answers.append((await client.post("/sign-in", data={"token": f"ct_guess{number}"})).status_code)
        assert answers == [403] * 5 + [429]


async def test_other_machines_get_past_the_proxy_to_the_probes_alone(tmp_path: Path) -> None:
    async with small_desk(tmp_path) as desk, seated(desk, settings=behind()) as seat, from_afar(seat) as client:
        bearer = {"authorization": f"Bearer {seat.token}", "x-forwarded-for": PROXY, "x-forwarded-proto": "https"}
        for path in ("/", "/sign-in", "/static/console.css", "/api/overview", "/metrics"):
            answer = await client.get(path, headers=bearer)
            assert (answer.status_code, "console.proxies" in answer.text) == (403, True), path
        assert (await client.post("/sign-in", data={"token": seat.token})).status_code == 403
        assert (await client.get("/healthz")).status_code == 200
        assert (await client.get("/readyz")).status_code == 200


async def test_what_reached_the_proxy_without_tls_is_refused(tmp_path: Path) -> None:
    async with small_desk(tmp_path) as desk, seated(desk, settings=behind()) as seat:
        async with calling(seat, PROXY, **{"x-forwarded-proto": "http"}) as client:
            answer = await client.get("/sign-in")
            assert (answer.status_code, "https" in answer.text) == (403, True)
        async with calling(seat, PROXY, **{"x-forwarded-proto": "http, https"}) as client:
            assert (await client.get("/sign-in")).status_code == 200  # what the client claimed stands first


async def test_a_network_of_proxies_and_addresses_in_their_longer_spelling(tmp_path: Path) -> None:
    settings = behind(proxies=["172.18.0.0/16", "2001:db8::/32"])
    async with small_desk(tmp_path) as desk, seated(desk, settings=settings) as seat:
        for address, status in (
            ("172.18.3.4", 200), ("::ffff:172.18.3.4", 200), ("2001:db8::7", 200), ("172.19.0.1", 403),
            ("unknown", 403),
        ):  # fmt: skip
            async with from_afar(seat, address) as client:
                assert (await client.get("/sign-in")).status_code == status, address


async def test_that_these_tests_see_a_door_that_believes_everybody(tmp_path: Path) -> None:
    class Gullible(Guard):
        def _from_proxy(self, scope: Any) -> bool:
            return True

    async with small_desk(tmp_path) as desk, seated(desk, settings=behind()) as seat:
        honest = seat.server._app()
        guard = honest.guarded
        assert isinstance(guard, Guard)
        gullible = Gullible(
            honest.inner, honest.inner.routes, guard._names, behind(), guard._tokens, guard._sessions, guard._brake, "c"
        )
        way = httpx.ASGITransport(gullible, client=(FAR, 5000))
        async with httpx.AsyncClient(base_url="http://desk.example", headers=HTTPS, transport=way) as client:
            assert (await client.get("/sign-in")).status_code == 200
            client.headers["x-forwarded-for"] = "192.0.2.1"
            assert await signs_in(seat, client) == "192.0.2.1"


@pytest.mark.parametrize("proxies", [["0.0.0.0/0"], ["::/0"], ["proxy.lan"], ["10.0.0.5/8"], []])
def test_a_proxy_that_names_nobody_is_refused(proxies: list[str]) -> None:
    with pytest.raises(ValueError, match="proxies"):
        behind(proxies=proxies)


async def test_the_page_in_front_of_a_proxy_is_another_origin(tmp_path: Path) -> None:
    settings = ConsoleSettings.model_validate({"port": 0, "public_url": "https://desk.example", "behind_proxy": True})
    async with small_desk(tmp_path) as desk, seated(desk, settings=settings) as seat:
        assert seat.server.url == "https://desk.example"
        async with seat.stranger(host="desk.example") as client:
            assert (await client.get("/sign-in")).status_code == 200
            form = {"token": seat.token}
            wrong = await client.post("/sign-in", data=form, headers={"origin": "https://desk.example.evil"})
            assert wrong.status_code == 403
