"""`compos serve`: a folder or a system over HTTP, for machines that boot from the network."""

from __future__ import annotations

from pathlib import Path

import click

from compos.cli.settings import Settings, global_options

__all__ = ["serve"]


@click.command
@click.argument("ignored", nargs=-1, expose_value=False, metavar="")
@click.option(
    "--port",
    default="127.0.0.1:8080",
    show_default=True,
    metavar="[HOST]:PORT",
    help="Address to listen on; :8080 means every interface, which is LinuxKit's default.",
)
@click.option(
    "--directory",
    metavar="DIR",
    help="Folder to serve [the current one; none with --boot].",
)
@click.option(
    "--boot",
    type=click.Path(path_type=Path),
    metavar="PREFIX",
    help="Serve the system that was built as PREFIX to machines that boot from the network: "
    "/boot.ipxe is a script for iPXE, /boot.efi the UEFI program.",
)
@click.option(
    "--tls-cert",
    type=click.Path(path_type=Path),
    metavar="PEM",
    help="Serve over HTTPS with this certificate, and those between it and its root.",
)
@click.option(
    "--tls-key",
    type=click.Path(path_type=Path),
    metavar="PEM",
    help="The certificate's key [in its file].",
)
@global_options
def serve(
    port: str,
    directory: str | None,
    boot: Path | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    *,
    settings: Settings,
) -> None:
    """Serve a folder, or a system for machines that boot from the network, until interrupted."""
    if tls_key and not tls_cert:
        raise click.UsageError("--tls-key needs --tls-cert")
    from compos.progress import notice
    from compos.run.netboot import netboot
    from compos.run.serve import listen, parse_address

    host, number = parse_address(port)
    system = netboot(boot) if boot else None
    tls = None
    if tls_cert:
        from compos.run.tls import server_context

        tls = server_context(tls_cert, tls_key)
    folder = directory if directory is not None or boot else "."
    with listen(host, number, folder, boot=system, tls=tls) as server:
        shown = f"[{host}]" if ":" in host else host or "*"
        address = f"{'https' if tls else 'http'}://{shown}:{server.server_port}/"
        if folder is not None:
            notice(f"serving {folder} on {address}")
        if system:
            notice(f"booting {boot}: {', '.join(address + name for name in system.offers())}")
        server.serve_forever()
