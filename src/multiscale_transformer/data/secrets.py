"""Keys, passwords and addresses in texts, as detect-secrets and two patterns see them: what no model is to learn.

Only detectors of keys with a form of their own are asked; those that judge by entropy or by the word "password" would drop half
of the tests of any library.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from multiscale_transformer.errors import AxlError

DETECTORS = (
    "AWSKeyDetector", "ArtifactoryDetector", "AzureStorageKeyDetector", "BasicAuthDetector", "DiscordBotTokenDetector",
    "GitHubTokenDetector", "GitLabTokenDetector", "JwtTokenDetector", "MailchimpDetector", "NpmDetector", "OpenAIDetector",
    "PrivateKeyDetector", "PypiTokenDetector", "SendGridDetector", "SlackDetector", "StripeDetector",
    "TelegramBotTokenDetector", "TwilioKeyDetector",
)  # fmt: skip
_MIN_LINE = 20  # characters of a line that can hold a key
_ADDRESS = re.compile(r"[\w.+-]+@(?!example\.|localhost|[\w-]+\.(?:test|invalid|local)\b)[\w-]+\.[a-z]{2,}", re.IGNORECASE)
_NETWORK = re.compile(r"\b(?!127\.|10\.|0\.|192\.168\.|255\.|1\.1\.1\.1|8\.8\.)(?:\d{1,3}\.){3}\d{1,3}\b(?!\.)")


@contextmanager
def secret_finder() -> Iterator[Callable[[str], str | None]]:
    """What says which kind of secret a text holds, or None. Raises AxlError where detect-secrets is not installed."""
    try:
        from detect_secrets.core.scan import scan_line
        from detect_secrets.settings import transient_settings
    except ImportError:
        raise AxlError("making data needs detect-secrets: pip install 'axl[skills]'") from None

    def find(text: str) -> str | None:
        if _ADDRESS.search(text) or _NETWORK.search(text):
            return "an address"
        for line in text.splitlines():
            if len(line) >= _MIN_LINE and any(scan_line(line)):
                return "a key"
        return None

    with transient_settings({"plugins_used": [{"name": name} for name in DETECTORS]}):
        yield find
