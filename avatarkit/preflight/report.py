"""Show the findings on a video as a table, a picture or text."""

from __future__ import annotations

import base64
import html
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from avatarkit.preflight.findings import Finding, Severity, printable
from avatarkit.preflight.footage import Shot

if TYPE_CHECKING:
    import pandas as pd


_COLUMNS = [column.name for column in fields(Finding)]


@dataclass(frozen=True)
class Report:
    """The result of ``preflight.check`` for one file."""

    path: Path
    findings: tuple[Finding, ...]
    """In the order of the checks, and only of those that could be made."""
    shots: tuple[Shot, ...] = field(default=(), repr=False)

    @property
    def fatal(self) -> tuple[Finding, ...]:
        """The findings for which the video should not be sent."""
        return tuple(finding for finding in self.findings if finding.severity is Severity.FATAL)

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """The findings for which the video may be rejected."""
        return tuple(finding for finding in self.findings if finding.severity is Severity.WARNING)

    @property
    def ok(self) -> bool:
        """Whether there is no fatal finding; there may be warnings."""
        return not self.fatal

    @property
    def reason(self) -> str | None:
        """The messages of the fatal findings; None without any."""
        return " ".join(finding.message for finding in self.fatal) or None

    @cached_property
    def contact_sheet(self) -> bytes | None:
        """A few frames with their times and boxes around the faces, as a PNG.

        None when no frame could be read.
        """
        from avatarkit.preflight.contact_sheet import draw

        return draw(self.shots) if self.shots else None

    def to_frame(self) -> pd.DataFrame:
        """Return the findings as a frame.

        Returns:
            A row a finding, the worst first: check, severity, message, value, limit, source, all
            of dtype str.
        """
        import pandas as pd

        return pd.DataFrame(map(asdict, self._sorted()), columns=_COLUMNS, dtype="str")

    def __str__(self) -> str:
        lines = [f"{finding.severity:7}  {finding.message}" for finding in self._sorted()]
        return "\n".join([printable(str(self.path)), *lines])

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{finding.severity}</td><td>{html.escape(finding.message)}</td>"
            f"<td>{html.escape(finding.value)}</td><td>{html.escape(finding.limit)}</td></tr>"
            for finding in self._sorted()
        )
        head = "<tr><th>severity</th><th>finding</th><th>value</th><th>limit</th></tr>"
        table = f"<table>{head}{rows}</table>"
        if self.contact_sheet is None:
            return table
        picture = base64.b64encode(self.contact_sheet).decode("ascii")
        return f'<img alt="frames of the video" src="data:image/png;base64,{picture}">{table}'

    def _repr_png_(self) -> bytes | None:
        return self.contact_sheet

    def _sorted(self) -> list[Finding]:
        order = list(Severity)
        return sorted(self.findings, key=lambda finding: order.index(finding.severity))
