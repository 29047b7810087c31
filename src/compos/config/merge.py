"""Several files as one system: kernel fields replace, lists append (docs/linuxkit.md#2.2). Pure.

Each field has its rule: one that somebody adds to the model and forgets here fails in every build,
and is not lost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from compos.config.model import Budget, Config, Kernel, Trust
from compos.config.sources import is_url

__all__ = ["merge"]


def merge(base: Config, over: Config) -> Config:
    """`over` is the file that the user named later."""
    return Config(
        *(_CONFIG[name](*values) for name, *values in zip(Config._fields, base, over, strict=True))
    )


def _kernel(base: Kernel | None, over: Kernel | None) -> Kernel | None:
    """Empty strings do not replace image, cmdline and binary; `tar` and `ucode` can be emptied."""
    if base is None or over is None:
        return over or base
    inner = dict(base.mark.inner or {})
    inner.update(over.mark.inner or {})
    for key, rule in _KERNEL.items():
        if rule is _unless_empty and getattr(base, key) and not getattr(over, key):
            inner[key] = base.mark.at(key)
    fields = [name for name in Kernel._fields if name != "mark"]
    values = {name: _KERNEL[name](getattr(base, name), getattr(over, name)) for name in fields}
    return Kernel(**values, mark=over.mark._replace(inner=inner))


def _trust(base: Trust | None, over: Trust | None) -> Trust | None:
    """Who is trusted by one file is trusted by all, so the place is that of a file from the network
    if one is."""
    if base is None or over is None:
        return over or base
    values = {name: _joined(*pair) for name, *pair in zip(Trust._fields, base, over, strict=True)}
    values["mark"] = base.mark if is_url(base.mark.file) else over.mark
    return Trust(**values)


def _budget(base: Budget | None, over: Budget | None) -> Budget | None:
    """Each limit is that of the later file, if it has one."""
    if base is None or over is None:
        return over or base
    names = [name for name in Budget._fields if name != "mark"]
    values = {name: _unless_absent(getattr(base, name), getattr(over, name)) for name in names}
    inner = {**(base.mark.inner or {}), **(over.mark.inner or {})}
    return Budget(**values, mark=over.mark._replace(inner=inner))


def _joined(base: Any, over: Any) -> Any:
    return base + over if type(base) is type(over) is tuple else over or base


def _appended(base: tuple[Any, ...], over: tuple[Any, ...]) -> tuple[Any, ...]:
    return base + over


def _unless_empty(base: Any, over: Any) -> Any:
    return over or base


def _unless_absent(base: Any, over: Any) -> Any:
    return base if over is None else over


def _dropped(_base: object, _over: object) -> None:
    """Whoever merges has taken from it what counts."""


_CONFIG: Mapping[str, Callable[[Any, Any], Any]] = {
    "kernel": _kernel,
    "init": _appended,
    "onboot": _appended,
    "onshutdown": _appended,
    "services": _appended,
    "volumes": _appended,
    "files": _appended,
    "init_marks": _appended,
    "overlays": _dropped,
    "confinement": _unless_empty,
    "bricks": _unless_empty,
    "trust": _trust,
    "secure": _unless_absent,
    "disk": _unless_absent,
    "slots": _unless_absent,
    "update": _unless_absent,
    "install": _unless_absent,
    "test": _joined,
    "budget": _budget,
}
_KERNEL: Mapping[str, Callable[[Any, Any], Any]] = {
    "image": _unless_empty,
    "cmdline": _unless_empty,
    "binary": _unless_empty,
    "tar": _unless_absent,
    "ucode": _unless_absent,
    "modules": _unless_absent,
    "firmware": _unless_absent,
}
