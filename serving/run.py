"""Starts the server, and ends it."""

from __future__ import annotations

import contextlib
import functools
import ipaddress
import logging
import socket
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import uvicorn

from serving.app import Health, build_app
from serving.batching import Batcher
from serving.connections import PatientProtocol
from serving.lifetime import GracefulServer
from serving.metrics import Metrics
from serving.predictor import Predictor
from serving.settings import Settings
from serving.versions import Find, Versions, versions_in
