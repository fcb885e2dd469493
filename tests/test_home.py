from __future__ import annotations

from pathlib import Path

import pytest
from tests.secrets.sealed.team import make_team

from pgstrata.audit import outside
from pgstrata.audit.wire import tls
from pgstrata.errors import ConfigError, SecretError
from pgstrata.home import home
from pgstrata.layers.ambient import ambient
from pgstrata.loading import load_mapping
from pgstrata.local.directory import state_root
from pgstrata.validation import file_problems


def test_a_variable_names_it() -> None:
    """Where none does, it is the account's own."""
    assert home({"HOME": "/home/me"}) == Path("/home/me")
    assert home({"HOME": ""}) == home({}) == Path.home()


@pytest.mark.usefixtures("homeless")
class TestWithout:
    """An account without a home folder has none of the files that others keep there."""

    def test_there_is_none(self) -> None:
        """Which is no error by itself."""
        assert home({}) is None

    def test_libpq_has_no_files_to_fill_in_from(self) -> None:
        """Neither a service nor a password."""
        assert ambient({"service": "a"}, {}) == {}

    def test_tls_has_no_files(self) -> None:
        """Neither a certificate of the client nor authorities."""
        assert tls.roots_of({}, {}) == ""
        assert tls.client_certificate({}, {}) is None
        assert tls.verifying({}, tls.SYSTEM, {}).check_hostname is False
        assert outside.files({}) == {"client_certificates": (), "client_key": ()}

    def test_a_root_certificate_cannot_be_there(self, tmp_path: Path) -> None:
        """Libpq refuses to verify without one."""
        settings = {"host": "a", "sslmode": "verify-full"}
        config = load_mapping({"connection_settings": settings}, environ={})
        (finding,) = file_problems(config.connection(), tmp_path)
        assert finding.message.endswith("there is no home folder to look for one in")

    @pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
    def test_a_local_server_has_no_place(self, platform: str) -> None:
        """Unless a variable names one."""
        with pytest.raises(ConfigError) as caught:
            state_root({}, platform, root=False)
        assert "set HOME" in caught.value.hint
        assert state_root({"PGSTRATA_LOCAL_DIR": "/s"}, platform, root=False) == Path("/s")

    def test_a_sealed_file_opens_by_variables_alone(self, tmp_path: Path) -> None:
        """The key is a pin by itself; for a member's, the pin has to be told."""
        team = make_team(tmp_path)
        bare = {name: value for name, value in team.holder.items() if name != "HOME"}
        assert team.open(environ=bare) == "correct horse"
        member = {name: value for name, value in team.member.items() if name != "HOME"}
        with pytest.raises(SecretError, match="no home folder") as caught:
            team.open(environ=member)
        assert "set HOME, or set PGSTRATA_KEY_ID_PRODUCTION" in caught.value.hint
        told = {**member, "PGSTRATA_KEY_ID_PRODUCTION": team.key.public.id}
        assert team.open(environ=told) == "correct horse"

    def test_what_was_looked_at_is_named(self, tmp_path: Path) -> None:
        """As for everybody, with what is missing here."""
        team = make_team(tmp_path)
        with pytest.raises(SecretError, match="this account has none; set HOME"):
            team.open(environ={"PGSTRATA_KEY_ID_PRODUCTION": team.key.public.id})
