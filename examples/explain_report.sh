#!/usr/bin/env bash
# Makes the reports in docs/explain: a digit, and three photographs with SqueezeNet where SLPC_TESTDATA
# names a folder that holds them. With Chromium it also takes their pictures. Arguments go to slpc, such as
# --engine onnxruntime, which is faster.
set -euo pipefail
cd "$(dirname "$0")/.."
slpc=${SLPC:-target/debug/slpc}
[[ -x $slpc ]] || cargo build --bin slpc
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p docs/explain

seq 0 9 >"$work/digits.txt"
"$slpc" explain examples/2conv_mnist.onnx examples/digits/7.png --preprocess unit --radius \
    --labels "$work/digits.txt" --png "$work/digit" -o docs/explain/digit.html "$@"

if [[ -n ${SLPC_TESTDATA:-} ]]; then
    images=$SLPC_TESTDATA/images
    "$slpc" explain "$SLPC_TESTDATA/models/squeezenet11_imagenet.onnx" \
        "$images/chelsea.png" "$images/coffee.png" "$images/rocket.jpg" \
        --preprocess caffe,resize=256,crop=224 --labels "$SLPC_TESTDATA/imagenet_labels.txt" \
        --top 2 --clip 99.5 --png "$work/photographs" -o docs/explain/photographs.html "$@"
else
    echo "no photographs: SLPC_TESTDATA is not set"
fi

browser=$(command -v chromium || command -v google-chrome || true)
if [[ -n $browser ]]; then
    for name in digit photographs; do
        [[ -f docs/explain/$name.html ]] || continue
        "$browser" --headless=new --no-sandbox --disable-gpu --hide-scrollbars \
            --blink-settings=preferredColorScheme=1 --virtual-time-budget=10000 \
            --window-size=1100,1290 --screenshot="$PWD/docs/explain/$name.jpg" \
            "file://$PWD/docs/explain/$name.html" 2>/dev/null
    done
else
    echo "no pictures of the reports: Chromium is not installed"
fi
