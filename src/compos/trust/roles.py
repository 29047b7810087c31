"""What the bare keys of a set of keys are for. Pure."""

from __future__ import annotations

__all__ = ["PCR", "PREVIOUS"]

PCR = "pcr"
"""The role that signs expected values of PCR 11: a bare key pair."""
PREVIOUS = "previous"
"""The key that did so before, by which machines open what they have sealed to it, once."""
