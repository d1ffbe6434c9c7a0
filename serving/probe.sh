#!/bin/bash
# Succeeds when a version of the model is AVAILABLE: probe.sh [PORT [MODEL]].
# TensorFlow Serving answers 200 while a model still loads, or failed to, so its state is
# read. The image has no curl; bash speaks enough HTTP.
set -euo pipefail
exec 3<>"/dev/tcp/127.0.0.1/${1:-8501}"
printf 'GET /v1/models/%s HTTP/1.0\r\n\r\n' "${2:-embedder}" >&3
answer=$(timeout 5 cat <&3)
grep -q '"state": *"AVAILABLE"' <<<"$answer"
