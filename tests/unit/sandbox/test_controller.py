import resource
from pathlib import Path

import pytest

from nexus_ops.errors import NexusError
from nexus_ops.sandbox import controller, limits

PEM = "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n"


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.system", lambda: "Linux")
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("shutil.which", lambda program: f"/usr/bin/{program}")


@pytest.mark.usefixtures("root")
def test_nothing_is_missing() -> None:
    controller.check_requirements()


@pytest.mark.usefixtures("root")
def test_everything_missing_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda program: None if program in {"podman", "ip", "runc"} else program)
    monkeypatch.setattr(controller, "has_pure_cgroup2", lambda: False)
    with pytest.raises(NexusError, match="podman, ip, runc") as caught:
        controller.check_requirements()
    assert caught.value.next_step == "install it: apt-get install iproute2 podman runc"


@pytest.mark.usefixtures("root")
def test_root_and_linux_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(NexusError, match="needs root"):
        controller.check_requirements()
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    with pytest.raises(NexusError, match="needs Linux"):
        controller.check_requirements()


@pytest.mark.usefixtures("root")
def test_runc_is_asked_for_only_where_crun_would_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(controller, "has_pure_cgroup2", lambda: False)
    assert controller.runtime_arguments() == ["--runtime", "runc"]
    monkeypatch.setattr(controller, "has_pure_cgroup2", lambda: True)
    assert controller.runtime_arguments() == []


@pytest.mark.parametrize(
    ("ours", "expected"), [(1024, "1024:1024"), (10**6, "20000:20000"), (resource.RLIM_INFINITY, "20000:20000")]
)
def test_limits_are_never_above_ours(ours: int, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda _: (ours, ours))
    assert controller.limit_arguments() == ["--ulimit", f"nofile={expected}", "--ulimit", f"nproc={expected}"]


def test_certificates_are_those_added_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "local").mkdir()
    (tmp_path / "local" / "company.crt").write_text("comment\n" + PEM.format("one") + PEM.format("two"))
    bundle = tmp_path / "bundle.pem"
    bundle.write_text(PEM.format("two") + PEM.format("three"))
    monkeypatch.setattr(controller, "LOCAL_CERTIFICATES", (tmp_path / "local", tmp_path / "absent"))
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    assert controller.certificates() == [PEM.format("one"), PEM.format("two"), PEM.format("three")]
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "absent"))
    assert len(controller.certificates()) == 2


def test_apt_settings_are_proxies_and_checks_only() -> None:
    dump = [
        'Acquire "";',
        'Acquire::http "";',
        'Acquire::http::Proxy "http://proxy.example.com:3128";',
        'Acquire::Check-Date "false";',
        'Acquire::IndexTargets::deb::Packages::Optional "0";',
        'Acquire::Languages "none";',
    ]
    environment = {"http_proxy": "http://ignored.example.com", "https_proxy": "http://proxy.example.com:3129"}
    assert controller.select_apt_settings(dump, environment).splitlines() == [
        'Acquire::http::Proxy "http://proxy.example.com:3128";',
        'Acquire::Check-Date "false";',
        'Acquire::https::Proxy "http://proxy.example.com:3129";',
    ]


def test_pip_settings_leave_out_what_is_only_on_this_machine() -> None:
    found = {
        "index-url": "https://index.example.com/simple",
        "extra-index-url": "file:///opt/simple https://more.example.com/simple",
        "find-links": "/opt/wheels",
        "cert": "/home/me/ca.pem",
        "require-virtualenv": "true",
    }
    assert controller.select_pip_settings(found).splitlines() == [
        "[global]",
        "cert = /etc/ssl/certs/ca-certificates.crt",
        "index-url = https://index.example.com/simple",
        "extra-index-url = https://more.example.com/simple",
    ]


def test_package_sources_are_debians_own_of_the_right_release() -> None:
    targets = [
        "Packages deb https://mirror.example.com/debian/ bookworm main Debian",
        "Packages deb https://mirror.example.com/debian/ bookworm contrib Debian",
        "Packages deb https://mirror.example.com/debian/ bookworm main Debian",
        "Packages deb https://mirror.example.com/security/ bookworm-security main Debian",
        "Packages deb https://mirror.example.com/debian/ bookworm-backports main Debian",
        "Packages deb https://other.example.com/ bookworm stable Other",
        "Packages deb https://unread.example.com/ bookworm main",
        "Translations deb https://mirror.example.com/debian/ bookworm main Debian",
    ]
    assert controller.select_package_sources(targets, "bookworm") == [
        "deb https://mirror.example.com/debian/ bookworm main contrib",
        "deb https://mirror.example.com/security/ bookworm-security main",
    ]
    assert controller.select_package_sources(targets, "trixie") == [
        "deb https://mirror.example.com/debian/ trixie main contrib",
        "deb https://mirror.example.com/security/ trixie-security main",
    ]
    assert controller.select_package_sources(targets[5:], "trixie") == []
    both = [*targets, "Packages deb https://mirror.example.com/debian/ trixie main Debian"]
    assert controller.select_package_sources(both, "trixie") == ["deb https://mirror.example.com/debian/ trixie main"]


@pytest.mark.parametrize(
    ("limit", "used", "hosts", "wanted"), [(128, 2, 6, 128), (128, 90, 6, 256), (128, 2, 40, 384), (1024, 0, 40, 1024)]
)
def test_room_for_inotify_instances(limit: int, used: int, hosts: int, wanted: int) -> None:
    assert limits.wanted_instances(limit, used, hosts) == wanted


def test_the_limit_is_raised_and_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    setting = tmp_path / "max_user_instances"
    setting.write_text("128\n")
    monkeypatch.setattr(limits, "INOTIFY", setting)
    monkeypatch.setattr(limits, "count_instances", lambda: 100)
    said: list[str] = []
    limits.ensure_room(0, said.append)
    assert (setting.read_text(), said) == ("128\n", [])
    limits.ensure_room(6, said.append)
    assert setting.read_text() == "256\n"
    assert said == ["raised fs.inotify.max_user_instances from 128 to 256, until the next boot of this machine"]
