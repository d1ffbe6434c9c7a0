"""What each command takes and its help: nothing here imports TensorFlow."""
