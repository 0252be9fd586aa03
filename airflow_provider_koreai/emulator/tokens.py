"""The platform's side of authentication: is this ``auth`` header good for this app?"""

# ruff: noqa: TID253 (no DAG file imports the emulator)
from __future__ import annotations

import heapq
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jwt

from airflow_provider_koreai.emulator.jwe import JweError

if TYPE_CHECKING:
    from airflow_provider_koreai.emulator.config import EmulatorConfig

INVALID_CREDENTIALS = ("Invalid SDK credentials", 4002)
REPLAY = ("error verifying the jwt: possibly a replay", 401)
LONG_JTI = ('error verifying the jwt: if "jti" claim "exp" must be <= 1 hour(s)', 401)

_HOUR = 3600
#: Tokens with a jti live for an hour at most; this bounds the memory of a flood within that hour.
_MAX_REMEMBERED = 200_000


class TokenRefusedError(Exception):
    """A 401. ``message`` and ``code`` are what the vendor writes into the body."""

    def __init__(self, reason: tuple[str, int]) -> None:
        super().__init__(reason[0])
        self.message, self.code = reason


@dataclass(frozen=True)
class Caller:
    """What a good token says, without anything secret.

    :param client_id: the app.
    :param jti: the token's ID, if it has one.
    :param claims: names of the claims, sorted.
    :param expires_in: seconds until the token expires.
    """

    client_id: str
    jti: str | None
    claims: tuple[str, ...]
    expires_in: float


class ReplayMemory:
    """The IDs of tokens that were used and have not expired."""

    def __init__(self, max_size: int = _MAX_REMEMBERED) -> None:
        self._max_size = max_size
        self._seen: set[str] = set()
        self._by_expiry: list[tuple[float, str]] = []

    def __len__(self) -> int:
        return len(self._seen)

    def first_use(self, jti: str, expires: float, now: float) -> bool:
        """Remember an ID until its token expires, and return whether it is new."""
        while self._by_expiry and (self._by_expiry[0][0] <= now or len(self._by_expiry) >= self._max_size):
            self._seen.discard(heapq.heappop(self._by_expiry)[1])
        if jti in self._seen:
            return False
        self._seen.add(jti)
        heapq.heappush(self._by_expiry, (expires, jti))
        return True


class TokenCheck:
    """Checks the ``auth`` header of requests."""

    def __init__(self, config: EmulatorConfig) -> None:
        self._config = config
        self._memory = ReplayMemory()
        warnings.filterwarnings("ignore", message=".*HMAC key is .* bytes long")

    def check(self, header: str | None, now: float) -> Caller:
        """Verify a token, without leeway for clocks, and return its caller."""
        config = self._config
        claims = self._decode(header or "")
        expires = claims["exp"]
        client_id = claims.get("appId")
        if client_id not in (config.client_id, config.admin_client_id) or not isinstance(
            claims.get("sub"), str
        ):
            raise TokenRefusedError(INVALID_CREDENTIALS)
        if isinstance(expires, bool) or not isinstance(expires, (int, float)) or expires <= now:
            raise TokenRefusedError(INVALID_CREDENTIALS)
        jti = claims.get("jti")
        if jti is None and config.enforce_jti:
            raise TokenRefusedError(INVALID_CREDENTIALS)
        if jti is not None:
            if not isinstance(jti, str) or not jti:
                raise TokenRefusedError(INVALID_CREDENTIALS)
            if expires - now > _HOUR:
                raise TokenRefusedError(LONG_JTI)
            if not self._memory.first_use(jti, float(expires), now):
                raise TokenRefusedError(REPLAY)
        return Caller(
            client_id=client_id, jti=jti, claims=tuple(sorted(claims)), expires_in=round(expires - now, 3)
        )

    def _decode(self, token: str) -> dict[str, Any]:
        try:
            if self._config.jwe_key is not None:
                token = self._config.jwe_key.decrypt(token)
            claims: dict[str, Any] = jwt.decode(
                token,
                self._config.verification_key,
                algorithms=[self._config.algorithm],
                # Issuer and audience are not documented as checked; nor is iat.
                options={"require": ["exp"], "verify_aud": False, "verify_iat": False, "verify_iss": False},
            )
        except (jwt.InvalidTokenError, jwt.InvalidKeyError, JweError, ValueError, TypeError):
            raise TokenRefusedError(INVALID_CREDENTIALS) from None
        return claims
