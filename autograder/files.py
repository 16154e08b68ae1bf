"""Reading and writing files so that nothing is lost and nothing is believed."""

import os
import tempfile
from pathlib import Path


def write_whole(path: Path, data: bytes | str) -> None:
    """Writes a file so that nobody ever reads half of it: beside it first, then renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".writing-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data.encode() if isinstance(data, str) else data)
            file.flush()
            os.fsync(file.fileno())  # or the power's failing could leave an empty file under the name
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def start_of(path: Path, size: int) -> bytes:
    """The first `size` bytes of a file, which may claim any size."""
    with path.open("rb") as file:
        return file.read(size)
