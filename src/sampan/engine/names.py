"""Names of containers: which are allowed, and new ones for containers that come without.

Owns the two word lists and Docker's rule. Pure, but for the random choice.
"""

from __future__ import annotations

import secrets
from collections.abc import Container

from sampan import errors

_ADJECTIVES = """
    able amber ample arctic ardent autumn azure balmy blithe bold brave breezy bright brisk calm candid
    cheery clear clever coral cosmic crisp curious daring dawn deft eager early earnest easy fair fearless
    festive fluent fond fresh gallant gentle gifted glad golden graceful hardy hearty honest humble ivory
    jaunty jolly keen kind limber lively loyal lucid lunar mellow merry mighty mild modest nimble noble opal
    patient placid plucky polished proud quick quiet radiant ready rosy rugged sage serene silver sincere
    solar spry steady stellar sturdy sunny swift tender tidy tranquil trusty upbeat valiant velvet vivid
    warm willing wise witty zesty
"""

# People who went by water, or made it possible: navigators, explorers, shipwrights, cartographers.
_SURNAMES = """
    amundsen armstrong baffin balboa barents baret battuta bering bligh bougainville brunel cabot cartier
    chichester cook cousteau cowper crozier dampier darwin davis dias drake earle earhart erikson fitzroy
    flinders franklin frobisher fulton gama gibbs grenfell halley harrison hawkins hopper hudson humboldt
    joshua kaisei laperouse larsen livingstone macarthur mackenzie magellan maury mawson mercator moitessier
    nansen nobile noonan ortelius oughtred palliser park peary piri polo ptolemy pytheas quiros ross
    sacagawea scoresby shackleton slocum stark steller tabarly tasman tupaia vancouver vespucci villiers
    wallis weddell wilkes xuanzang zheng
"""

_FIRST = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
_FURTHER = _FIRST | frozenset("_.-")
_PATTERN = "[a-zA-Z0-9][a-zA-Z0-9_.-]"
_ATTEMPTS = 6


def check(name: str) -> str:
    """`name` without its leading slash. Raises InvalidArgument in dockerd's words if it cannot be a name."""
    bare = name.removeprefix("/")
    if len(bare) < 2 or bare[0] not in _FIRST or not _FURTHER.issuperset(bare):
        raise errors.InvalidArgument(f"Invalid container name ({name}), only {_PATTERN} are allowed")
    return bare


def generate(taken: Container[str]) -> str:
    """A name that is not taken: an adjective, a surname, and after some bad luck a number."""
    adjectives, surnames = _ADJECTIVES.split(), _SURNAMES.split()
    for attempt in range(_ATTEMPTS):
        name = f"{secrets.choice(adjectives)}_{secrets.choice(surnames)}"
        if attempt:
            name += str(secrets.randbelow(10**attempt))
        if name not in taken:
            return name
    return secrets.token_hex(6)
