"""What the command line decides for the whole emulator."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_koreai.emulator.jwe import JweKey

DEMO_CLIENT_ID = "cs-emulator"
ADMIN_CLIENT_ID = "cs-emulator-admin"
#: Not a secret: every emulator accepts it unless it is told another one.
DEMO_CLIENT_SECRET = "emulator-demo-secret-not-for-production-01234567"  # noqa: S105 (says what it is)
SECRET_VARIABLE = "KOREAI_EMULATOR_CLIENT_SECRET"  # noqa: S105 (the name of a variable)
ALGORITHMS = ("HS256", "HS512", "RS256", "RS512")
DEMO_BOT = "st-demo-travel"


@dataclass(frozen=True)
class EmulatorConfig:
    """Settings of the server, fixed while it runs.

    :param client_id: the Client ID of the bots' app.
    :param admin_client_id: that of the Admin app.
    :param client_secret: the secret of both, for the HS algorithms.
    :param algorithm: the one algorithm that tokens must be signed with.
    :param public_key: PEM, for the RS algorithms.
    :param enforce_jti: refuse a token without ``jti``.
    :param jwe_key: refuse a token that is not encrypted for this key; ``None``: plain tokens only.
    :param seconds: how long an export takes, unless the bot has its own setting.
    :param too_soon_seconds: how long after a start the status call answers 500, likewise. ``None``: the first status
        call does, and no other.
    :param link_ttl: seconds until a download link expires, likewise.
    :param media_url: base URL of download links; ``None``: the one that the status request came to.
    """

    client_id: str = DEMO_CLIENT_ID
    admin_client_id: str = ADMIN_CLIENT_ID
    client_secret: str = field(default=DEMO_CLIENT_SECRET, repr=False)
    algorithm: str = "HS256"
    public_key: str | None = None
    enforce_jti: bool = False
    jwe_key: JweKey | None = field(default=None, repr=False)
    seconds: float = 3.0
    too_soon_seconds: float | None = None
    link_ttl: float = 600.0
    media_url: str | None = None

    @property
    def verification_key(self) -> str:
        """The key that a token's signature is checked with."""
        return self.client_secret if self.algorithm.startswith("HS") else (self.public_key or "")
