"""Ask PyPI's list of known vulnerabilities about the pinned requirements; fails when one is listed.

Where the list cannot be reached it says so and passes: being offline is no fault of the code.
"""

import json
import subprocess
import sys
from pathlib import Path

REQUIREMENTS = Path(__file__).resolve().parent.parent / "requirements.txt"
COMMAND = [
    "-m",
    "pip_audit",
    "--requirement",
    str(REQUIREMENTS),
    "--no-deps",
    "--disable-pip",
    "--format",
    "json",
    "--timeout",
    "10",
]


def main() -> int:
    """Audit, print what was found, and return the exit code."""
    done = subprocess.run([sys.executable, *COMMAND], capture_output=True, text=True, check=False)
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except ValueError:
        reason = (done.stderr.strip() or "no answer").splitlines()[-1]
        print(f"Known vulnerabilities: not looked up ({reason})")  # noqa: T201
        return 0
    found = [(package, fault) for package in packages for fault in package.get("vulns", [])]
    for package, fault in found:
        fixed = ", ".join(fault["fix_versions"]) or "no release yet"
        print(f"{package['name']} {package['version']}: {fault['id']}, mended in {fixed}")  # noqa: T201
    asked = [package for package in packages if "vulns" in package]
    print(f"Known vulnerabilities: {len(found)} in {len(asked)} packages; {len(packages) - len(asked)} could not be looked up")  # noqa: T201
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
