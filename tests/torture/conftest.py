"""What the longer tests share."""

import tempfile
from pathlib import Path

from hypothesis.configuration import set_hypothesis_home_dir

# Its notes stay out of the repository, where pytest would come across them.
set_hypothesis_home_dir(Path(tempfile.gettempdir()) / "hypothesis")
