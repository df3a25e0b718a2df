"""What the processor that runs the tests computes with."""

from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")
_X86 = _CPUINFO.is_file() and "avx2" in _CPUINFO.read_text("utf-8")

HAS_VNNI = not _X86 or "vnni" in _CPUINFO.read_text("utf-8")
"""Whether 8-bit products are summed exactly: x86 without VNNI adds pairs in 16 bits, and clips."""
