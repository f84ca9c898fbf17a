"""Container paths rewritten to real ones, for machines where a container cannot have a view of its own.

A pure function over the arguments and environment values of a recipe. It cannot reach paths that a program has built
in, which is why a mount namespace is preferred wherever one is permitted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from mizzen.cluster.node.runtime.spec import Mount

# A path begins where no path character stands before it, save that of a URL without host (file:///mnt/models).
_BEGINS = r"(?:(?<=://)|(?<![\w./~+%@-]))"
# ... and a mount's target ends at a whole segment only: /mnt/models is not in /mnt/models2 or /mnt/models.bak.
_ENDS = r"(?![\w.~+%@-])"


def substituted(text: str, mounts: Iterable[Mount]) -> str:
    """``text`` with every mount target in it replaced by the mount's source, the longest target first.

    Only whole path segments count, and what one replacement put in is not replaced again.
    """
    sources = {mount.target.rstrip("/"): mount.source.rstrip("/") or "/" for mount in mounts}
    targets = sorted((target for target in sources if target), key=len, reverse=True)
    if not targets:
        return text
    pattern = _BEGINS + "(" + "|".join(re.escape(target) for target in targets) + ")" + _ENDS
    return re.sub(pattern, lambda found: sources[found[1]], text)
