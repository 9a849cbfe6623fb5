import stat
from dataclasses import replace

import pytest
from cryptography import x509

from terakoya import configfile
from terakoya.edge.envoy import tls_path
from terakoya.errors import CertificateUnusable
from terakoya.ops import authority
from terakoya.ops.certificates import Certificates, ca_fingerprint, load


@pytest.fixture
def config(tmp_path):
    for name in ("state", "runtime", "logs"):
        (tmp_path / name).mkdir()
    folders = "".join(f'{name} = "{tmp_path}/{name}"\n' for name in ("state", "runtime", "logs"))
    path = tmp_path / "terakoya.toml"
    path.write_text(f'[site]\nuser_domain = "*.nb.localhost"\n[edge]\nlisten = "0.0.0.0:8443"\n[storage]\n{folders}')
    return configfile.load(path, personal=True)


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def shown(config):
    return x509.load_pem_x509_certificates(load(*authority.server_pair(config, 30)).chain)


def test_own_authority(config):
    Certificates(config).publish()
    leaf, root = shown(config)
    leaf.verify_directly_issued_by(root)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert {"localhost", "*.nb.localhost", "nb.localhost"} <= set(names.get_values_for_type(x509.DNSName))
    assert "127.0.0.1" in [str(address) for address in names.get_values_for_type(x509.IPAddress)]
    place = config.storage.state / "authority"
    assert mode(place) == 0o700
    assert mode(place / "authority.key") == mode(place / "server.key") == mode(tls_path(config)) == 0o600
    assert x509.load_pem_x509_certificate(authority.public_path(config).read_bytes()) == root


def test_the_authority_stays(config):
    before = ca_fingerprint(config)
    Certificates(config).publish()
    assert ca_fingerprint(config) == before
    assert len(before.split(":")) == 32


def test_renewed_before_it_runs_out(config, monkeypatch):
    monkeypatch.setattr(authority, "SERVER_DAYS", 20)
    kept = Certificates(config)
    kept.publish()
    short = shown(config)[0] if not authority.due(config, 10) else None
    assert short is not None
    monkeypatch.setattr(authority, "SERVER_DAYS", 397)
    kept._looked, kept._seen = -1e9, None
    before, root = tls_path(config).read_bytes(), ca_fingerprint(config)
    assert "new certificate" in kept.refresh()
    assert tls_path(config).read_bytes() != before
    assert ca_fingerprint(config) == root


def test_renewed_for_a_new_name(config):
    Certificates(config).publish()
    assert not authority.due(config, 30)
    other = replace(config, site=replace(config.site, url="https://new.example.org"))
    assert authority.due(other, 30)


def given(config, tmp_path):
    pem, key = authority.server_pair(config, 30)
    chain_path, key_path = tmp_path / "chain.pem", tmp_path / "key.pem"
    chain_path.write_bytes(pem.read_bytes())
    key_path.write_bytes(key.read_bytes())
    edge = replace(config.edge, certificate=str(chain_path), certificate_key=str(key_path))
    return replace(config, edge=edge), chain_path, key_path


def again(kept):
    kept._looked = -1e9
    return kept.refresh()


def test_files_that_change_are_taken_up_once_they_fit(config, tmp_path):
    changed, chain_path, key_path = given(config, tmp_path)
    kept = Certificates(changed)
    kept.publish()
    assert again(kept) == ""
    before = tls_path(changed).read_bytes()
    (config.storage.state / "authority/server.pem").unlink()
    pem, key = authority.server_pair(config, 30)
    chain_path.write_bytes(pem.read_bytes())
    assert "stays in use" in again(kept)
    assert again(kept) == ""
    assert tls_path(changed).read_bytes() == before
    key_path.write_bytes(key.read_bytes())
    assert "new certificate" in again(kept)
    assert tls_path(changed).read_bytes() != before


@pytest.mark.parametrize("broken", ["missing", "not PEM", "another key"])
def test_what_can_not_be_used_is_named(config, tmp_path, broken):
    changed, chain_path, key_path = given(config, tmp_path)
    if broken == "missing":
        key_path.unlink()
    elif broken == "not PEM":
        chain_path.write_text("hello")
    else:
        (config.storage.state / "authority/server.pem").unlink()
        chain_path.write_bytes(authority.server_pair(config, 30)[0].read_bytes())
    with pytest.raises(CertificateUnusable) as error:
        Certificates(changed).publish()
    assert str(key_path if broken == "missing" else chain_path) in error.value.what


def test_a_folder_that_others_may_open_holds_no_keys(config):
    (config.storage.state / "authority").mkdir(mode=0o755)
    (config.storage.state / "authority").chmod(0o755)
    with pytest.raises(CertificateUnusable):
        Certificates(config).publish()


def test_nothing_is_made_without_tls(config):
    Certificates(replace(config, edge=replace(config.edge, listen="127.0.0.1:8000"))).publish()
    assert not (config.storage.state / "authority").exists()
