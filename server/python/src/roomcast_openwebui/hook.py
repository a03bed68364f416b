"""What happens to ``open_webui.socket.main`` when it is imported.

Owns: which names of that module are replaced. Must never know: how an event reaches a client.
"""

import importlib.abc
import importlib.machinery
import sys

TARGET = "open_webui.socket.main"


def install() -> None:
    if any(isinstance(finder, _Finder) for finder in sys.meta_path):
        return
    if TARGET in sys.modules:
        raise RuntimeError(f"roomcast_openwebui.install() comes too late: {TARGET} is imported already")
    sys.meta_path.insert(0, _Finder())


class _Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name != TARGET:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader)
        return spec


class _Loader(importlib.abc.Loader):
    """Runs a module between preparation and adoption."""

    def __init__(self, loader):
        self._loader = loader

    def create_module(self, spec):
        return self._loader.create_module(spec)

    def exec_module(self, module):
        # Not before: every interpreter of the environment reads this file.
        from . import openwebui

        with openwebui.prepared():
            self._loader.exec_module(module)
        openwebui.adopt(module)

    def __getattr__(self, name):
        # What others ask of a loader: `get_source` for tracebacks, for example.
        return getattr(self._loader, name)
