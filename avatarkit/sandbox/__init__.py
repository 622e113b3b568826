"""``Sandbox``: the Custom Avatar API on this machine, over real HTTP on loopback.

What is **not** emulated:

- No avatar is made. ``done`` means that the script of a persona has come to its end; the preview
  images are stills of the uploaded footage, there are no preview videos, and
  ``matching_voice_non_null`` is an empty string.
- Nobody reviews anything. How long each stage takes and how it ends is drawn at creation from the
  declared tables of ``script.py`` (or asked for by label), not from the vendor's data.
- Of a video only what ``preflight`` looks at is looked at; nobody compares the person with the
  one who consents. Videos that are given as URLs are not fetched, and taken for good.
- There is one account, its keys are the sandbox's own, and there are no credits.
- Rate limits and outages come only when they are asked for.
- Webhooks are not signed, and go to loopback addresses only.
- What the vendor has not published is a guess, named in ``Behaviour`` with its likeliest value.
- The rest of the vendor's API (videos, links, voices, stock avatars) answers 404.

What is emulated: the seven calls for custom avatars as ``openapi.json`` describes them, their
authentication, validation and error shapes, uploads that are streamed to disk, the quota, videos
that fail validation, webhooks, and lives of two to five days on the sandbox's own clock.

What can be asked for: outcomes by label (``script.LABELS``), faults (``Sandbox.fail_next``,
``fail_share``, ``heal``; their names are ``FAULTS``), and jumps in time (``Sandbox.advance``).
Another process does the same by ``/_sandbox/``; see ``control.Control``.
"""

from avatarkit.sandbox.behaviour import Behaviour
from avatarkit.sandbox.faults.rules import FAULTS
from avatarkit.sandbox.personas.deliveries import Delivery
from avatarkit.sandbox.server import Sandbox
from avatarkit.sandbox.state.attach import Attached

__all__ = ["FAULTS", "Attached", "Behaviour", "Delivery", "Sandbox"]
