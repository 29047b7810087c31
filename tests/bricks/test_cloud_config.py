"""What of a #cloud-config needs an option of the metadata brick (users, commands), and user data that
is compressed or of several parts. The judges are Debian's pwck and sh."""

from __future__ import annotations

import base64
import gzip
import subprocess
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from pathlib import Path

import pytest

from tests.bricks.compiler import compile_brick
from tests.bricks.metadata_runs import Outcome, run

BASE = {
    "/etc/passwd": "root:x:0:0:root:/root:/bin/sh\nsshd:x:100:65534:sshd:/run/sshd:/bin/false\n",
    "/etc/group": "root:x:0:\ntty:x:5:\nnogroup:x:65534:",
    "/etc/shadow": "root:*::0:::::\nsshd:!::0:::::\n",
}
HASH = "$6$salt$" + "a" * 86
ACCOUNTS = ["users/group", "users/passwd", "users/shadow", "users/sudoers"]
SUDOERS = "# Written by metadata.\n"


@pytest.fixture(scope="module")
def program() -> Path:
    return compile_brick("metadata")


def files_of(program: Path, data: str | bytes, *options: str) -> Outcome:
    text = data if isinstance(data, str) else data.decode("latin-1")
    outcome = run(program, *options, "file=/run/given", files={**BASE, "/run/given": text})
    assert outcome.files.pop("given")[1] == text
    return outcome


def said(outcome: Outcome) -> list[str]:
    """What is reported of the user data."""
    assert outcome.status == 0
    lines = [line.removeprefix("metadata: ") for line in outcome.said.splitlines()]
    assert lines[0] == "found /run/given"
    return lines[1:]


USERS = f"""#cloud-config
groups:
- builders
- cloud: [me, nobody-there]
users:
- default
- name: me
  gecos: It is, me
  groups: builders, tty
  shell: /bin/bash
  passwd: {HASH}
  lock_passwd: false
  sudo: ALL=(ALL) NOPASSWD:ALL
  homedir: /home/me
  ssh_authorized_keys: [ssh-rsa A me]
- name: you
  uid: 2000
  passwd: {HASH}
  groups: [builders]
- {{name: daemon, system: true, primary_group: builders, homedir: /srv, ssh_import_id: x}}
- name: root
  hashed_passwd: {HASH}
  lock_passwd: false
  ssh_authorized_keys: [ssh-rsa R root]
ssh_authorized_keys: [ssh-rsa D default]
"""


@pytest.mark.root
def test_users(program: Path, tmp_path: Path) -> None:
    outcome = files_of(program, USERS, "--users")
    assert said(outcome) == [
        "#cloud-config: users: daemon: not carried out: homedir, ssh_import_id",
    ]
    config = outcome.config()
    assert config["users/passwd"] == (
        f"{BASE['/etc/passwd']}"
        "me:x:1002:1002:It is, me:/home/me:/bin/bash\n"
        "you:x:2000:2000::/home/you:/bin/sh\n"
        "daemon:x:200:1000::/home/daemon:/bin/sh\n"
    )
    assert config["users/group"] == (
        "root:x:0:\ntty:x:5:me\nnogroup:x:65534:\nbuilders:x:1000:me,you\ncloud:x:1001:me\n"
        "me:x:1002:\nyou:x:2000:\n"
    )
    assert config["users/shadow"] == (
        f"root:{HASH}::0:::::\nsshd:!::0:::::\nme:{HASH}::0:99999:7:::\n"
        "you:*::0:99999:7:::\ndaemon:*::0:99999:7:::\n"
    )
    assert config["users/sudoers"] == f"{SUDOERS}me ALL=(ALL) NOPASSWD:ALL\n"
    assert config["ssh/authorized_keys"] == "ssh-rsa D default\nssh-rsa R root\n"
    assert config["users/home/me/.ssh/authorized_keys"] == "ssh-rsa A me\n"
    modes = {path.removeprefix("config/users/"): mode for path, (mode, _) in outcome.files.items()}
    assert (modes["passwd"], modes["group"], modes["shadow"]) == ("644", "644", "600")
    assert (modes["home"], modes["home/me"], modes["home/me/.ssh"]) == ("755", "755", "755")
    for name in ("passwd", "group", "shadow"):
        (tmp_path / name).write_text(config[f"users/{name}"])
    check = ["pwck", "-r", "-q", f"{tmp_path}/passwd", f"{tmp_path}/shadow"]
    judged = subprocess.run(check, capture_output=True, text=True, check=False).stdout
    complaints = [line for line in judged.splitlines() if "does not exist" not in line]
    assert [line for line in complaints if line and "no changes" not in line] == []


@pytest.mark.root
def test_users_are_an_option(program: Path) -> None:
    """Without it, keys alone are taken; with it, there are files even without a provider."""
    outcome = files_of(program, USERS)
    assert said(outcome) == [
        "#cloud-config: not carried out: groups (--users), users (--users)",
    ]
    assert outcome.config()["ssh/authorized_keys"] == (
        "ssh-rsa D default\nssh-rsa A me\nssh-rsa R root\n"
    )
    assert not [path for path in outcome.files if "users" in path]
    outcome = run(program, "--users", "file=/nowhere", files=BASE)
    assert outcome.said == "metadata: no provider found\n"
    assert outcome.config() == {
        "users/passwd": BASE["/etc/passwd"],
        "users/group": BASE["/etc/group"] + "\n",
        "users/shadow": BASE["/etc/shadow"],
        "users/sudoers": SUDOERS,
    }


@pytest.mark.root
def test_json_makes_nothing_that_options_make(program: Path) -> None:
    """Its files are LinuxKit's: they pass no check of users and commands."""
    data = '{"users": {"entries": {"passwd": {"content": "x"}}}, "runcmd": {"content": "y"}}'
    outcome = files_of(program, data, "--users", "--commands")
    assert said(outcome) == [
        "user data: 'users' is left out: an option of this program makes it",
        "user data: 'runcmd' is left out: an option of this program makes it",
    ]
    assert outcome.config()["users/passwd"] == BASE["/etc/passwd"]
    assert "runcmd" not in outcome.config()
    assert files_of(program, data).config()["users/passwd"] == "x"


REFUSED_USERS = {
    "no name": "gecos: x",
    "a name with a colon": "name: 'a:b'",
    "a name with a line end": 'name: "a\\nb:x:0:0::/:/bin/sh"',
    "a path": "name: ../etc",
    "a number": "name: 0",
    "a long name": f"name: {'a' * 33}",
    "a system user": f"name: sshd, passwd: {HASH}, lock_passwd: false",
    "a field with a colon": "name: a, gecos: 'x:y'",
    "a field with a line end": 'name: a, gecos: "x\\nroot2:x:0:0::/:/bin/sh"',
    "a shell that is no path": "name: a, shell: sh",
    "the number of root": "name: a, uid: 0",
    "a system's number": "name: a, uid: 100",
    "a negative number": "name: a, uid: -1",
    "the group of root": "name: a, primary_group: root",
    "a password in clear text": "name: a, passwd: secret, lock_passwd: false",
    "an empty password": "name: a, passwd: '', lock_passwd: false",
    "a hash that breaks its line": f'name: a, passwd: "{HASH}:0\\nx", lock_passwd: false',
}


@pytest.mark.root
@pytest.mark.parametrize("entry", REFUSED_USERS.values(), ids=REFUSED_USERS)
def test_a_user_that_is_refused(program: Path, entry: str) -> None:
    """Alone; the next one is made."""
    data = f"#cloud-config\nusers:\n- {{{entry}}}\n- {{name: good}}\n"
    outcome = files_of(program, data, "--users")
    lines = said(outcome)
    assert len(lines) == 1
    assert lines[0].startswith("#cloud-config: users: ")
    config = outcome.config()
    assert config["users/passwd"] == (
        f"{BASE['/etc/passwd']}good:x:1000:1000::/home/good:/bin/sh\n"
    )
    assert config["users/shadow"] == f"{BASE['/etc/shadow']}good:*::0:99999:7:::\n"


RULES = {
    "a rule": ("ALL=(ALL) NOPASSWD:ALL", ["ALL=(ALL) NOPASSWD:ALL"]),
    "several": (
        "['ALL=(root) /bin/ls', 'ALL=(me) /bin/cat']",
        ["ALL=(root) /bin/ls", "ALL=(me) /bin/cat"],
    ),
    "false": ("false", []),
    "null": ("null", []),
    "a line end": ('"ALL=ALL\\nyou ALL=ALL"', None),
    "one that goes on": ("'ALL=ALL \\'", None),
    "a mapping": ("{a: b}", None),
    "nothing": ("''", None),
}


@pytest.mark.root
@pytest.mark.parametrize("name", RULES)
def test_sudo(program: Path, tmp_path: Path, name: str) -> None:
    """As visudo takes it; a rule that could break its line is refused."""
    rule, lines = RULES[name]
    outcome = files_of(program, f"#cloud-config\nusers:\n- {{name: me, sudo: {rule}}}\n", "--users")
    sudoers = outcome.config()["users/sudoers"]
    assert sudoers == SUDOERS + "".join(f"me {line}\n" for line in lines or ())
    refused = ["#cloud-config: users: me: a rule of sudo is refused"]
    assert said(outcome) == ([] if lines is not None else refused)
    (tmp_path / "sudoers").write_text(sudoers)
    (tmp_path / "sudoers").chmod(0o440)
    judged = subprocess.run(
        ["visudo", "-c", "-f", tmp_path / "sudoers"], capture_output=True, text=True, check=False
    )
    assert judged.returncode == 0, judged.stderr


OTHER = "$y$j9T$salt$" + "b" * 43

PASSWORDS = {
    "users": (f"users: [{{name: me, password: {OTHER}, type: hash}}]", OTHER, []),
    "no type": (f"users: [{{name: me, password: {OTHER}}}]", OTHER, []),
    "root": (f"users: [{{name: root, password: {OTHER}}}]", "", []),
    "list": (f"list: ['me:{OTHER}', 'root:{OTHER}']", OTHER, []),
    "lines": (f"list: |\n    me:{OTHER}\n    root:{OTHER}\n", OTHER, []),
    "clear text": ("users: [{name: me, password: secret, type: text}]", HASH, ["me: its pass"]),
    "a random one": ("users: [{name: me, type: RANDOM}]", HASH, ["me: its pass"]),
    "clear text in a list": ("list: ['me:secret', 'me']", HASH, ["me: its pass"] * 2),
    "a line of its own": (f'list: ["me:{OTHER}:0\\nx"]', HASH, ["me: its pass"]),
    "a colon": (f"list: ['me:{OTHER}:0']", HASH, ["me: its pass"]),
    "a long one": (f"list: ['me:$6${'a' * 400}']", HASH, ["a name that is no"]),
    "a container's own": (f"list: ['sshd:{OTHER}']", HASH, ["sshd: no user that"]),
    "nobody's": (f"list: ['you:{OTHER}', '../x:{OTHER}']", HASH, ["you: no user", "a name"]),
    "a new one at login": (f"expire: true\n  list: ['me:{OTHER}']", OTHER, ["not carried out: ex"]),
    "nonsense": ("list: {a: b}\n  users: x", HASH, []),
}


@pytest.mark.root
@pytest.mark.parametrize("name", PASSWORDS)
def test_passwords(program: Path, name: str) -> None:
    """Hashes alone, of root and of users from user data; no line says a password."""
    text, expected, complaints = PASSWORDS[name]
    me = f"users: [{{name: me, passwd: {HASH}, lock_passwd: false}}]"
    outcome = files_of(program, f"#cloud-config\n{me}\nchpasswd:\n  {text}\n", "--users")
    shadow = outcome.config()["users/shadow"]
    lines = dict(line.split(":", 1) for line in shadow.splitlines())
    assert lines["me"] == f"{expected or HASH}::0:99999:7:::"
    assert lines["root"].startswith(OTHER if "root" in text else "*:")
    assert lines["sshd"] == "!::0:::::"
    assert len(lines) == 3
    reported = said(outcome)
    assert len(reported) == len(complaints)
    for line, complaint in zip(reported, complaints, strict=True):
        assert line.startswith(f"#cloud-config: chpasswd: {complaint}")
        assert "secret" not in line
        assert OTHER not in line


@pytest.mark.root
def test_groups_that_are_refused(program: Path) -> None:
    data = (
        "#cloud-config\ngroups: ['a:b', root, {../x: [y]}]\n"
        "users:\n- {name: me, groups: [root, 'x:0:me', wheel], plain_text_passwd: secret}\n"
        "- {name: you, uid: 1000}\n"
    )
    outcome = files_of(program, data, "--users")
    assert said(outcome) == [
        "#cloud-config: groups: a name that is no group's",
        "#cloud-config: groups: a name that is no group's",
        "#cloud-config: users: me: the group root is refused",
        "#cloud-config: users: me: the group x:0:me is refused",
        "#cloud-config: users: me: not carried out: plain_text_passwd",
        "#cloud-config: users: you: the id 1000 is taken",
    ]
    assert outcome.config()["users/group"] == f"{BASE['/etc/group']}\nme:x:1000:\nwheel:x:1001:me\n"


@pytest.mark.root
def test_commands(program: Path, tmp_path: Path) -> None:
    """The script says what a shell makes of it."""
    out = tmp_path / "out"
    data = (
        f"#cloud-config\nbootcmd:\n- echo boot\nruncmd:\n- echo \"$((1 + 1))\" it's '>' {out}\n"
        f"- printf '%s\\n' 'a b' | tee {out}\n"
        f"- [sh, -c, 'printf \"%s.\" \"$@\" >> {out}', x, it's, \"$HOME\", '*', 'a  b']\n"
    ).replace("it's '>'", "'>'")
    outcome = files_of(program, data)
    assert said(outcome) == [
        "#cloud-config: not carried out: bootcmd (--commands), runcmd (--commands)"
    ]
    assert not [path for path in outcome.files if path.endswith("cmd")]
    outcome = files_of(program, data, "--commands")
    assert said(outcome) == []
    assert outcome.files["config/bootcmd"] == ["700", "#!/bin/sh\necho boot\n"]
    mode, script = outcome.files["config/runcmd"]
    assert mode == "700"
    done = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == f"2 > {out}\na b\n"
    assert out.read_text() == "a b\nit's.$HOME.*.a  b."
    for bad in ("[{a: b}]", "[[a, [b]]]", "[[]]"):
        outcome = files_of(program, f"#cloud-config\nruncmd: {bad}\n", "--commands")
        assert said(outcome) == [
            "#cloud-config: runcmd: neither strings nor sequences of strings: left out"
        ]
        assert "runcmd" not in outcome.config()


NAMES = {
    "hostname: web\nfqdn: web.example.org": ("web", "web.example.org"),
    "fqdn: web.example.org": ("web", "web.example.org"),
    "fqdn: web.example.org\nprefer_fqdn_over_hostname: true": (
        "web.example.org",
        "web.example.org",
    ),
    "hostname: web\npreserve_hostname: true": ("unchanged", None),
}


@pytest.mark.root
@pytest.mark.parametrize("text", NAMES)
def test_names(program: Path, text: str) -> None:
    outcome = files_of(program, f"#cloud-config\n{text}\n")
    assert said(outcome) == []
    assert (outcome.hostname, outcome.config().get("fqdn")) == NAMES[text]


@pytest.mark.root
def test_a_compressed_file_of_cloud_config(program: Path) -> None:
    packed = base64.b64encode(gzip.compress(b"for you")).decode()
    data = (
        "#cloud-config\nwrite_files:\n"
        f"- {{path: /a, encoding: gz+b64, content: {packed}, owner: 'root:root'}}\n"
        f"- {{path: /b, encoding: gzip+base64, content: {packed[:-8]}, owner: www}}\n"
        "- {path: /c, content: x, append: true, owner: www}\n"
    )
    outcome = files_of(program, data)
    assert said(outcome) == [
        "#cloud-config: write_files: /b: gzip, cut at its end",
        "#cloud-config: write_files: /c: it is written, not appended",
        "#cloud-config: write_files: /c: its owner is root",
    ]
    config = outcome.config()
    assert (config["files/a"], config["files/c"]) == ("for you", "x")
    assert "files/b" not in config


@pytest.mark.root
def test_compressed_user_data(program: Path) -> None:
    packed = gzip.compress(b"#cloud-config\nhostname: packed\n")
    outcome = files_of(program, packed)
    assert (said(outcome), outcome.hostname) == ([], "packed")
    assert outcome.config()["userdata"] == packed.decode("latin-1")
    tree = files_of(program, gzip.compress(b'{"motd": {"content": "hi"}}'))
    assert (said(tree), tree.config()["motd"]) == ([], "hi")
    for bad, why in {
        packed[:-1]: "gzip, cut at its end",
        packed[:12]: "compressed data ends in the middle at byte 2",
        packed[:-8] + b"\0\0\0\0" + packed[-4:]: "gzip whose checksum is another",
        gzip.compress(bytes(5 << 20)): "decompressed, it is longer than 4194304 bytes",
    }.items():
        outcome = files_of(program, bad)
        assert said(outcome) == [f"user data: {why}; it is saved, and not carried out"]
        assert outcome.config()["userdata"] == bad.decode("latin-1")


def message(*parts: tuple[str, str]) -> MIMEMultipart:
    whole = MIMEMultipart()
    for kind, text in parts:
        whole.attach(MIMEText(text, kind))
    return whole


@pytest.mark.root
def test_user_data_of_several_parts(program: Path) -> None:
    inner = message(("cloud-config", "#cloud-config\nssh_authorized_keys: [ssh-rsa B]\n"))
    whole = message(
        ("cloud-config", "#cloud-config\nhostname: one\nssh_authorized_keys: [ssh-rsa A]\n"),
        ("x-shellscript", "#!/bin/sh\necho caf\u00e9\n"),
        ("plain", "#cloud-config\nhostname: two\n"),
        ("x-include-url", "http://192.0.2.1/x"),
        ("plain", "just text"),
    )
    whole.attach(inner)
    outcome = files_of(program, whole.as_bytes())
    assert said(outcome) == [
        "user data: part 2, text/x-shellscript, is saved as parts/002, and not carried out",
        "user data: #include is refused: nothing is fetched from where user data says",
        "user data: part 5, text/plain, is saved as parts/005, and not carried out",
    ]
    assert outcome.hostname == "two"
    config = outcome.config()
    assert config["ssh/authorized_keys"] == "ssh-rsa A\nssh-rsa B\n"
    assert config["parts/002"] == "#!/bin/sh\necho caf\u00e9\n".encode().decode("latin-1")
    assert outcome.files["config/parts/002"][0] == "600"
    assert config["parts/005"] == "just text"
    packed = files_of(program, gzip.compress(whole.as_bytes()))
    assert {**packed.config(), "userdata": ""} == {**config, "userdata": ""}


def nested(levels: int) -> bytes:
    whole = message(("plain", "deep"))
    for _ in range(levels):
        outer = MIMEMultipart()
        outer.attach(whole)
        whole = outer
    return whole.as_bytes()


MULTIPART = "MIME-Version: 1.0\nContent-Type: multipart/mixed"
BAD_MESSAGES: dict[str, tuple[bytes | str, str]] = {
    "an include": ("#include\nhttp://192.0.2.1/x\n", "user data: #include is refused"),
    "an include alone": ("#include", "user data: #include is refused"),
    "an archive": ("#cloud-config-archive\n- x\n", "user data: #cloud-config-archive is not"),
    "a boothook": ("#cloud-boothook\n#!/bin/sh\n", "user data: #cloud-boothook is not"),
    "a template": ("## template: jinja\n#cloud-config\n", "user data: ## template: jinja is not"),
    "no boundary": (f"{MULTIPART}\n\n--x\n", "user data: MIME: parts without a boundary"),
    "a long boundary": (f"{MULTIPART}; boundary={'x' * 99}\n\n", "user data: MIME: a boundary is"),
    "a long header": (f"MIME-Version: 1.0\nX: {'x' * 2000}\n\n", "user data: MIME: a header is"),
    "no base64": (
        f"{MULTIPART}; boundary=x\n\n--x\nContent-Transfer-Encoding: base64\n\n!\n--x--\n",
        "user data: part 1 is no base64",
    ),
    "another encoding": (
        f"{MULTIPART}; boundary=x\n\n--x\nContent-Transfer-Encoding: quoted-printable\n\na\n",
        "user data: part 1: the encoding quoted-printable is not supported",
    ),
    "many levels": (nested(10), "user data: MIME: too many levels"),
    "a part that is cut": (
        f"{MULTIPART}; boundary=x\n\n--x\nContent-Type: text/cloud-config",
        "#cloud-config: ",
    ),
}


@pytest.mark.root
@pytest.mark.parametrize("name", BAD_MESSAGES)
def test_user_data_that_is_refused(program: Path, name: str) -> None:
    data, why = BAD_MESSAGES[name]
    outcome = files_of(program, data, "--users", "--commands")
    lines = said(outcome)
    assert len(lines) <= 1
    assert all(line.startswith(why) for line in lines)
    assert lines or name == "a part that is cut"
    config = outcome.config()
    assert sorted(config) == ["provider", "userdata", *ACCOUNTS]


@pytest.mark.root
def test_many_parts(program: Path) -> None:
    data = f"{MULTIPART}; boundary=x\n\n" + "--x\n\ny\n" * 100
    lines = said(files_of(program, data))
    assert lines[64:] == ["user data: MIME: more than 64 parts"]
