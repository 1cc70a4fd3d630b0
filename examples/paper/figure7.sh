# Figure 7: patterns of the active and the inactive neurons of a convolution (#3) and a fully
# connected layer (#5) of 2CONV, and the share of neurons that are inactive.
source "$(dirname "$0")/common.sh"
slpc explain examples/2conv_mnist.onnx examples/digits/7.png --preprocess unit \
    --layer '#3' --layer '#5' --top 1 -o "$OUT/figure7.html" "$@"
slpc stats "$models/2conv_mnist_true.onnx" --data "$SLPC_TESTDATA/mnist_1000.npz" \
    --preprocess unit "$@"
