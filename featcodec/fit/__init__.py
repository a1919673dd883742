"""How a codec is fitted to a frozen network: objective, loop, export. See docs/fitting.md.

The package is what ``featcodec.fit`` names, and the function, too: ``featcodec.fit(network, at=...)`` is
`featcodec.fit.api.fit`.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from featcodec.codec import FeatureCodec


class _Callable(ModuleType):
    """A package that can be called: importing any module of it would else hide the function of its name."""

    def __call__(self, *arguments: Any, **options: Any) -> FeatureCodec:
        from featcodec.fit.api import fit  # imports torch, which a mere name must not

        codec: FeatureCodec = fit(*arguments, **options)
        return codec


sys.modules[__name__].__class__ = _Callable
