"""``python -m mizzen.serve``: what a pod runs where it is not forked from a zygote."""

import sys

from mizzen.serve.main import container

sys.exit(container(sys.argv[1:]))
