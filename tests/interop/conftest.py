"""spandrel beside a stand-in for torchvision, which would bring five gigabytes for three names."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent / "stubs"))  # behind a real torchvision, where there is one
