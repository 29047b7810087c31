"""`compos serve`: a folder over HTTP, for machines that boot from the network."""

from __future__ import annotations

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
@click.option("--directory", default=".", show_default=True, metavar="DIR", help="Folder to serve.")
@global_options
def serve(port: str, directory: str, *, settings: Settings) -> None:
    """Serve a folder over HTTP until interrupted."""
    from compos.progress import notice
    from compos.run.serve import listen, parse_address

    host, number = parse_address(port)
    with listen(host, number, directory) as server:
        notice(f"serving {directory} on http://{host or '*'}:{server.server_port}/")
        server.serve_forever()
