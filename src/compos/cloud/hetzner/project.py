"""What is in a project of Hetzner Cloud, and how its actions end.

May touch: Hetzner's API. Source: docs.hetzner.cloud, "Pagination", "Label Selector", "Actions"
(get).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from compos.cloud.rest import Rest, pages
from compos.errors import CloudError, CloudImport

__all__ = ["ended", "listed", "selected"]

PAGE = 50
PAUSE = 3


def selected(kind: str, labels: Mapping[str, str]) -> dict[str, str]:
    """A query by labels; one without a value has to be there."""
    words = [f"{key}=={value}" if value else key for key, value in labels.items()]
    return {"label_selector": ",".join(words), **({"type": "snapshot"} if kind == "image" else {})}


def listed(rest: Rest, path: str, query: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """The resources at `path` that `query` selects. Raises `CloudError`."""
    return pages(rest, f"/{path}", path, query, size=PAGE)


def ended(rest: Rest, action: Mapping[str, Any], seconds: float) -> None:
    """Wait until an action has ended. Raises `CloudImport` if it has failed, `CloudError`
    (`cloud-slow`) after so many seconds."""
    id = action["id"]

    def is_done() -> bool:
        answer = {"action": {"status": "success"}}
        found = rest("GET", f"/actions/{id}", answer=answer)["action"]
        if found["status"] == "error":
            reason = (found.get("error") or {}).get("message", "nobody says why")
            raise CloudImport("cloud-import", f"an action has failed: {reason}", place=str(id))
        return bool(found["status"] == "success")

    if not rest.calls.until(is_done, seconds=seconds, pause=PAUSE):
        raise CloudError("cloud-slow", "an action has not ended", place=str(id))
