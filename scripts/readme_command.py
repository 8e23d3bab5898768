"""Print the README's command that follows a marker, so that CI runs what the README says."""

import re
import sys
from pathlib import Path


def main() -> None:
    """Print the shell block after ``<!-- command: NAME -->``."""
    name = sys.argv[1]
    readme = (Path(__file__).resolve().parents[1] / "README.md").read_text(encoding="utf-8")
    found = re.search(rf"<!-- command: {re.escape(name)} -->\n```sh\n(.*?)```", readme, re.DOTALL)
    if found is None:
        sys.exit(f"README.md has no command {name!r}")
    sys.stdout.write(found.group(1))


if __name__ == "__main__":
    main()
