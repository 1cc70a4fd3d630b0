# What every figure's script begins with. Run them from the repository's root:
#   SLPC_TESTDATA=FOLDER bash examples/paper/figure6.sh --engine onnxruntime
# SLPC is the program (built by cargo by default), OUT the folder written to, LIMIT the number of
# samples of figures 6 and 8; further arguments go to slpc.
set -euo pipefail
models="${SLPC_TESTDATA:?names the folder of models, images and data sets}/models"
images="$SLPC_TESTDATA/images"
OUT="${OUT:-target/paper}"
mkdir -p "$OUT"

slpc() {
    if [ -n "${SLPC:-}" ]; then "$SLPC" "$@"; else cargo run --release --quiet -- "$@"; fi
}

# One report about the photographs holds figures 2, 3 and 4; it takes a minute a photograph.
photographs() {
    [ -e "$OUT/photographs.html" ] || slpc explain "$models/squeezenet11_imagenet.onnx" \
        "$images/chelsea.png" "$images/coffee.png" "$images/rocket.jpg" \
        --preprocess caffe,crop=224 --labels "$SLPC_TESTDATA/imagenet_labels.txt" \
        --layer none --top 3 --clip 99 -o "$OUT/photographs.html" "$@"
    ls "$OUT"/photographs/*-"$figure".png
}
