"""boto3 as compos uses it: clients, and what its exceptions mean.

May touch: the network, and the files and variables in which boto3 finds regions and credentials.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, cast

from compos.cloud.calls import Calls
from compos.cloud.failure import Problem
from compos.errors import CloudDenied, CloudError, ComposError
from compos.extras import load_extra

__all__ = ["Clients", "connect", "filters", "s3_clients", "tags"]

AT_ONCE = 16
"""Requests in flight."""


class _Client(Protocol):
    def __getattr__(self, operation: str) -> Callable[..., dict[str, Any]]: ...


class Clients(NamedTuple):
    """Clients for the services, and the door that every call goes through."""

    calls: Calls
    region: str
    services: Mapping[str, _Client]

    def call(
        self, service: str, operation: str, *, answer: Mapping[str, Any], **arguments: Any
    ) -> dict[str, Any]:
        """The answer to `operation` (as boto3 writes it) with `arguments`; `answer` in dry runs.

        Raises `CloudError`.
        """
        words = "".join(word.capitalize() for word in operation.split("_"))
        shown = {
            key: f"<{len(value)} bytes>" if isinstance(value, bytes) else value
            for key, value in arguments.items()
        }

        def perform() -> dict[str, Any]:
            answered: dict[str, Any] = getattr(self.services[service], operation)(**arguments)
            return answered

        return self.calls(f"{service} {words}", perform, answer=dict(answer), shown=shown)


def connect(
    *, show: Callable[[str], None] | None = None, wait: Callable[[float], None] | None = None
) -> Clients:
    """Clients in the user's region, with the user's credentials, as boto3 finds them.

    Raises `CloudError` (`cloud-region`) and `ExtraMissing`.
    """
    boto3 = load_extra("boto3", "aws")
    config = load_extra("botocore.config", "aws").Config(
        retries={"total_max_attempts": 1},
        max_pool_connections=AT_ONCE,
        connect_timeout=20,
        read_timeout=60,
    )
    calls = Calls(_explain, show=show, **({"wait": wait} if wait else {}))
    try:
        session = boto3.session.Session()
        # boto3 itself reads AWS_DEFAULT_REGION; LinuxKit and AWS's other SDKs read AWS_REGION.
        region = _environment_region() or session.region_name or ("REGION" if show else "")
        if not region:
            raise CloudError(
                "cloud-region",
                "no region of AWS is named",
                hint="Set AWS_REGION, or `region` in ~/.aws/config.",
            )
        services = (
            {}
            if show
            else {
                name: cast("_Client", session.client(name, region_name=region, config=config))
                for name in ("ebs", "ec2", "s3")
            }
        )
    except ComposError:
        raise
    except Exception as error:
        raise CloudError(
            "cloud-configuration",
            f"boto3 cannot use its configuration: {error}",
            hint="See ~/.aws/config, ~/.aws/credentials and the variables AWS_….",
        ) from error
    return Clients(calls, region, services)


def s3_clients(
    endpoint: str,
    region: str,
    keys: tuple[str, str],
    *,
    show: Callable[[str], None] | None = None,
    wait: Callable[[float], None] | None = None,
) -> Clients:
    """Clients of other people's object storage, with an access key and its secret."""
    calls = Calls(_explain, show=show, **({"wait": wait} if wait else {}))
    if show:
        return Clients(calls, region, {})
    config = load_extra("botocore.config", "aws").Config(
        retries={"total_max_attempts": 1},
        signature_version="s3v4",
        connect_timeout=20,
        read_timeout=60,
        # Others do not know the checksums that AWS asks for.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    client = (
        load_extra("boto3", "aws")
        .session.Session()
        .client(
            "s3",
            region_name=region,
            endpoint_url=endpoint,
            aws_access_key_id=keys[0],
            aws_secret_access_key=keys[1],
            config=config,
        )
    )
    return Clients(calls, region, {"s3": cast("_Client", client)})


def _environment_region() -> str:
    import os

    return os.environ.get("AWS_REGION", "")


def _explain(error: Exception) -> Problem | ComposError | None:
    exceptions = load_extra("botocore.exceptions", "aws")
    if isinstance(error, exceptions.ClientError):
        return _of_answer(cast("Any", error).response)
    if isinstance(error, (exceptions.NoCredentialsError, exceptions.PartialCredentialsError)):
        return CloudDenied(
            "cloud-credentials",
            "no credentials for AWS are found",
            hint="Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or run "
            "`aws configure`, or run on an instance with a role.",
        )
    if isinstance(error, (exceptions.TokenRetrievalError, exceptions.SSOTokenLoadError)):
        return CloudDenied(
            "cloud-credentials",
            f"the login of AWS has ended: {error}",
            hint="Run `aws sso login`.",
        )
    if isinstance(error, (exceptions.HTTPClientError, exceptions.ConnectionError)):
        return Problem(0, "", str(error))
    # An answer that is no answer of AWS: cut off, or of a proxy.
    if isinstance(error, (exceptions.BotoCoreError, OSError)) or "parser" in type(error).__module__:
        return Problem(0, "", str(error))
    return None


_DENIED = (
    "ExpiredToken",
    "ExpiredTokenException",
    "RequestExpired",
    "InvalidClientTokenId",
    "AuthFailure",
    "UnrecognizedClientException",
    "SignatureDoesNotMatch",
    "InvalidAccessKeyId",
)


def _of_answer(response: Mapping[str, Any]) -> Problem:
    found = response.get("Error", {})
    metadata = response.get("ResponseMetadata", {})
    code = str(found.get("Code", ""))
    status = int(metadata.get("HTTPStatusCode", 0))
    if code in _DENIED:
        status = 401
    elif code in ("UnauthorizedOperation", "AccessDenied", "AccessDeniedException"):
        status = 403
    elif code.endswith(".NotFound") or code in ("NoSuchBucket", "NoSuchKey", "NotFound"):
        status = 404
    elif code.endswith(".Duplicate"):
        status = 409
    return Problem(
        status,
        code,
        str(found.get("Message", "")),
        metadata.get("HTTPHeaders", {}).get("retry-after"),
    )


def filters(**wanted: str | Sequence[str]) -> list[dict[str, Any]]:
    """EC2's filters: `tag__NAME` for a tag, `some_field` for `some-field`."""
    return [
        {
            "Name": name.replace("tag__", "tag:").replace("_", "-"),
            "Values": [value] if isinstance(value, str) else list(value),
        }
        for name, value in wanted.items()
    ]


def tags(values: Mapping[str, str]) -> list[dict[str, str]]:
    """EC2's form of tags."""
    return [{"Key": key, "Value": value} for key, value in values.items()]
