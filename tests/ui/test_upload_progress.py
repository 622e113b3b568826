"""How fast an upload goes."""

from __future__ import annotations

from avatarkit.ui.upload_progress import UploadProgress

MB = 1_000_000


def test_the_rate_is_that_of_the_last_seconds() -> None:
    """An upload that was fast and is slow now is slow; one that stands still has no rate left."""
    upload = UploadProgress(100 * MB)
    assert upload.rate(0.0) is None
    for tenth in range(101):  # 4 MB a second
        upload.update(tenth * 4 * MB // 10, 100 * MB, tenth / 10)
    assert upload.rate(10.0) == 4 * MB
    for tenth in range(1, 101):  # 1 MB a second
        upload.update(40 * MB + tenth * MB // 10, 100 * MB, 10 + tenth / 10)
    assert upload.rate(20.0) == MB
    assert upload.rate(24.0) == 0.2 * MB
    assert upload.rate(40.0) == 0


def test_a_long_upload_keeps_few_marks() -> None:
    """An hour of it takes no more memory than seconds."""
    upload = UploadProgress(100 * MB)
    for second in range(3_600):
        upload.update(second, 100 * MB, second)
    assert len(upload._marks) < 20
