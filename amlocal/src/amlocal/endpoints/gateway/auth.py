"""Who may enter an endpoint: keys, tokens, and no web page from elsewhere.

The modes are Azure's (https://learn.microsoft.com/azure/machine-learning/how-to-authenticate-online-endpoint): with
`key` either of two keys that do not expire; with `aml_token` and `aad_token` a token that does. Here both tokens are
JSON web tokens, signed with a secret of the endpoint's own; `aml_token` and `aad_token` differ in what is told about
them, as on Azure.
"""

import hashlib
import hmac
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from amlocal.endpoints.gateway.connection import Request

KEY, AML_TOKEN, AAD_TOKEN = MODES = ("key", "aml_token", "aad_token")

TOKEN_SECONDS = 3600
# Who holds a token should get another after this time.
REFRESH_SECONDS = TOKEN_SECONDS // 2
# Clocks of one machine do not differ, but they are set back by a second or so now and then.
LEEWAY_SECONDS = 2
LONGEST_TOKEN = 4096
MOST_KNOWN = 1024

ALGORITHM, ISSUER = "HS256", "amlocal"

TELLING = frozenset((b"host", b"origin", b"sec-fetch-site"))
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


def token(endpoint: str, mode: str, secret: str) -> dict[str, Any]:
    """A new token for an endpoint, in the form in which `az ml online-endpoint get-credentials` prints one."""
    import jwt

    now = int(time.time())
    expiry = now + TOKEN_SECONDS
    claims = {"iss": ISSUER, "aud": endpoint, "iat": now, "exp": expiry}
    told = {"accessToken": jwt.encode(claims, secret, ALGORITHM), "expiryTimeUtc": expiry}
    if mode == AML_TOKEN:
        told |= {"refreshAfterTimeUtc": now + REFRESH_SECONDS, "tokenType": "Bearer"}
    return told


class Guard:
    """What an endpoint asks of those who want to enter."""

    def __init__(self, endpoint: str, mode: str, keys: Iterable[str], secret: str = "", kind: str = "online") -> None:
        """keys: what opens in mode `key`; secret: what tokens are signed with in the others; kind: online or batch."""
        self.endpoint, self.kind = endpoint, kind
        self.mode = mode
        self.keys = tuple(keys) if mode == KEY else ()
        self.secret = "" if mode == KEY else secret
        self._known: dict[bytes, float] = {}  # of tokens found good: their digests, and when they expire
        if mode != KEY:
            import jwt  # noqa: F401 (now, rather than while the first client waits)

    def refusal(self, authorization: bytes | None) -> str | None:
        """Why the bearer of this header may not enter; None if he may."""
        scheme, _, given = (authorization or b"").partition(b" ")
        given = given.strip()
        bearer = scheme.lower() == b"bearer"
        if self.mode != KEY:
            return self._refusal_of_token(given if bearer else b"")
        allowed = False
        for known in self.keys:  # all of them, so that the time taken tells nothing
            allowed |= hmac.compare_digest(given, known.encode())
        return None if allowed and bearer else self._ask("KEY", "the key")

    def _refusal_of_token(self, given: bytes) -> str | None:
        # By its digest, so that the time of the look-up tells nothing of the tokens in there.
        digest = hashlib.sha256(given).digest()
        if self._known.get(digest, 0.0) > time.time():
            return None
        if not given or len(given) > LONGEST_TOKEN:
            return self._ask("TOKEN", "a token")
        import jwt

        try:
            claims = jwt.decode(
                given,
                self.secret,
                algorithms=[ALGORITHM],
                audience=self.endpoint,
                issuer=ISSUER,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "aud", "iss"]},
            )
        except jwt.ExpiredSignatureError:
            self._known.pop(digest, None)
            return f"the token has expired; {self._where('another')}"
        except (jwt.InvalidTokenError, ValueError, ArithmeticError, TypeError):  # exp may be 10**400, or a list
            return self._ask("TOKEN", "a token")
        if len(self._known) >= MOST_KNOWN:
            del self._known[next(iter(self._known))]  # the oldest
        # pyjwt takes "1e3" and 10**400 for a time; we have written a whole number of seconds
        if type(claims["exp"]) is not int or not 0 < claims["exp"] < 1 << 40:
            return self._ask("TOKEN", "a token")
        self._known[digest] = float(claims["exp"])
        return None

    def _ask(self, what: str, which: str) -> str:
        return f"the header Authorization must be 'Bearer {what}'; {self._where(which)}"

    def _where(self, which: str) -> str:
        return f"`aml {self.kind}-endpoint get-credentials -n {self.endpoint}` prints {which}"


def foreign(request: "Request", port: int, keyless: bool) -> str | None:
    """Why a request is refused that a web page from elsewhere has made the browser send; None if it is not one.

    Online endpoints do not take part in CORS, on Azure neither. What is asked for with no key must moreover be asked
    for at this machine's own address: else the page of any site could call itself that (DNS rebinding).
    """
    named = b""
    origins: list[bytes] = []
    sites: list[bytes] = []
    for name, value in request.headers:
        if name in TELLING:
            if name == b"host":
                named = value
            else:  # of several each must be in order: which of them another reader believes, nobody knows
                (origins if name == b"origin" else sites).append(value)
    host = named.decode("latin-1").lower()
    ours = (f"http://{host}", f"https://{host}")
    if any(origin.decode("latin-1").lower() not in ours for origin in origins):
        return "a web page from another origin may not use this endpoint"
    if any(site not in (b"same-origin", b"none") for site in sites):
        return "a web page from another origin may not use this endpoint"
    return misnamed(host, port) if keyless else None


def misnamed(host: str, port: int) -> str | None:
    """Why what needs no key is not given to who asks for it at `host`, in lower case; None if it is this machine."""
    if host in {f"{name}:{port}" for name in LOOPBACK} or (port == 80 and host in LOOPBACK):
        return None
    return f"without a key this endpoint answers at http://127.0.0.1:{port} only"
