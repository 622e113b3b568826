"""Emulate the Custom Avatar API on this machine, over real HTTP on loopback.

What is **not** emulated:

- No avatar is made. ``done`` means that a persona's script has ended. Preview images are
  stills of the uploaded footage; there are no preview videos, and ``matching_voice_non_null`` is an
  empty string.
- There is no review. The length and outcome of each stage are drawn at creation from the tables in
  ``personas.lifecycle`` (or requested by label), not from the vendor's data.
- Videos are checked only as far as ``preflight`` checks them; the person in the footage is not
  compared with the person who consents. Videos given as URLs are neither fetched nor checked.
- There is one account, with the sandbox's own keys, and there are no credits.
- Rate limits and outages happen only on request.
- Webhooks are not signed and are sent to loopback addresses only.
- What the vendor has not published is a guess: a setting of ``Behaviour`` with its likeliest value.
- There are three stock avatars, which are invented. The rest of the vendor's API (videos, links,
  voices) answers 404.

What is emulated: the eight calls for avatars as ``web/openapi.json`` describes them, with
authentication, validation and error shapes; uploads streamed to disk; the quota; videos that fail
validation, and avatars without footage, which fail there unless a label requests their outcome;
webhooks; and processing that takes two to five days on the sandbox's own clock.

What can be requested: outcomes by label (``personas.lifecycle.LABELS``), faults
(``Sandbox.fail_next``, ``fail_share``, ``heal``; their names are ``FAULTS``) and jumps in time
(``Sandbox.advance``). Other processes use the routes below ``/_sandbox/``; see
``web.control.Control``.
"""

from importlib.util import find_spec

from avatarkit.errors import ConfigError

if any(find_spec(name) is None for name in ("av", "filelock", "skimage", "starlette", "uvicorn")):
    raise ConfigError(
        "The sandbox is not installed: pip install 'avatarkit[sandbox]', or set AVATARKIT_API_ID "
        "and AVATARKIT_API_KEY to use the live account."
    )

from avatarkit.sandbox.behaviour import Behaviour
from avatarkit.sandbox.faults.rules import FAULTS
from avatarkit.sandbox.personas.deliveries import Delivery
from avatarkit.sandbox.server import Sandbox
from avatarkit.sandbox.state.attach import Attached

__all__ = ["FAULTS", "Attached", "Behaviour", "Delivery", "Sandbox"]
