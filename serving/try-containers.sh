#!/usr/bin/env bash
# Builds the image of serving/Dockerfile and tries it, where Docker is: it trains a small run
# on the built-in example, indexes it, serves it as serve-compose.yaml does, and ends it.
#   serving/try-containers.sh [cpu|gpu]
# It also runs hadolint, and checks the manifests if kubectl is there.
set -euo pipefail
cd "$(dirname "$0")/.."
device=${1:-cpu}
image=dce-tf:$device
url=http://127.0.0.1:8501
work=$(mktemp -d)
USER_ID=$(id -u) GROUP_ID=$(id -g)
export USER_ID GROUP_ID DCE_TF_TOKEN=a-secret-of-this-try
compose=(docker compose -f serving/serve-compose.yaml --profile "$device")
gpus=()
[ "$device" = gpu ] && gpus=(--gpus all)

finish() {
  RUN=$work INDEX=$work IMAGES=$work "${compose[@]}" down --timeout 45 >/dev/null 2>&1 || true
  rm -rf "$work"
}
trap finish EXIT

say() { printf '\n== %s\n' "$*"; }

# Runs a command of the program as the one who runs this script, in a folder of the host.
run() {
  docker run --rm "${gpus[@]}" --user "$USER_ID:$GROUP_ID" --read-only --tmpfs /tmp \
    --cap-drop ALL --security-opt no-new-privileges --volume "$work:$work" \
    --workdir "$work" "$image" "$@"
}

ask() { curl --fail --silent --show-error -H "Authorization: Bearer $DCE_TF_TOKEN" "$@"; }

say "Lint"
docker run --rm -i hadolint/hadolint < serving/Dockerfile

say "Build"
docker build -f serving/Dockerfile --build-arg "DEVICE=$device" -t "$image" .
docker image ls "$image"
[ "$(docker run --rm --entrypoint id "$image" -u)" = 10001 ]
run --version

say "Train, embed and index"
run train --dataset=glyphs --num_epochs=1 --embedding_dim=64 --log_dir="$work/log"
RUN=$(dirname "$(find "$work/log" -name report.json)")
run embed "$RUN"
run index "$RUN/embeddings"
export RUN INDEX=$RUN/index IMAGES=$work

say "Serve"
"${compose[@]}" up --detach --wait --wait-timeout 180
curl --fail --silent "$url/" | grep '<html' >/dev/null
curl --fail --silent "$url/healthz" && curl --fail --silent "$url/readyz"
[ "$(curl --silent --output /dev/null --write-out '%{http_code}' "$url/v1/collections")" = 401 ]
ask "$url/v1/collections"
ask "$url/metrics" | grep request_count >/dev/null
vector=$(python3 -c 'import json; print(json.dumps([1.0] + [0.0] * 63))')
ask "$url/v1/collections/index:search" -d "{\"vector\": $vector, \"k\": 3}"
ask "$url/v1/collections/index:upsert" \
  -d "{\"records\": [{\"id\": \"try\", \"vector\": $vector, \"label\": \"x\"}]}"
ask "$url/v1/collections/index:delete" -d '{"ids": ["try"]}'

say "End"
started=$(date +%s)
"${compose[@]}" stop
echo "It ended after $(($(date +%s) - started)) s."
"${compose[@]}" ps --all --format '{{.ExitCode}}' | grep -x 0
"${compose[@]}" logs --no-log-prefix --no-color | tail -3

if command -v kubectl >/dev/null; then
  say "Manifests"
  kubectl apply --dry-run=client -f serving/serve-kubernetes.yaml -f serving/kubernetes.yaml
fi
say "All of it worked."
