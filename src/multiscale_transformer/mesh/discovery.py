"""Finding a registry on the local network by multicast DNS, where both sides were asked to (package `zeroconf`).

Whoever answers there is believed to be a registry, and is sent the token of the mesh. Use it in networks of your own.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from multiscale_transformer.errors import AxlError
from multiscale_transformer.mesh.members import checked_url

if TYPE_CHECKING:
    from zeroconf import Zeroconf

KIND = "_axl-mesh._tcp.local."
MDNS = "mdns"  # in place of an address
FIND_SECONDS = 5.0
_NEEDED = "finding a mesh on the network needs a package: pip install 'axl[mesh]'"


@contextmanager
def announced(address: str, port: int, scheme: str) -> Iterator[None]:
    """Let others find the registry at an address of this machine while the block runs. Raises AxlError without `zeroconf`."""
    try:
        from zeroconf import ServiceInfo
    except ImportError:
        raise AxlError(_NEEDED) from None
    name = f"{socket.gethostname().split('.')[0]}-{port}.{KIND}"
    info = ServiceInfo(KIND, name, port, addresses=[_packed(address)], properties={"scheme": scheme})
    with _zeroconf() as zeroconf:
        zeroconf.register_service(info, allow_name_change=True)
        try:
            yield
        finally:
            zeroconf.unregister_service(info)


def found(seconds: float = FIND_SECONDS) -> list[str]:
    """The addresses of the registries that answer, the first of them as soon as it does.

    Raises AxlError where none does within `seconds`, and without `zeroconf`.
    """
    try:
        from zeroconf import ServiceBrowser, ServiceListener
    except ImportError:
        raise AxlError(_NEEDED) from None
    names: list[str] = []

    class Listener(ServiceListener):
        def add_service(self, zc: Any, type_: str, name: str) -> None:
            names.append(name)

        def update_service(self, zc: Any, type_: str, name: str) -> None:
            pass

        def remove_service(self, zc: Any, type_: str, name: str) -> None:
            pass

    with _zeroconf() as zeroconf:
        browser = ServiceBrowser(zeroconf, KIND, Listener())
        try:
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                if urls := [url for name in list(names) if (url := _url(zeroconf, name))]:
                    return urls
                time.sleep(0.05)
        finally:
            browser.cancel()
    raise AxlError(f"no registry answers on this network within {seconds:g} s; start one with --mdns, or give its address")


@contextmanager
def _zeroconf() -> Iterator[Zeroconf]:
    from zeroconf import Zeroconf

    try:
        zeroconf = Zeroconf()
    except OSError as error:
        raise AxlError(f"this machine has no network for multicast DNS ({error})") from error
    try:
        yield zeroconf
    finally:
        zeroconf.close()


def _url(zeroconf: Zeroconf, name: str) -> str | None:
    info = zeroconf.get_service_info(KIND, name, timeout=1000)
    if info is None or not info.port:
        return None
    scheme = "https" if (info.properties or {}).get(b"scheme") == b"https" else "http"
    for address in info.parsed_addresses():
        try:
            return checked_url(f"{scheme}://[{address}]:{info.port}" if ":" in address else f"{scheme}://{address}:{info.port}")
        except ValueError:
            continue
    return None


def _packed(address: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)
