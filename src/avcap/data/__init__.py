"""Data: media files -> shards -> batches, independent of any model.

A public name, listed in ``__init__.pyi``, is imported when it is first used: reading a caption file needs no Lightning.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
