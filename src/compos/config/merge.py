"""Several files as one system: kernel fields replace, lists append (reference 2.2). Pure."""

from __future__ import annotations

from compos.config.model import Config, Kernel

__all__ = ["merge"]


def merge(base: Config, over: Config) -> Config:
    """`over` is the file that the user named later."""
    return Config(
        _kernel(base.kernel, over.kernel),
        base.init + over.init,
        base.onboot + over.onboot,
        base.onshutdown + over.onshutdown,
        base.services + over.services,
        base.volumes + over.volumes,
        base.files + over.files,
        base.init_marks + over.init_marks,
        confinement=over.confinement or base.confinement,
    )


def _kernel(base: Kernel | None, over: Kernel | None) -> Kernel | None:
    """Empty strings do not replace image, cmdline and binary; `tar` and `ucode` can be emptied."""
    if base is None or over is None:
        return over or base
    inner = dict(base.mark.inner or {})
    inner.update(over.mark.inner or {})
    for key in ("image", "cmdline", "binary"):
        if getattr(base, key) and not getattr(over, key):
            inner[key] = base.mark.at(key)
    return Kernel(
        over.image or base.image,
        over.cmdline or base.cmdline,
        over.binary or base.binary,
        base.tar if over.tar is None else over.tar,
        base.ucode if over.ucode is None else over.ucode,
        base.modules if over.modules is None else over.modules,
        base.firmware if over.firmware is None else over.firmware,
        over.mark._replace(inner=inner),
    )
