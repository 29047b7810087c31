"""Requests to Azure with the user's credentials.

May touch: the network, and the files and variables in which azure-identity finds credentials.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from compos.cloud.calls import Calls
from compos.cloud.failure import Problem
from compos.cloud.rest import Answer, Rest
from compos.errors import CloudDenied, CloudError, ComposError
from compos.extras import load_extra

__all__ = ["Azure", "connect", "explain"]

MANAGEMENT = "https://management.azure.com"
VARIABLES = (
    "AZURE_SUBSCRIPTION_ID",
    "AZURE_TENANT_ID",
    "AZURE_CLIENT_ID",
    "AZURE_CLIENT_SECRET",
)


class Azure(NamedTuple):
    """The Resource Manager, with the subscription's path in it."""

    rest: Rest
    subscription: str

    def group(self, name: str) -> str:
        """The path of a resource group."""
        return f"{self.subscription}/resourceGroups/{name}"


def connect(
    *, show: Callable[[str], None] | None = None, wait: Callable[[float], None] | None = None
) -> Azure:
    """The Resource Manager of AZURE_SUBSCRIPTION_ID. Raises `CloudError`
    (`cloud-option`) and `ExtraMissing`.

    Credentials are those that azure-identity finds: LinuxKit's variables, a managed identity, `az
    login`. AZURE_RESOURCE_MANAGER_ENDPOINT names another cloud's Resource Manager, as sovereign
    ones have.
    """
    calls = Calls(explain, show=show, **({"wait": wait} if wait else {}))
    base = os.environ.get("AZURE_RESOURCE_MANAGER_ENDPOINT", MANAGEMENT).rstrip("/")
    id = os.environ.get("AZURE_SUBSCRIPTION_ID", "SUBSCRIPTION" if show else "")
    if not id:
        raise CloudError(
            "cloud-option",
            "no subscription of Azure is named",
            hint=f"Set AZURE_SUBSCRIPTION_ID; LinuxKit also needs {', '.join(VARIABLES[1:])}.",
        )
    rest = Rest(calls, _never if show else _transport(base))
    return Azure(rest, f"{base}/subscriptions/{id}")


def _never(*_: object) -> Answer:
    raise AssertionError


def _transport(base: str) -> Callable[..., Answer]:
    pipeline = load_extra("azure.mgmt.core", "azure")
    request_class = load_extra("azure.core.rest", "azure").HttpRequest
    policies = load_extra("azure.core.pipeline.policies", "azure")
    credential = load_extra("azure.identity", "azure").DefaultAzureCredential(
        exclude_interactive_browser_credential=True
    )
    own = load_extra("azure.mgmt.core.policies", "azure")
    authentication: Any = own.ARMChallengeAuthenticationPolicy(credential, f"{base}/.default")
    if base.startswith("http://"):
        # Tokens are not sent in the clear: what answers there is an emulator.
        authentication = policies.HeadersPolicy()
    client = pipeline.ARMPipelineClient(
        base,
        policies=[
            policies.RequestIdPolicy(),
            policies.UserAgentPolicy("compos"),
            authentication,
        ],
    )

    def send(
        method: str, url: str, headers: Mapping[str, str], body: bytes | Iterator[bytes] | None
    ) -> Answer:
        request = request_class(method, url, headers=dict(headers), content=body)
        found = client.send_request(request)
        return Answer(
            found.status_code,
            {key.lower(): value for key, value in found.headers.items()},
            found.content,
        )

    return send


def explain(error: Exception) -> Problem | ComposError | None:
    """What an exception of Azure's SDK means."""
    exceptions = load_extra("azure.core.exceptions", "azure")
    if isinstance(error, exceptions.ClientAuthenticationError):
        return CloudDenied(
            "cloud-credentials",
            "Azure does not accept the credentials, or there are none",
            hint="Run `az login`, or set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET, "
            "or run on a machine with a managed identity.",
        )
    if isinstance(error, exceptions.HttpResponseError):
        found: Any = error
        response = found.response
        delay = response.headers.get("Retry-After") if response is not None else None
        code = str(getattr(found, "error_code", "") or "")
        return Problem(found.status_code or 0, code, str(found.reason or found.message), delay)
    if isinstance(error, (exceptions.AzureError, OSError)):
        return None if getattr(error, "filename", None) else Problem(0, "", str(error))
    return None
