"""Lists of other toolkits, read into utterances and written from them."""

from mooer.data.formats.base import FORMATS, Format, Notes, find_format

__all__ = ["FORMATS", "Format", "Notes", "find_format"]
