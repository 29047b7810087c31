"""The brick update at a hawkBit server: orders that are followed until the server has heard how they
ended, and answers of servers that mean harm.

The program runs whole, with a program for slots and a RAUC that are this test's; the server is a
fake (tests/hawkbit.py).
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bricks.compiler import compile_brick
from tests.hawkbit import BASE, CONTROLLER, FakeHawkbit, Feedback

pytestmark = pytest.mark.root

TOKEN = "bH7XXAprK1ChnLfKSdtlsp7NOlPnZAYY"

SLOT = """#!/bin/sh
# slot VERB A|B: what a file of that name has.
case $1 in
get-current|get-primary) cat FOLDER/$1;;
get-*) cat FOLDER/$1-$2;;
set-version) echo $3 > FOLDER/get-version-$2;;
set-primary) echo $2 > FOLDER/get-primary;;
esac
"""

RAUC = """#!/bin/sh
# What it is told goes to a file; the bundle has the version that `bundle` says.
echo "$@" >> FOLDER/rauc
[ -e FOLDER/fails ] && cat FOLDER/fails && exit 1
mkdir -p FOLDER/mounted
printf 'version\\t%s\\n' $(cat FOLDER/bundle) > FOLDER/mounted/terms
RAUC_BUNDLE_MOUNT_POINT=FOLDER/mounted /usr/bin/update-check || exit 1
echo B > FOLDER/get-primary
"""

BUS = """#!/bin/sh
# What RAUC's service says of the request that it is to send.
[ -e FOLDER/quiet ] || echo "rauc-nbd-Message: {'headers': <['Authorization: TargetToken TOKEN']>}, TOKEN" >&2
[ -e FOLDER/quiet ] || echo "rauc-Message: TOKEN"
: > /run/update/bus
exec sleep 1000
"""


class Machine:
    """Version 1.0.0 in slot A, which is good."""

    def __init__(self, folder: Path, server: str) -> None:
        self.folder = folder
        self.state, self.tokens = folder / "state", folder / "tokens"
        for one in (folder / "bin", self.state, self.tokens):
            one.mkdir()
        programs = {"slot": SLOT, "rauc": RAUC, "dbus-daemon": BUS}
        for name, text in programs.items():
            path = folder / "bin" / name
            path.write_text(text.replace("FOLDER", str(folder)).replace("TOKEN", TOKEN))
            path.chmod(0o755)
        for name in ("update-check", "update-kexec"):
            (folder / "bin" / name).symlink_to(compile_brick("update"))
        (self.tokens / "hawkbit-token").write_text(f"{TOKEN}\n")
        self.terms = {
            "version": "1.0.0",
            "compatible": "gateway",
            "source": "hawkbit",
            "hawkbit": f"{server}/DEFAULT",
            "hawkbit-controller": CONTROLLER,
            "hawkbit-scheme": "TargetToken",
            "hawkbit-token": "hawkbit-token",
        }
        self.say("get-current", "A")
        self.say("get-primary", "A")
        self.say("bundle", "1.1.0")
        for slot in "AB":
            self.say(f"get-state-{slot}", "good")
            self.say(f"get-version-{slot}", "1.0.0")
            self.say(f"get-failures-{slot}", "0")
            self.say(f"get-reason-{slot}", "")

    def say(self, name: str, text: str) -> None:
        """What the program for slots says."""
        (self.folder / name).write_text(f"{text}\n")

    def look(self) -> subprocess.CompletedProcess[str]:
        """`update now`, once."""
        terms = "".join(f"{word}\t{value}\n" for word, value in self.terms.items())
        (self.folder / "terms").write_text(terms)
        script = f"""set -e
mount -t overlay -o lowerdir={self.folder}/bin:/usr/bin none /usr/bin
mount -t tmpfs none /etc && mkdir /etc/update /etc/hawkbit && cp {self.folder}/terms /etc/update
mount --bind {self.tokens} /etc/hawkbit
mount -t tmpfs none /run
mount -t tmpfs none /var/lib && mkdir /var/lib/hawkbit
mount --bind {self.state} /var/lib/hawkbit
exec {compile_brick("update")} now"""
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", script],
            env={"PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert "Sanitizer" not in done.stderr, done.stderr
        assert TOKEN not in done.stdout + done.stderr
        return done

    def told(self) -> list[str]:
        """What RAUC was told, command by command."""
        path = self.folder / "rauc"
        return path.read_text().splitlines() if path.exists() else []

    def kept(self) -> str:
        return (self.state / ".compos-hawkbit").read_text()


@pytest.fixture
def server() -> Iterator[FakeHawkbit]:
    with FakeHawkbit(f"TargetToken {TOKEN}") as fake:
        fake.artifacts["os.raucb"] = b"hsqs"
        yield fake


@pytest.fixture
def machine(tmp_path: Path, server: FakeHawkbit) -> Machine:
    return Machine(tmp_path, f"http://{server.host}")


def deployed(execution: str, finished: str, detail: str, action: str = "17") -> Feedback:
    return Feedback("deploymentBase", action, execution, finished, detail)


def installed(machine: Machine, server: FakeHawkbit) -> None:
    """Order 17 is installed, and waits for the next start."""
    server.deploy("17", "os.raucb")
    done = machine.look()
    assert done.returncode == 0, done.stderr
    assert machine.kept() == "17 1 B 1.1.0\n"
    assert "TargetToken (hidden)']>}, (hidden)\nrauc-Message: (hidden)\n" in done.stderr


def test_nothing_to_do(machine: Machine, server: FakeHawkbit) -> None:
    done = machine.look()
    assert (done.returncode, done.stderr, machine.told()) == (1, "", [])
    assert server.attributes is not None
    assert (server.attributes["compatible"], server.attributes["version"]) == ("gateway", "1.0.0")
    machine.look()
    # It is told what the machine is when it asks.
    assert [one[0] for one in server.requests] == ["GET", "PUT", "GET"]


def test_a_version_that_is_good(machine: Machine, server: FakeHawkbit) -> None:
    installed(machine, server)
    assert server.feedback == [
        deployed("proceeding", "none", "the bundle is fetched"),
        deployed("proceeding", "none", "installed; it is tried at the next start"),
    ]
    (told,) = machine.told()
    url = f"http://{server.host}{BASE}/softwaremodules/23/artifacts/os.raucb"
    assert told.endswith(f"--http-header=Authorization: TargetToken {TOKEN} -- {url}")
    # Until the machine starts anew, and while the version is on trial, nothing is said of its end.
    assert machine.look().returncode == 1
    machine.say("get-current", "B")
    machine.say("get-state-B", "bad")
    machine.terms["version"] = "1.1.0"
    assert machine.look().returncode == 1
    assert len(server.feedback) == 2
    machine.say("get-state-B", "good")
    machine.look()
    assert server.last() == deployed("closed", "success", "version 1.1.0 runs, and is good")
    assert (machine.kept(), len(machine.told())) == ("", 1)
    machine.look()
    assert len(server.feedback) == 3


def test_a_version_that_fails(machine: Machine, server: FakeHawkbit) -> None:
    installed(machine, server)
    machine.say("get-primary", "A")
    machine.say("get-state-B", "bad")
    machine.say("get-reason-B", 'service "web" is unhealthy')
    machine.look()
    detail = 'version 1.1.0 was tried and failed: service "web" is unhealthy'
    assert server.last() == deployed("closed", "failure", detail)
    assert machine.kept() == ""


def test_the_end_is_said_until_it_is_heard(machine: Machine, server: FakeHawkbit) -> None:
    installed(machine, server)
    machine.say("get-current", "B")
    machine.terms["version"] = "1.1.0"
    server.replace["/deploymentBase/17/feedback"] = (500, {}, b"")
    done = machine.look()
    assert "status 500" in done.stderr
    assert machine.kept() == "17 1 B 1.1.0\n"
    server.replace.clear()
    machine.look()
    assert server.last().finished == "success"
    # An action that the server has forgotten is none.
    machine.say("get-current", "A")
    machine.say("get-primary", "A")
    machine.terms["version"] = "1.0.0"
    installed(machine, server)
    server.deployment = None
    machine.say("get-primary", "A")
    machine.look()
    assert machine.kept() == ""


def test_power_that_is_cut_before_the_order_is_noted(machine: Machine, server: FakeHawkbit) -> None:
    """RAUC was done, but what was kept does not say so: the version that is ordered runs."""
    server.deploy("17", "os.raucb")
    machine.terms["version"] = "1.1.0"
    (machine.state / ".compos-hawkbit").write_text("17 1 - -\n")
    machine.say("get-current", "B")
    machine.say("get-state-B", "bad")
    machine.look()
    # On trial, the other slot is not written to.
    assert machine.told() == []
    machine.say("get-state-B", "good")
    machine.look()
    assert server.last() == deployed("closed", "success", "this version runs already")


@pytest.mark.parametrize("kept", ["", "x", "17", "17 99999999 B 1.1.0", "17 1 C 1.1.0", "1" * 999])
def test_what_is_kept_is_damaged(machine: Machine, server: FakeHawkbit, kept: str) -> None:
    (machine.state / ".compos-hawkbit").write_text(kept)
    installed(machine, server)


def test_without_slots(machine: Machine, server: FakeHawkbit) -> None:
    """The program for slots is update-kexec's; here it takes nothing, so the machine starts with
    what its medium has."""
    machine.terms["kexec"] = "yes"
    (machine.state / ".compos-hawkbit").write_text("17 1 B 1.1.0\n")
    server.deploy("17", "os.raucb")
    machine.look()
    assert server.feedback[0] == deployed(
        "closed", "failure", "the machine has started with version 1.0.0"
    )


def test_what_is_refused(machine: Machine, server: FakeHawkbit) -> None:
    server.deploy("17", "os.raucb")
    machine.say("bundle", "0.9.0")
    machine.look()
    assert server.last() == deployed("closed", "failure", "the update is older: 0.9.0")
    server.deploy("18", "os.raucb")
    machine.say("bundle", "1.0.0")
    machine.look()
    assert server.last() == deployed("closed", "success", "this version runs already", "18")
    server.deploy("19", "os.raucb")
    machine.say("bundle", "1.2.0")
    machine.say("get-version-B", "1.2.0")
    machine.say("get-failures-B", "3")
    machine.look()
    assert server.last() == deployed("closed", "failure", "its trials have failed: 1.2.0", "19")


def test_what_rauc_does_not_install_is_tried_three_times(
    machine: Machine, server: FakeHawkbit
) -> None:
    server.deploy("17", "os.raucb")
    machine.say("fails", "LastError: signature verification failed: a stranger")
    for _ in range(3):
        assert machine.look().returncode == 1
    assert len(machine.told()) == 3
    detail = "signature verification failed: a stranger"
    said = [one for one in server.feedback if one.detail == detail]
    assert [one.execution for one in said] == ["proceeding", "proceeding", "closed"]
    machine.look()
    assert len(machine.told()) == 3


def test_an_order_that_is_to_wait(machine: Machine, server: FakeHawkbit) -> None:
    server.deploy("17", "os.raucb")
    server.update = "skip"
    assert machine.look().returncode == 1
    assert (machine.told(), server.feedback) == ([], [])
    server.update = "attempt"
    assert machine.look().returncode == 0


@pytest.mark.parametrize("names", [(), ("readme.txt",), ("a.raucb", "b.raucb"), (".raucb",)])
def test_orders_without_one_bundle(
    machine: Machine, server: FakeHawkbit, names: tuple[str, ...]
) -> None:
    server.deploy("17", *names)
    machine.look()
    assert (server.last().execution, server.last().finished) == ("closed", "failure")
    assert "files *.raucb" in server.last().detail
    assert machine.told() == []


def test_a_cancellation(machine: Machine, server: FakeHawkbit) -> None:
    server.deploy("17", "os.raucb")
    server.cancel("18", "17")
    machine.look()
    assert machine.told() == []
    assert server.last()[:4] == ("cancelAction", "18", "closed", "success")
    # One that is installed is taken back.
    server.deploy("19", "os.raucb")
    machine.look()
    server.cancel("20", "19")
    machine.look()
    assert (machine.folder / "get-primary").read_text() == "A\n"
    assert (server.last()[:4], machine.kept()) == (("cancelAction", "20", "closed", "success"), "")
    # One that has started is not.
    server.deploy("21", "os.raucb")
    machine.look()
    machine.say("get-current", "B")
    machine.say("get-state-B", "bad")
    server.cancel("22", "21")
    machine.look()
    assert server.last()[:4] == ("cancelAction", "22", "rejected", "none")
    assert machine.kept().startswith("21 ")


def test_a_bundle_elsewhere_comes_without_the_token(machine: Machine, server: FakeHawkbit) -> None:
    server.stranger = f"http://{server.host}0"
    machine.say("quiet", "it has no token to tell of")
    server.deploy("17", "os.raucb")
    assert machine.look().returncode == 0
    (told,) = machine.told()
    assert "http-header" not in told
    assert told.endswith(f"-- {server.stranger}{BASE}/softwaremodules/23/artifacts/os.raucb")


def test_the_token_goes_nowhere_else(machine: Machine, server: FakeHawkbit) -> None:
    with FakeHawkbit("") as other:
        address = {"Location": f"http://{other.host}{BASE}"}
        server.replace[""] = (302, address, b"")
        assert "status 302" in machine.look().stderr
        # Links within the API are not followed either: the action's number is what counts.
        href = f"http://{other.host}{BASE}/deploymentBase/17"
        server.replace[""] = (
            200,
            {},
            json.dumps({"_links": {"deploymentBase": {"href": href}}}).encode(),
        )
        server.deploy("17", "os.raucb")
        assert machine.look().returncode == 0
        assert other.requests == []


@pytest.mark.parametrize("text", ["", "\n", "two lines\nof it", "x" * 129, "a\tb", "\xff"])
def test_no_token(machine: Machine, server: FakeHawkbit, text: str) -> None:
    (machine.tokens / "hawkbit-token").write_text(text)
    assert "token" in machine.look().stderr
    (machine.tokens / "hawkbit-token").unlink()
    assert "the file with the token: No such file" in machine.look().stderr
    assert server.requests == []


def test_a_token_that_is_wrong(machine: Machine, server: FakeHawkbit) -> None:
    server.token = "TargetToken another"
    assert "status 401" in machine.look().stderr


LINK = {"href": f"http://h{BASE}/deploymentBase/17"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b"[" * 100_000,
        b'{"_links": ' * 100,
        b" " * (2 << 20),
        b'{"_links": "' + b"x" * (1 << 20) + b'"}',
        bytes(1000),
        b"\xff" * 100,
        *(
            json.dumps({"_links": links}).encode()
            for links in (
                *(7, [], {"deploymentBase": 7}, {"deploymentBase": {"href": 7}}),
                *(
                    {"deploymentBase": {"href": f"{BASE}/deploymentBase/{wrong}"}}
                    for wrong in ("", "x", "-1", "17/../..", "17x", "1" * 20, "17#", "%31")
                ),
                {"deploymentBase": {"href": "x" * 100_000}},
                {"cancelAction": LINK},
                {"confirmationBase": LINK},
            )
        ),
        json.dumps({"config": {"polling": {"sleep": "99999:99:99"}}}).encode(),
        json.dumps({"config": {"polling": {"sleep": ["00"]}}}).encode(),
        json.dumps({"config": 7, "_links": None}).encode(),
    ],
    ids=range(28),
)
def test_hostile_polls(machine: Machine, server: FakeHawkbit, body: bytes) -> None:
    server.attributes = {}
    server.deploy("17", "os.raucb")
    server.replace[""] = (200, {}, body)
    assert machine.look().returncode == 1
    assert (machine.told(), server.feedback) == ([], [])


def artifact(**changes: object) -> dict[str, object]:
    links = {"download": {"href": "http://h/os.raucb"}}
    return {"filename": "os.raucb", "_links": links, **changes}


def deployment(*artifacts: object, **changes: object) -> bytes:
    chunks = [{"artifacts": artifacts}]
    return json.dumps({"deployment": {"update": "forced", "chunks": chunks, **changes}}).encode()


def linked(href: object) -> bytes:
    return deployment(artifact(_links={"download": {"href": href}}))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"7",
        b"{}",
        b'{"deployment": []}',
        b"[" * 100_000,
        b"x" * (2 << 20),
        deployment(chunks=7),
        deployment(chunks=[7, None, [], {"artifacts": 7}]),
        deployment(7, None, [], {}),
        deployment(artifact(), update=["forced"]),
        deployment(artifact(), update="f" * 10_000),
        deployment(artifact(filename=["os.raucb"])),
        deployment(artifact(filename="x" * 5000 + ".raucb")),
        deployment(artifact(_links=None)),
        deployment(*[artifact()] * 10_000),
        linked(7),
        linked("/etc/passwd"),
        linked("file:///etc/passwd"),
        linked("--keyring=/tmp/x"),
        linked("ftp://h/os.raucb"),
        linked("http://h/os raucb"),
        linked("http://h/\n-v"),
        linked("http://h/" + "x" * 5000),
        linked("http://h/\u00fc"),
    ],
    ids=range(24),
)
def test_hostile_deployments(machine: Machine, server: FakeHawkbit, body: bytes) -> None:
    server.deploy("17", "os.raucb")
    server.replace["/deploymentBase/17"] = (200, {}, body)
    assert machine.look().returncode == 1
    assert machine.told() == []


@pytest.mark.parametrize("stop", ["x", "", -1, "1" * 30, [17], None])
def test_hostile_cancellations(machine: Machine, server: FakeHawkbit, stop: object) -> None:
    server.cancel("18", "17")
    body = json.dumps({"id": "18", "cancelAction": {"stopId": stop}}).encode()
    server.replace["/cancelAction/18"] = (200, {}, body)
    assert "the cancellation names no action" in machine.look().stderr
    assert server.feedback == []
