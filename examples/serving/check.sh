#!/usr/bin/env bash
# Runs the serving tests against the real TensorFlow Serving in Docker:
#
#     python -m pip install -e ".[test]" && examples/serving/check.sh
#
# They write three small models, ask for them through REST and gRPC with the client in
# examples/ and with ovmsclient, and compare with Keras. TF_SERVING_IMAGE takes another image.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
if ! { docker compose version && docker info; } > /dev/null 2>&1; then
    echo "check.sh: error: needs Docker with its compose plugin, and its daemon running" >&2
    exit 2
fi

MODELS=$(mktemp -d)
export MODELS REST_PORT=${REST_PORT:-18501} GRPC_PORT=${GRPC_PORT:-18500}
serving() { docker compose --project-name unet_deblur_check --file "$here/compose.yaml" "$@"; }
trap 'serving down --volumes > /dev/null 2>&1 || true; rm -rf "$MODELS"' EXIT

python "$root/tests/serving/models.py" "$MODELS"
chmod -R a+rX "$MODELS"
serving up --detach

for model in small/versions/2 plain; do
    for _ in $(seq 120); do
        curl --silent "http://localhost:$REST_PORT/v1/models/$model" | grep --quiet AVAILABLE && continue 2
        sleep 1
    done
    echo "check.sh: error: $model was not ready after 120 s; what the server said:" >&2
    serving logs --tail 50 >&2
    exit 1
done

cd "$root"
SERVING_MODELS=$MODELS SERVING_REST=localhost:$REST_PORT SERVING_GRPC=localhost:$GRPC_PORT \
    python -m pytest tests/serving/test_server.py -n 0 -v
