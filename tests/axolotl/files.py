"""The files of training/ that Axolotl is given."""

from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
TRAINING = ROOT / "training"
BASE = TRAINING / "axolotl.yaml"
VARIANTS = sorted((TRAINING / "variants").glob("*.yaml"))
TEMPLATE = TRAINING / "chat_template.jinja"


def settings(path: Path = BASE) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(path.read_text())
    return loaded
