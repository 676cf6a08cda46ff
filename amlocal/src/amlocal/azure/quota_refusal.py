"""Is this refusal about quota? Then, and only then, the deployment may go elsewhere.

Azure says it in several places: at once with status 400, or after minutes, as an error with status 200. So the words
decide, never the status. What these were copied from: the refusals of managed endpoints as users have reported them.
"""

import re

# Each as Azure writes it, the telling ones first. Nothing looser: "quota" alone also stands in errors that a retry
# elsewhere would hide.
WORDINGS = (
    r"not enough quota available for",
    r"not enough (cluster )?(cpu )?quota",
    r"endpoint quota reached for subscription",
    r"[^.]*exceeding approved .{0,80} quota",
    r"additional (needed|requested): \d+",
    r"out\s*of\s*quota",
    r"quota ?exceeded",
)
# What speaks of quota and is something else: a refusal that another place or a larger quota does not cure.
OTHER = re.compile(
    r"authorizationfailed|authorization ?permission|unauthorized|forbidden|does not have authorization|"
    r"requestdisallowedby(azure|policy)|invalidauthenticationtoken|image ?build|scoring script",
    re.IGNORECASE,
)


def quota_refusal(error: BaseException) -> str | None:
    """What Azure said about quota, in one line; None if the error is about anything else."""
    texts = [_unwrapped(text) for text in _texts(error)]
    if any(OTHER.search(text) for text in texts):
        return None
    for words in WORDINGS:
        for text in texts:
            if found := re.search(words, text, re.IGNORECASE):
                return _sentence(text, found.start())
    return None


def _texts(error: BaseException) -> list[str]:
    """The messages of an error: its own, and those nested in Azure's form of it."""
    texts = [str(getattr(error, "message", "") or ""), str(error)]
    nested = getattr(error, "error", None)
    for part in (nested, *(getattr(nested, "details", None) or [])):
        if part is not None:
            texts += [str(getattr(part, "code", "") or ""), str(getattr(part, "message", "") or "")]
    return [text for text in texts if text]


def _unwrapped(text: str) -> str:
    """Azure puts JSON into messages, and that into JSON: without its quoting the words stand side by side."""
    for _ in range(3):
        text = text.replace('\\"', '"').replace("\\n", " ").replace("\\r", " ")
    return " ".join(text.split())


def _sentence(text: str, at: int) -> str:
    """The part of a message that speaks of quota, without subscription ids and what comes before and behind."""
    part = re.split(r'["\]}]|Please see', text[at:])[0].strip(" .")
    part = re.sub(r"\s*in SubscriptionId \S+?(?=\.| |$)", "", part)
    return re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "***", part, flags=re.IGNORECASE)
