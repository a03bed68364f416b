"""Connects Open WebUI's backend to roomcast.

Where the variable ``ROOMCAST_URL`` is set, the file ``roomcast_openwebui.pth`` beside this package calls :func:`install`
when an interpreter starts: in ``open-webui serve``, in each worker of uvicorn, in the container. A program that cannot
have that file in its site-packages imports this package and calls :func:`install` before it imports ``open_webui``.

This module imports nothing of its own before ``open_webui.socket.main`` is imported: every interpreter of the
environment reads it.
"""

__all__ = ["install"]


def install() -> None:
    """Has ``open_webui.socket.main`` use roomcast once it is imported. Calling it again does nothing.

    :raises RuntimeError: that module is imported already, or ``ROOMCAST_URL`` or ``ROOMCAST_API_KEY`` is not set.
    """
    from . import hook

    hook.install()
