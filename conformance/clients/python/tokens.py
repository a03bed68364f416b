"""Tokens for /jwt."""

import base64
import hashlib
import hmac
import json
import os
import time

SECRET = os.environ.get("JWT_SECRET", "conformance-secret-conformance-secret")


def token(secret=SECRET, **claims):
    claims = {"sub": "ada", "exp": int(time.time()) + 3600, **claims}
    signed = ".".join(_encode(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims))
    signature = hmac.new(secret.encode(), signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{_encode(signature)}"


def _encode(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
