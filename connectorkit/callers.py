"""Who may call a connector: the gateway for all that is asked of a source, the sandbox for what the
code of a run asks for. Each call brings a grant besides, which says for which source."""

from servicekit.interceptors import Allow

_GATEWAY = frozenset({"gateway"})
_BOTH = frozenset({"gateway", "sandbox"})

ALLOW: Allow = {
    "Describe": _BOTH,
    "Check": _GATEWAY,
    "Browse": _BOTH,
    "Inspect": _BOTH,
    "Preview": _BOTH,
    "Profile": _GATEWAY,
    "Fetch": _BOTH,
    "Store": _BOTH,
    "Disconnect": _GATEWAY,
}
