"""`python -m dce_tf.serving.client COMMAND`."""

import sys

from dce_tf.serving.client.commands import main

sys.exit(main(sys.argv[1:]))
