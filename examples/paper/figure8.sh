# Figure 8: rank correlations of the explanations of a trained 2CONV with those of an untrained one
# and of one trained on random labels, over the paper's 1000 images by default;
# DATASET=cifar10_1017 takes CIFAR-10.
source "$(dirname "$0")/common.sh"
data="${DATASET:-mnist_1000}"
network="$models/2conv_${data%_*}"
slpc sanity "trained=${network}_true.onnx" "untrained=${network}_untrained.onnx" \
    "random labels=${network}_random.onnx" --data "$SLPC_TESTDATA/$data.npz" \
    --preprocess unit --limit "${LIMIT:-1000}" \
    --chart "$OUT/figure8.svg" --csv "$OUT/figure8.csv" "$@"
