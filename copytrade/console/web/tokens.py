"""`console-token`."""

from __future__ import annotations

from copytrade.console.auditing import note_act
from copytrade.console.output import print_error, print_json
from copytrade.console.web.access import TokenFile
from copytrade.wiring.paths import Paths


def run_console_token(paths: Paths, *, new: bool, as_json: bool) -> int:
    """Works with and without a worker: it looks at the file at every sign-in."""
    tokens = TokenFile(paths.state)
    if not new:
        there = tokens.fingerprint() is not None
        if as_json:
            print_json({"token": "set" if there else "none", "file": str(tokens.path)})
        else:
            text = "there is a token; it cannot be shown again" if there else "there is no token yet"
            print(f"{text}. console-token --new makes one")
        return 0
    try:
        paths.make_state()
        token = tokens.renew()
        note_act(paths, "console token made")
    except OSError as error:
        print_error(f"{tokens.path} cannot be written: {error.strerror}", as_json=as_json)
        return 1
    if as_json:
        print_json({"token": token, "file": str(tokens.path)})
    else:
        print(f"sign in to the console with this token, which is shown only now:\n{token}")
    return 0
