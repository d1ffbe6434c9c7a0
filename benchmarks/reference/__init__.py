"""A stand-in for the 2019 reference program, to compare time and recall@1 with.

It is the published algorithm as a straightforward PyTorch program of that time, written
from scratch after METHOD.md: PIL decodes, each cluster has a loader with its own worker
processes; sampler, miner and bookkeeping are Python loops. It is not that program: what
is compared is the same algorithm in the same kind of code. It keeps that program's
errors where they only cost quality (it matches clusters by the inverse permutation, and
takes positives for negatives where too few negatives are far enough), and corrects
those that would make it fail (a cluster smaller than a batch still gives one). Both
kinds of active terms are counted, as on the PyTorch it was written for.

`sampler`, `miner`, `bookkeeping` and `pictures` need no PyTorch.
"""
