"""Caption metrics. A public name, listed in ``__init__.pyi``, is imported when it is first used.

Importing this package is light: torchmetrics, aac-metrics, Java and models wait until they are used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

from avcap.metrics.evaluate import evaluate  # noqa: E402 (else the name of the module would hide the function)
