"""The network: backbone, embedding layer, and the step that trains them."""
