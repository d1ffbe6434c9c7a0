"""Trains, evaluates and exports image embedders: `python main.py --help`."""

import sys

from dce_tf.cli import main

if __name__ == "__main__":
    sys.exit(main())
