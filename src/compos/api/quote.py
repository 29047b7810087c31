"""`compos.api.quote`: remote attestation. Ask a machine what it has started, believe what its TPM
has signed, and say what differs from what was expected.

May touch: the network (the machine's agent, the brick `attest`), the files that are named.

The agent may lie, and so may whoever is between: nothing depends on the connection. All trust comes
from the key that the machine was enrolled with.
"""

from __future__ import annotations

import base64
import hmac
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from compos.api.machine_record import MachineRecord, read_record, write_record
from compos.boot.appraisal import Appraisal, Evidence, Seen, appraise, firmware_of
from compos.boot.credential import Credential, make_credential
from compos.boot.event_log import MAX_LOG, read_log
from compos.boot.expected_pcrs import keylime_policy, read_expected
from compos.boot.measurements import Measured
from compos.boot.tpm_quote import (
    EndorsementKey,
    QuoteKey,
    read_endorsement_key,
    read_key,
)
from compos.errors import AttestationError
from compos.http.address import without_secrets
from compos.http.client import Client
from compos.image.json_document import parse_json
from compos.trust.keys import cryptography_module

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

__all__ = [
    "FIRMWARE",
    "EnrolOptions",
    "enrol",
    "evidence_of",
    "expected_of",
    "keylime",
    "machine_of",
    "verify_machine",
]

FIRMWARE = (0, 2, 3, 7)
"""PCRs of the firmware that stay the same while firmware, option ROMs and keys do: not its
settings (1, 6), nor the disk's partitions (5), which the first boot changes."""

NONCE_SIZE = 32
PCRS = 16
MAX_ANSWER = 2 * MAX_LOG


class EnrolOptions(NamedTuple):
    """`expected` are the files of `compos measure --json`, one of which the machine has to have
    started; `pcrs` those of the firmware that are kept; `authorities` are PEM files with
    certificates, one of which must have issued that of the TPM."""

    expected: Sequence[Path] = ()
    pcrs: Sequence[int] = FIRMWARE
    authorities: Sequence[Path] = ()


def enrol(url: str, out: Path, options: EnrolOptions) -> MachineRecord:
    """Write the file `out` of the machine whose agent answers at `url`, after it has proved that
    one TPM has its attestation key and the endorsement key of its certificate. Raises
    `AttestationError` (`quote-*`), `NetworkError`, `OutputError`."""
    from compos.output.place import put_file

    cryptography_module("x509")
    client = Client()
    found = _object(client, url, "identity")
    try:
        key = read_key(_bytes(found, "attestation_key"))
        endorsement = read_endorsement_key(_bytes(found, "endorsement_key"))
        certificate = _bytes(found, "endorsement_certificate")
    except ValueError as error:
        raise _damaged(url, f"its keys: {error}") from error
    _check_certificate(url, certificate, endorsement, options.authorities)
    _activate(client, url, make_credential(endorsement, key))
    evidence = _ask(client, url, key)
    if options.expected:
        _require(url, _closest(evidence, options.expected, Seen({}, {})))
    record = MachineRecord(key, certificate, firmware_of(evidence, options.pcrs))
    put_file(out, write_record(record))
    return record


def verify_machine(url: str, machine: Path, expected: Sequence[Path]) -> Appraisal:
    """Whether the machine of the file `machine` runs one of the systems of the files `expected`.
    Without differences it does. Raises `AttestationError` (`quote-*`) and `NetworkError`."""
    cryptography_module("x509")
    record = machine_of(machine)
    return _closest(_ask(Client(), url, record.key), expected, record.seen)


def keylime(expected: Path, machine: Path | None = None) -> dict[str, list[str]]:
    """Keylime's TPM policy for machines that run the system of the file `expected`; with `machine`,
    also that the firmware is the one of that file. Raises `AttestationError`
    (`quote-expected`, `quote-machine`)."""
    policy = keylime_policy(expected_of(expected))
    if machine:
        for pcr, value in machine_of(machine).seen.pcrs.items():
            policy[str(pcr)] = [value.hex()]
    return dict(sorted(policy.items(), key=lambda one: int(one[0])))


def _closest(evidence: Evidence, expected: Sequence[Path], seen: Seen) -> Appraisal:
    """The one of several expected systems that least differs."""
    found = [appraise(evidence, expected_of(path), seen) for path in expected]
    return min(found, key=lambda one: len(one.differences))


def expected_of(path: Path) -> tuple[Measured, ...]:
    """The expected PCRs in a file of `compos measure --json`. Raises `AttestationError`
    (`quote-expected`)."""
    try:
        return read_expected(path.read_bytes())
    except (OSError, ValueError) as error:
        raise AttestationError(
            "quote-expected",
            f"the expected PCRs cannot be read: {_reason(error)}",
            place=str(path),
            hint="Write them by `compos measure --json OUTPUT > FILE`.",
        ) from error


def machine_of(path: Path) -> MachineRecord:
    """The machine of a file of `compos quote enrol`. Raises `AttestationError`
    (`quote-machine`)."""
    try:
        return read_record(path.read_bytes())
    except (OSError, ValueError) as error:
        raise AttestationError(
            "quote-machine",
            f"the machine's file cannot be read: {_reason(error)}",
            place=str(path),
            hint="Enrol the machine: `compos quote enrol URL --expected FILE MACHINE`.",
        ) from error


def evidence_of(answer: object, key: QuoteKey, nonce: bytes) -> Evidence:
    """The evidence in an agent's answer, if `key` has signed it with `nonce`. Raises
    `ValueError`."""
    quote = key.verify(_bytes(answer, "quote"), _bytes(answer, "signature"))
    if not hmac.compare_digest(quote.nonce, nonce):
        raise ValueError("it is an old quote: it has another nonce")
    texts = answer.get("pcrs") if isinstance(answer, dict) else None
    if not isinstance(texts, list) or not all(isinstance(one, str) for one in texts):
        raise ValueError("it has no PCRs")
    pcrs = {pcr: bytes.fromhex(text) for pcr, text in enumerate(texts)}
    if len(pcrs) != PCRS or not quote.covers(pcrs):
        raise ValueError("the PCRs are not those that were signed")
    log = _bytes(answer, "event_log")
    try:
        return Evidence(pcrs, read_log(log) if log else ())
    except ValueError as error:
        raise ValueError(f"the log of events: {error}") from error


def _ask(client: Client, url: str, key: QuoteKey) -> Evidence:
    nonce = secrets.token_bytes(NONCE_SIZE)
    answer = _object(client, url, f"quote?nonce={nonce.hex()}")
    try:
        return evidence_of(answer, key, nonce)
    except ValueError as error:
        raise AttestationError(
            "quote-evidence",
            f"what the machine says of itself cannot be believed: {error}",
            place=without_secrets(url),
            hint="It may be another machine, or its TPM was cleared: enrol it again if you know "
            "why. Otherwise do not trust it.",
        ) from error


def _activate(client: Client, url: str, credential: Credential) -> None:
    answer = _object(
        client,
        url,
        f"activate?credential={credential.sealed.hex()}&secret={credential.seed.hex()}",
    )
    try:
        secret = _bytes(answer, "secret")
    except ValueError as error:
        raise _damaged(url, str(error)) from error
    if not hmac.compare_digest(secret, credential.secret):
        raise AttestationError(
            "quote-activation",
            "the machine could not prove that its TPM has the key that it signs with",
            place=without_secrets(url),
            hint="Do not trust this machine.",
        )


def _check_certificate(
    url: str, data: bytes, endorsement: EndorsementKey, authorities: Sequence[Path]
) -> None:
    """Its key is the TPM's; one of the authorities, if there are any, has issued it."""
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature

    if not data and not authorities:
        return
    try:
        certificate = x509.load_der_x509_certificate(data)
        if certificate.public_key() != endorsement.public:
            raise ValueError("it is of another key than the TPM's")
    except (ValueError, InvalidSignature) as error:
        raise AttestationError(
            "quote-certificate",
            f"the certificate of the machine's TPM cannot be used: {error if data else 'none'}",
            place=without_secrets(url),
            hint="Enrol the machine without --ek-ca where nobody else is in the network.",
        ) from error
    if authorities and not _issued(certificate, authorities):
        raise AttestationError(
            "quote-certificate",
            f"no authority of --ek-ca has issued {certificate.issuer.rfc4514_string()}'s "
            "certificate of the machine's TPM",
            place=without_secrets(url),
            hint="Add the certificate of its maker, from the maker's pages.",
        )


def _issued(certificate: Certificate, authorities: Sequence[Path]) -> bool:
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature

    for path in authorities:
        try:
            known = x509.load_pem_x509_certificates(path.read_bytes())
        except (OSError, ValueError) as error:
            raise AttestationError(
                "quote-authority",
                f"the certificates cannot be read: {_reason(error)}",
                place=str(path),
                hint="Name a PEM file.",
            ) from error
        for one in known:
            try:
                certificate.verify_directly_issued_by(one)
            except (ValueError, TypeError, InvalidSignature):
                continue
            return True
    return False


def _require(url: str, found: Appraisal) -> None:
    if found.differences:
        raise AttestationError(
            "quote-differs",
            "the machine does not run the system that was expected",
            place=without_secrets(url),
            hint="Enrol machines that have started the system as it was built.",
            excerpt="\n".join(found.differences),
        )


def _object(client: Client, url: str, path: str) -> object:
    """The JSON of an answer."""
    with client.send("GET", f"{url.rstrip('/')}/{path}") as answer:
        data = answer.beginning(MAX_ANSWER + 1)
        if answer.status != 200:
            said = data[:200].decode("ascii", "replace").strip()
            words = said if said.isprintable() else "nothing printable"
            raise AttestationError(
                "quote-agent",
                f"the machine's agent answers with status {answer.status}: {words}",
                place=without_secrets(url),
                hint="Look whether the machine has a TPM 2.0, and the brick attest runs.",
            )
    try:
        return parse_json(data, limit=MAX_ANSWER)
    except ValueError as error:
        raise _damaged(url, str(error)) from error


def _bytes(answer: object, name: str) -> bytes:
    text = answer.get(name) if isinstance(answer, dict) else None
    if not isinstance(text, str):
        raise ValueError(f"it has no {name.replace('_', ' ')}")
    return base64.b64decode(text, validate=True)


def _damaged(url: str, reason: str) -> AttestationError:
    return AttestationError(
        "quote-answer",
        f"the answer of the machine's agent cannot be read: {reason}",
        place=without_secrets(url),
        hint="Name the address of the brick attest, http://HOST:8440.",
    )


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)
