"""``python -m mizzen.cli`` is ``mizzen``."""

from mizzen.cli import main

main()
