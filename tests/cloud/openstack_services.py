"""Keystone and Glance of Debian, with SQLite and files, as one user has them on one machine.

What they need is in two packages, `python3-keystone` and `python3-glance`, which start nothing by
themselves.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.cloud.proxy import Proxy
from tests.cloud.servers import free_port, running, until_answers

__all__ = ["PASSWORD", "keystone_and_glance"]

PASSWORD = "keystone-secret-word"

KEYSTONE = """\
[DEFAULT]
log_file = {folder}/keystone.log
[database]
connection = sqlite:///{folder}/keystone.db
[fernet_tokens]
key_repository = {folder}/fernet
[credential]
key_repository = {folder}/credential
[token]
provider = fernet
"""
GLANCE = """\
[DEFAULT]
bind_host = 127.0.0.1
bind_port = {port}
workers = 0
enabled_backends = disk:file
log_file = {folder}/glance.log
[database]
connection = sqlite:///{folder}/glance.db
[glance_store]
default_backend = disk
[disk]
filesystem_store_datadir = {folder}/images
[os_glance_staging_store]
filesystem_store_datadir = {folder}/staging
[os_glance_tasks_store]
filesystem_store_datadir = {folder}/tasks
[paste_deploy]
flavor = keystone
config_file = {folder}/paste.ini
[keystone_authtoken]
www_authenticate_uri = {keystone}
auth_url = {keystone}
auth_type = password
username = admin
password = {password}
project_name = admin
user_domain_id = default
project_domain_id = default
memcached_servers =
"""
PASTE = """\
[pipeline:glance-api-keystone]
pipeline = versionnegotiation authtoken context rootapp
[filter:versionnegotiation]
paste.filter_factory = glance.api.middleware.version_negotiation:VersionNegotiationFilter.factory
[composite:rootapp]
paste.composite_factory = glance.api:root_app_factory
/: apiversions
/v2: apiv2app
[app:apiversions]
paste.app_factory = glance.api.versions:create_resource
[app:apiv2app]
paste.app_factory = glance.api.v2.router:API.factory
[filter:context]
paste.filter_factory = glance.api.middleware.context:ContextMiddleware.factory
[filter:authtoken]
paste.filter_factory = keystonemiddleware.auth_token:filter_factory
"""
# Debian's own Python, not that of a virtual environment.
PYTHON = "/usr/bin/python3"


def _clean() -> dict[str, str]:
    return {
        key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "OS_"))
    }


def _run(*arguments: str, **extra: str) -> None:
    done = subprocess.run(
        arguments, capture_output=True, text=True, env={**_clean(), **extra}, check=False
    )
    assert done.returncode == 0, f"{arguments}: {done.stderr[-2000:]}"


@contextmanager
def keystone_and_glance(folder: Path, proxy: Proxy) -> Iterator[dict[str, str]]:
    """Both services in `folder`, Glance behind `proxy`; gives the variables that users set."""
    keystone_port, glance_port = free_port(), free_port()
    keystone = f"http://127.0.0.1:{keystone_port}/v3"
    glance = f"http://127.0.0.1:{glance_port}"
    names = {"folder": folder, "port": glance_port, "keystone": keystone, "password": PASSWORD}
    for name in ("fernet", "credential", "images", "staging", "tasks"):
        (folder / name).mkdir()
    (folder / "keystone.conf").write_text(KEYSTONE.format(**names))
    (folder / "glance.conf").write_text(GLANCE.format(**names))
    (folder / "paste.ini").write_text(PASTE)
    manage = ("keystone-manage", "--config-file", str(folder / "keystone.conf"))
    _run(*manage, "db_sync")
    _run(*manage, "fernet_setup", "--keystone-user", "root", "--keystone-group", "root")
    _run(*manage, "credential_setup", "--keystone-user", "root", "--keystone-group", "root")
    _run(
        *manage, "bootstrap", "--bootstrap-password", PASSWORD, "--bootstrap-region-id", "one",
        "--bootstrap-public-url", keystone, "--bootstrap-internal-url", keystone,
        "--bootstrap-admin-url", keystone,
    )  # fmt: skip
    glance_config = ("--config-file", str(folder / "glance.conf"))
    database = "import sys; from glance.cmd.manage import main; sys.argv[0] = 'glance'; main()"
    _run(PYTHON, "-c", database, *glance_config, "db", "sync")
    api = "import sys; from glance.cmd.api import main; sys.argv[0] = 'glance'; main()"
    variables = {
        "OS_AUTH_URL": keystone,
        "OS_USERNAME": "admin",
        "OS_PASSWORD": PASSWORD,
        "OS_PROJECT_NAME": "admin",
        "OS_USER_DOMAIN_ID": "default",
        "OS_PROJECT_DOMAIN_ID": "default",
        "OS_REGION_NAME": "one",
        "OS_IDENTITY_API_VERSION": "3",
    }
    with ExitStack() as stack:
        environment = {**_clean(), "OS_KEYSTONE_CONFIG_FILES": str(folder / "keystone.conf")}
        command = ["keystone-wsgi-public", "--host", "127.0.0.1", "--port", str(keystone_port)]
        stack.enter_context(running(command, folder / "keystone.out", environment))
        until_answers(keystone)
        stack.enter_context(
            running([PYTHON, "-c", api, *glance_config], folder / "glance.out", _clean())
        )
        until_answers(f"{glance}/versions")
        _register(variables, proxy.to("127.0.0.1", glance_port, keep_host=True))
        yield variables


def _register(variables: dict[str, str], glance: str) -> None:
    """Put Glance into Keystone's catalog."""
    import openstack

    with openstack.connect(
        auth_url=variables["OS_AUTH_URL"],
        username="admin",
        password=PASSWORD,
        project_name="admin",
        user_domain_id="default",
        project_domain_id="default",
        region_name="one",
    ) as cloud:
        service = cloud.identity.create_service(name="glance", type="image")
        cloud.identity.create_endpoint(
            service_id=service.id, interface="public", url=glance, region_id="one"
        )
