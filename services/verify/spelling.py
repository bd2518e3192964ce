"""Times, latencies and names as they stand in the logs."""

from __future__ import annotations

from datetime import date, timedelta


def format_timestamp(time_ns: int) -> str:
    """Spell UTC time with 3, 6 or 9 fractional digits, whichever is exact."""
    seconds, fraction = divmod(time_ns, 1_000_000_000)
    days, second_of_day = divmod(seconds, 86_400)
    day = date(1970, 1, 1) + timedelta(days=days)
    hour, rest = divmod(second_of_day, 3600)
    minute, second = divmod(rest, 60)
    digits = f"{fraction:09d}"
    if digits.endswith("000000"):
        digits = digits[:3]
    elif digits.endswith("000"):
        digits = digits[:6]
    return f"{day.isoformat()} {hour:02d}:{minute:02d}:{second:02d}.{digits}"


def format_latency(latency_ns: int) -> str:
    """Spell nanoseconds as exact milliseconds without trailing zeros."""
    whole, fraction = divmod(abs(latency_ns), 1_000_000)
    digits = f"{fraction:06d}".rstrip("0")
    return ("-" if latency_ns < 0 else "") + str(whole) + ("." + digits if digits else "")


def escape_controls(text: str) -> str:
    """Spell control characters and the Unicode line ends so that one entry stays one line."""
    text = "".join(f"\\x{ord(c):02x}" if ord(c) < 32 or 127 <= ord(c) < 160 else c for c in text)
    return text.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def csv_field(text: str) -> str:
    """Spell a field of a CSV file: quoted when there is something to protect, with quotes doubled (RFC 4180)."""
    if not any(character in text for character in ',"\r\n'):
        return text
    return '"' + text.replace('"', '""') + '"'
