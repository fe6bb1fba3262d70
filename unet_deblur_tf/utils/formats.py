"""The file formats, by their endings. Nothing is imported for it, so that a command can look at files at once."""

from pathlib import Path

JPEG, TIFF, HEIC = {".jpg", ".jpeg", ".jpe", ".jfif"}, {".tif", ".tiff"}, {".heic", ".heif"}
PHOTOS = JPEG | TIFF | HEIC | {".png", ".webp", ".bmp", ".gif"}
VIDEOS = {".mp4", ".mov", ".m4v", ".mkv", ".avi", ".webm"}

# The formats of results that are not those of their inputs. A restored picture has more colours than the palette of a
# GIF. AVI keeps no times of frames, WebM takes no H.264.
WRITTEN_AS = {".gif": ".png", ".avi": ".mkv", ".webm": ".mkv"}


def is_photo(path: Path) -> bool:
    """Whether a file is a photo by its ending."""
    return path.suffix.lower() in PHOTOS


def is_video(path: Path) -> bool:
    """Whether a file is a video by its ending."""
    return path.suffix.lower() in VIDEOS


def is_to_restore(path: Path) -> bool:
    """Whether a file of a folder is a photo or a video by its ending, and not hidden."""
    return (is_photo(path) or is_video(path)) and not path.name.startswith(".")


def format_notes(source: Path, target: Path) -> list[str]:
    """Says, as a note for the user, if a result has another format than its input: see `WRITTEN_AS`."""
    return [f"written as {target.suffix}"] if source.suffix.lower() in WRITTEN_AS else []


def output_name(name: Path) -> Path:
    """The file name under which a restored photo or video is written."""
    return name.with_suffix(WRITTEN_AS.get(name.suffix.lower(), name.suffix))
